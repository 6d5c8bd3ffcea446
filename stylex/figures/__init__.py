"""Figures of one experiment: `make` draws them from its artifacts, drawing itself is pure functions of arrays.

The workflow imports `stylex.figures.catalog` for the file names, so this module imports nothing.
"""
