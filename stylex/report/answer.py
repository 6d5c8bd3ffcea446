"""The first screen: what was asked, and of each experiment the answer in a sentence, with a verdict on its quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas
from markupsafe import Markup

from stylex.config.base import POOLED, REST, Protocol
from stylex.diagnosis.verdicts import GOOD
from stylex.report.attributes import Attributes, asked, share
from stylex.report.comparisons import main_rows
from stylex.report.experiment import ExperimentPart, pooled_and_directions
from stylex.report.links import Links
from stylex.report.pictures import Picture
from stylex.report.run import Run

AGREED = 0.8  # of the counterfactuals, at least, an independent classifier must give to their class
LISTED = 4  # classes that are named one by one
QUESTIONS = 3  # classifiers that are named one by one
TELLING = ("teaser", "attributes")  # figures, the most telling first
AGREES, UNJUDGED, UNMEASURED = "an independent classifier agrees", "not judged independently", "quality not measured"
DISAGREES = "an independent classifier disagrees"


@dataclass(frozen=True)
class Quality:
    """Whether an experiment's explanations can be believed."""

    kind: str  # supports, contradicts, untested: the colour of the badge
    verdict: str
    reason: Markup


@dataclass(frozen=True)
class Answer:
    """What the first screen says of an experiment."""

    name: str
    title: str
    picture: Picture
    sentence: Markup
    quality: Quality
    gallery: str


def answer(run: Run, part: ExperimentPart, attributes: Attributes, links: Links) -> Answer:
    """Return what the first screen says of an experiment."""
    shown = {picture.name: picture for picture in part.pictures}
    picture = next(shown[name] for name in TELLING if name in shown)
    return Answer(
        name=part.name,
        title=part.title,
        picture=picture,
        sentence=sentence(run, part.name, attributes, picture.name, links),
        quality=quality(run, part, links),
        gallery=f"gallery/index.html#experiment={part.name}",
    )


def asked_of(run: Run) -> str:
    """Return in a sentence what a suite asks: of which classifiers, and on what images."""
    found = []
    for name, config in run.experiments.items():
        of = classes(run.latents(name).class_names)
        found.append(f"the classifier of {of} ({config.dataset.name}, {config.dataset.resolution} pixels square)")
    first, *others = dict.fromkeys(found)
    shown, more = others[: QUESTIONS - 1], len(others) - (QUESTIONS - 1)
    rest = ", ".join(f"and {each}" for each in [*shown, *([f"{more} more"] if more > 0 else [])])
    return f"What does {first} look at{', ' * bool(rest)}{rest}?"


def classes(names: Sequence[str]) -> str:
    """Name the classes of a classifier in a sentence, or of many the number, the first and the last."""
    if REST in names:
        return f"{', '.join(name for name in names if name != REST)} against the rest"
    if len(names) > LISTED:
        return f"{len(names)} classes, {names[0]} to {names[-1]}"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def sentence(run: Run, name: str, attributes: Attributes, figure: str, links: Links) -> Markup:
    """Return what the first attribute of a figure does alone, and what the list does; each number leads to its file."""
    first, parts = attributes.shown(figure).get(1), []
    row = attributes.numbers(first) if first else None
    if first and row:
        called = f" {attributes.called(first)}" if attributes.called(first) else ""
        unseen = " not seen by the search" if row["protocol"] == Protocol.HELD_OUT else ""
        counts = f"{row['flipped']:.0f} of {row['n']:.0f} images ({share(row, 'flipped')})"
        turned = _number(counts, links.number(name, "maps"))
        text = "Attribute 1{} (layer {}, channel {}) alone turns {}{} into {}"
        parts.append(Markup(text).format(called, first.layer, first.channel, turned, unseen, first.target_class))
        if asked(row) and row["flipped"]:
            agreed = _number(share(row, "agreed"), links.number(name, "maps"))
            parts[0] += Markup("; an independent classifier agrees on {}").format(agreed)
    pooled, _ = pooled_and_directions(run, name, run.experiments[name].method)
    if pooled:
        flips = _number(f"{100 * pooled['fraction']:.0f} % of {pooled['n']:.0f}", links.number(name, "sufficiency"))
        parts.append(Markup("Within the top {} attributes, {} decisions turn").format(pooled["k"], flips))
    return Markup(" ").join(Markup("{}.").format(part) for part in parts) or Markup("No image could be tested.")


def _number(text: str, link: str) -> Markup:
    return Markup('<a class="number" href="{}">{}</a>').format(link, text)


def quality(run: Run, part: ExperimentPart, links: Links) -> Quality:
    """Judge an experiment: nothing in its diagnosis has failed, and an independent classifier agrees to `AGREED`."""
    if part.verdict is None:
        return Quality("untested", UNMEASURED, Markup("A released model is not diagnosed here."))
    failed = [] if part.verdict == GOOD else [part.verdict]
    found = Markup('<a href="{}">Diagnosis</a>: {}.').format(links.number(part.name, "diagnosis"), part.verdict)
    row = main_rows(run, part.name).get(POOLED) if part.of_moves else None
    if row is None or pandas.isna(row["agreement"]):
        reason = Markup("{} No independent classifier was asked.").format(found)
        return Quality("contradicts", failed[0], reason) if failed else Quality("untested", UNJUDGED, reason)
    if row["agreement"] < AGREED:
        failed.append(DISAGREES)
    agreed = _number(f"{100 * row['agreement']:.0f} % of {row['n']:.0f}", links.number(part.name, "counterfactuals"))
    reason = Markup("{} An independent classifier agrees on {} counterfactuals.").format(found, agreed)
    return Quality("contradicts", "; ".join(failed), reason) if failed else Quality("supports", AGREES, reason)
