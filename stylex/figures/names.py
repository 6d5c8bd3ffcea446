"""Which figures an experiment has; the workflow declares them as outputs, so this module imports nothing."""

FIGURE_NAMES = (
    "attributes",
    "teaser",
    "class-attributes",
    "comparison",
    "independent",
    "subset",
    "reconstructions",
    "sufficiency",
    "methods",
    "frechet",
    "history",
)
ANIMATION_NAMES = tuple(f"attribute-{number}" for number in range(1, 5))  # each a still (png, pdf) and a gif
ANIMATION_SECONDS = 2.4  # of a gif, there and back
SHOWN_ALONE = 5  # coordinates of an independent explanation, as [L] figure 7 shows


def figure_files() -> list[tuple[str, str]]:
    """Return (name, suffix) of every file of an experiment."""
    stills = [(name, suffix) for name in FIGURE_NAMES + ANIMATION_NAMES for suffix in ("png", "pdf")]
    return stills + [(name, "gif") for name in ANIMATION_NAMES]
