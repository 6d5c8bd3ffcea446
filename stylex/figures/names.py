"""Which figures an experiment has; the workflow declares them as outputs, so this module imports nothing."""

FIGURE_NAMES = ("attributes", "independent", "subset", "sufficiency", "methods", "frechet", "history")
