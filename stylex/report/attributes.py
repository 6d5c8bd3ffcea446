"""What the page says of an experiment's attributes: which a figure shows, what each does alone, how people call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from stylex.artifacts import read_json, sha256
from stylex.attfind.records import Attribute, read_attributes, top_attributes
from stylex.config import ExperimentConfig
from stylex.figures.catalog import ANIMATION_NAMES, TEASER_ATTRIBUTES
from stylex.names import Name, names_of_another_training, read_names
from stylex.report.run import Run
from stylex.report.table import NOTHING, Block, Row

SEARCHES = {
    "paper": "Algorithm 1 of Lang et al. 2021",
    "notebook": "the search find_significant_styles of the authors' notebook",
    "image_fraction": "the search find_significant_styles_image_fraction of the authors' notebook",
}  # by attfind.algorithm
STAR = "★"  # a favourite


@dataclass(frozen=True)
class Attributes:
    """The attributes of an experiment: by target class in order of rank, with what is measured of them, and names."""

    config: ExperimentConfig
    lists: Mapping[str, Sequence[Attribute]]
    shown_class: str
    """Of the figures of one class."""
    measured: Mapping[tuple[str, int, str], Row]
    """Rows of attribute_maps.csv by target class, coordinate and direction."""
    names: Mapping[int, Name]
    outdated: int
    """How many names are not used, because they are of another training."""

    def numbers(self, attribute: Attribute) -> Row | None:
        """Return what is measured of an attribute that is moved alone; None: nothing, or on no image."""
        row = self.measured.get((attribute.target_class, attribute.style_index, attribute.direction.label))
        return row if row is not None and row["n"] > 0 else None

    def called(self, attribute: Attribute) -> str:
        """Return what people call an attribute, in quotes; nothing where it has no name."""
        name = self.names.get(attribute.style_index)
        return f"“{name.text}”" if name and name.text else ""

    def shown(self, figure: str) -> dict[int, Attribute]:
        """Return the attributes of which a figure shows what each does alone, by their numbers in it."""
        count = self.config.evaluation.figure_attributes
        of_class = self.lists.get(self.shown_class, [])
        if figure in ANIMATION_NAMES:
            number = ANIMATION_NAMES.index(figure) + 1
            return dict(list(enumerate(top_attributes(self.lists, number), start=1))[number - 1 :])
        found = {
            "attributes": top_attributes(self.lists, count),
            "class-attributes": of_class[:count],
            "teaser": of_class[:TEASER_ATTRIBUTES],
        }
        return dict(enumerate(found.get(figure, ()), start=1))

    def words(self, figure: str) -> str:
        """Return the end of a figure's caption: what each of its attributes does alone, and their names."""
        shown = self.shown(figure)
        done = [(number, row) for number, one in shown.items() if (row := self.numbers(one)) is not None]
        sentences = [_alone(done)] if done else []
        if named := [f"attribute {number} {self.called(one)}" for number, one in shown.items() if self.called(one)]:
            sentences.append(f"Names given by people: {', '.join(named)}.")
        return " ".join(sentences)

    def table(self, run: Run, name: str) -> Block:
        """Return all attributes, with names and favourites where there are any."""
        data, path = run.table(name, "attributes"), run.paths(name).attributes
        columns = {
            "Target class": data["target_class"],
            "Rank": data["rank"],
            "Name": [self._written(index) for index in data["style_index"]],
            "Style index": data["style_index"],
            "Layer": data["layer"],
            "Channel": data["channel"],
            "Direction": [label.replace("_", " ") for label in data["direction"]],
            "Mean effect, logits": [f"{value:.2f}" for value in data["mean_effect"]],
            "Images explained": data["images_explained"],
        }
        if not self.names:
            del columns["Name"]
        frame = pandas.DataFrame(columns)
        merged = "merged" in read_json(path.with_suffix(".provenance.json"))
        numeric = tuple(column for column in frame if column not in ("Target class", "Name", "Direction"))
        said = how_found(self.config, merged)
        return Block(f"{said} {STAR}: a favourite." if self.names else said, frame, numeric)

    def _written(self, index: int) -> str:
        name = self.names.get(index, Name("", False))
        return f"{STAR if name.favourite else ''} {name.text}".strip() or NOTHING


def attributes_of(run: Run, name: str) -> Attributes:
    """Read the attributes of an experiment; raise `ArtifactError` when a stage has not run."""
    config, paths = run.experiments[name], run.paths(name)
    digest = sha256(paths.stylex_model) if paths.names.is_file() else ""
    return Attributes(
        config=config,
        lists=read_attributes(paths.attributes),
        shown_class=config.shown_class(run.latents(name).class_names),
        measured={
            (row["target_class"], row["style_index"], row["direction"]): row for row in run.rows(name, "map_numbers")
        },
        names=read_names(paths.names, digest),
        outdated=names_of_another_training(paths.names, digest),
    )


def _alone(done: Sequence[tuple[int, Row]]) -> str:
    """Write what attributes do alone; done: number and row of attribute_maps.csv of each."""
    number, row = done[0]
    agreed = f"; an independent classifier agrees on {counted(row, 'agreed')}" if asked(row) and row["flipped"] else ""
    first = (
        f"Moved alone, attribute {number} flips {row['flipped']:.0f} of {row['n']:.0f} images ({share(row, 'flipped')})"
    )
    if len(done) == 1:
        return f"{first}{agreed}."
    others = [
        f"attribute {number} flips {row['flipped']:.0f} of {row['n']:.0f} ({share(row, 'flipped')}"
        + (f"; agreed {row['agreed']:.0f})" if asked(row) and row["flipped"] else ")")
        for number, row in done[1:]
    ]
    return f"{first}{agreed}. {', '.join(others).capitalize()}."


def asked(row: Row) -> bool:
    """Whether an oracle was asked about an attribute."""
    return not pandas.isna(row["agreed"])


def counted(row: Row, count: str) -> str:
    """Write a count of a row's images with its share."""
    return f"{row[count]:.0f} ({share(row, count)})"


def share(row: Row, count: str) -> str:
    """Write a count as a percentage of a row's images."""
    return f"{100 * row[count] / row['n']:.0f} %"


def how_found(config: ExperimentConfig, merged: bool) -> str:
    """Say which search found the attributes on which effects, and what the columns mean; merged: of two lists."""
    attfind = config.attfind
    measured = "on the effects of every move on every image"
    if attfind.engine == "screened":
        measured = f"on the effects that decide it, measured where needed (confidence {100 * attfind.confidence:g} %)"
    if not config.runs("effects"):
        measured = "on the effects that its authors measured and released"
    against = "all other classes" if attfind.against is None else f"the class {attfind.against}"
    mean = "The mean effect is over the images that no earlier attribute explained."
    if merged:
        mean = "The lists of both classes are merged, and the mean effect is over all images."
    if attfind.algorithm == "image_fraction":
        mean = "Ranked by the images that the move raises by more than the threshold; the mean is over all."
    threshold = f"{attfind.threshold:g} logits"
    if attfind.threshold_margins is not None:
        threshold = f"{attfind.threshold_margins:g} times the median margin of decisions"
    return (
        f"Attributes found by AttFind: {SEARCHES[attfind.algorithm]} (threshold {threshold}, against {against}),"
        f" {measured}. {mean}"
    )
