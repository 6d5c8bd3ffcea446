"""Draw the figures of images of one experiment: [L] figures 1, 2 and 6, reconstructions, and moving attributes."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from stylex.attfind.maps import read_maps
from stylex.config import SuitePaths
from stylex.figures.animations import draw_still, frames, note_picture, save_gif, sweep_of
from stylex.figures.attributes import draw_attributes
from stylex.figures.comparison import compared, draw_comparison, read_direction
from stylex.figures.examples import choose_examples, render_examples, top_attributes
from stylex.figures.make import provenance_of
from stylex.figures.names import ANIMATION_NAMES, figure_names
from stylex.figures.reconstructions import choose_reconstructions, draw_reconstructions, rebuilt
from stylex.figures.style import save
from stylex.figures.subject import Subject, load_subject
from stylex.figures.teaser import draw_teaser, teaser_of
from stylex.figures.tiles import note


def qualitative_figures(root: Path, suite: str, experiment: str, device: str) -> None:
    """Write those of <experiment>-{teaser,class-attributes,comparison,reconstructions} that the experiment has.

    Besides, its animations. Where AttFind found nothing to show, the figure says so.
    """
    subject, paths, origin = (
        load_subject(root, experiment, device),
        SuitePaths(root, suite),
        provenance_of(root, experiment),
    )
    figures = {
        "teaser": teaser_figure,
        "class-attributes": class_figure,
        "comparison": comparison_figure,
        "reconstructions": reconstruction_figure,
    }
    for name in (each for each in figure_names(subject.config) if each in figures):
        save(figures[name](subject), paths, experiment, name, origin)
    write_animations(subject, paths, experiment, origin)


def teaser_figure(subject: Subject) -> Figure:
    """Return one image and its top attributes, as figure 1 of [L]."""
    found = teaser_of(subject)
    return (
        note(f"No attribute raises P({subject.class_name}) on an analysed image.")
        if found is None
        else draw_teaser(*found)
    )


def class_figure(subject: Subject) -> Figure:
    """Return the top attributes of one class, as figure 6 of [L]."""
    attributes = subject.attributes.get(subject.class_name, [])[: subject.config.evaluation.figure_attributes]
    if not attributes:
        return note(f"AttFind found no attribute that raises P({subject.class_name}).")
    effects, latents, maps = subject.effects, subject.latents, read_maps(subject.paths.maps, attributes)
    examples = choose_examples(attributes, effects, latents)
    rows = render_examples(attributes, examples, effects, latents, subject.networks, subject.classifier, maps)
    return draw_attributes(rows)


def comparison_figure(subject: Subject) -> Figure:
    """Return StylEx beside Grad-CAM and GANalyze, as figure 2 of [L]."""
    return draw_comparison(compared(subject), subject.class_name, read_direction(subject)[1])


def reconstruction_figure(subject: Subject) -> Figure:
    """Return images, reconstructions and differences."""
    spaced, worst = choose_reconstructions(subject.latents.reconstruction_l1)
    return draw_reconstructions(rebuilt(subject, spaced), rebuilt(subject, worst))


def write_animations(subject: Subject, paths: SuitePaths, experiment: str, origin: str) -> None:
    """Write a still and a GIF of each of the first attributes, in the order of the figure `attributes`."""
    found = top_attributes(subject.attributes, len(ANIMATION_NAMES))
    for number, name in enumerate(ANIMATION_NAMES, start=1):
        sweep = sweep_of(subject, found[number - 1], number) if number <= len(found) else None
        missing = f"AttFind found no attribute {number}."
        save(note(missing) if sweep is None else draw_still(sweep), paths, experiment, name, origin)
        pictures = [note_picture(missing)] if sweep is None else frames(sweep)
        save_gif(paths.figure(experiment, name, "gif"), pictures, origin)
