"""What the page shows of one experiment, read from its artifacts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import pandas

from stylex.artifacts import read_json, require
from stylex.config import ExperimentConfig, ExperimentPaths, SuitePaths, backbone_paths
from stylex.config.base import INCEPTION, POOLED, TOP, Protocol
from stylex.diagnosis.verdicts import GOOD, Finding, failures, findings_of
from stylex.figures.catalog import ANIMATION_NAMES, figure_names
from stylex.report.basic_tables import class_list
from stylex.report.captions import ORIGINS, SAMPLES, caption, text
from stylex.report.comparisons import main_rows
from stylex.report.published import label
from stylex.report.run import Run, anchor, versions
from stylex.report.table import NOTHING, Block, Row, percent

MATRIX = 20  # classes up to which the whole confusion matrix is shown
MISTAKES = 20  # rows shown of a larger one
SEARCHES = {
    "paper": "Algorithm 1 of Lang et al. 2021",
    "notebook": "the search find_significant_styles of the authors' notebook",
    "image_fraction": "the search find_significant_styles_image_fraction of the authors' notebook",
}  # by attfind.algorithm


@dataclass(frozen=True)
class Picture:
    """An image embedded in the page; `links`: to its other formats and to where its numbers come from."""

    key: str  # its id on the page
    name: str
    uri: str
    alternative: str  # for those who do not see it
    caption: str
    links: list[tuple[str, str]]
    animation: str | None = None  # the same, moving: a reader starts it


@dataclass(frozen=True)
class Confusion:
    """Counts of test images by true class (row) and predicted class (column)."""

    class_names: list[str]
    counts: list[list[int]]

    @property
    def shown(self) -> bool:
        """Whether the matrix is small enough to be read."""
        return len(self.class_names) <= MATRIX

    def share(self, row: int, column: int) -> float:
        """Return the fraction of a true class, in [0, 1], that is predicted as `column`."""
        return self.counts[row][column] / max(sum(self.counts[row]), 1)

    def mistakes(self) -> list[tuple[str, str, int, float]]:
        """Return the most frequent mistakes: true class, predicted class, images, their share of the true class."""
        pairs = [
            (count, row, column)
            for row, counts in enumerate(self.counts)
            for column, count in enumerate(counts)
            if count and row != column
        ]
        worst = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:MISTAKES]
        names = self.class_names
        return [(names[row], names[column], count, self.share(row, column)) for count, row, column in worst]


@dataclass(frozen=True)
class ExperimentPart:
    """One experiment's part of the page."""

    name: str
    title: str
    headline: str
    facts: list[tuple[str, str]]
    pictures: list[Picture]
    confusion: Confusion | None  # None: the classifier is not measured here
    diagnosis: Block | None  # None: nothing was trained here
    attributes: Block
    origins: Block
    origin_ids: list[str]  # of its rows
    versions: str


def experiment_part(run: Run, suite: str, name: str, of_moves: bool) -> ExperimentPart:
    """Read one experiment; raise `ArtifactError` when a stage has not run.

    of_moves: whether the suite measures counterfactuals, so that it is known whether moves leave the data.
    """
    config, paths, figures = run.experiments[name], run.paths(name), SuitePaths(run.root, suite)
    metrics = run.classifier(name) if config.gives("classifiers") else None
    pictures = [_figure(figures, name, figure, config) for figure in figure_names(config) + ANIMATION_NAMES]
    facts, found = _facts(run, name, metrics), None
    if config.runs("diagnose"):
        pictures.append(_picture(paths.stylex_samples, name, SAMPLES, config, []))
        verdict, found = diagnosis(run, name, of_moves)
        facts.append(("Diagnosis", verdict))
    sources = {artifact: run.provenance(name, artifact) for artifact in run.artifacts(name)}
    return ExperimentPart(
        name=name,
        title=config.title,
        headline=headline(run, name),
        facts=facts,
        pictures=pictures,
        confusion=Confusion(metrics["class_names"], metrics["confusion_matrix"]) if metrics else None,
        diagnosis=found,
        attributes=_attributes(run, paths, name),
        origins=_origins(name, sources),
        origin_ids=[anchor(name, artifact) for artifact in sources],
        versions="; ".join(dict.fromkeys(versions(source) for source in sources.values())),
    )


def _figure(paths: SuitePaths, experiment: str, name: str, config: ExperimentConfig) -> Picture:
    files = {suffix.upper(): paths.figure(experiment, name, suffix) for suffix in ("pdf", "png", "gif")}
    links = [(label, path.relative_to(paths.folder).as_posix()) for label, path in files.items() if path.is_file()]
    return _picture(files["PNG"], experiment, name, config, links, files["GIF"])


def _picture(
    path: Path, experiment: str, name: str, config: ExperimentConfig, links: list[tuple[str, str]],
    moving: Path | None = None,
) -> Picture:  # fmt: skip
    origin = anchor(experiment, ORIGINS[name]) if name in ORIGINS else f"provenance:{experiment}"
    alternative, shown = caption(name, config)
    animation = _uri(moving) if moving and moving.is_file() else None
    links = [*links, ("Provenance", f"#{origin}")]
    return Picture(f"figure-{experiment}-{name}", name, _uri(path), alternative, shown, links, animation)


def _uri(path: Path) -> str:
    encoded = base64.b64encode(require(path).read_bytes()).decode("ascii")
    return f"data:image/{path.suffix[1:]};base64,{encoded}"


def pooled_and_directions(run: Run, name: str, method: str) -> tuple[Row | None, dict[str, Row]]:
    """Return a method's rows of the largest k up to ten by the main protocol: all directions, and each by its class."""
    rows = [row for row in run.rows(name, "sufficiency") if row["protocol"] == run.experiments[name].attfind.protocol]
    most = max(TOP, min(row["k"] for row in rows))
    counted = [row for row in rows if row["k"] <= most and row["n"] > 0 and row["method"] == method]
    by_class = {row["target_class"]: row for row in sorted(counted, key=lambda row: row["k"])}
    return by_class.pop(POOLED, None), by_class


def headline(run: Run, name: str) -> str:
    """Return in a sentence how many decisions the attributes of an experiment flip."""
    config = run.experiments[name]
    pooled, directions = pooled_and_directions(run, name, config.method)
    if pooled is None:
        return "No image could be tested."
    listed = ", ".join(f"towards {target} {percent(row['fraction'])} %" for target, row in directions.items())
    held_out = config.attfind.protocol is Protocol.HELD_OUT
    return (
        f"{percent(pooled['fraction'])} % of decisions on images that {'no' if held_out else 'the'} search has seen"
        f" flip within the top {pooled['k']} attributes (n = {pooled['n']},"
        f" 95 % interval {percent(pooled['low'])}–{percent(pooled['high'])} %, shift {pooled['shift']:g}):"
        f" {listed}."
    )


def _facts(run: Run, name: str, metrics: dict | None) -> list[tuple[str, str]]:
    config = run.experiments[name]
    stylex, attfind, architecture = config.stylex, config.attfind, config.classifier.label
    classes = class_list(metrics["class_names"] if metrics else run.latents(name).class_names)
    images = f"{config.dataset.name}, {classes}, {config.dataset.resolution} × {config.dataset.resolution} pixels"
    if metrics is None:
        images += "; those of " if config.released_images else "; not released, and not looked at here"
        facts = [
            ("Images", f"{images}{config.released_images or ''}"),
            ("Classifier", f"{architecture}, released, of which no accuracy is published"),
            ("StylEx", f"released, conditioning: {stylex.conditioning}; converted, not trained here"),
            ("AttFind", f"{len(run.latents(name).ids)} released latents, shift {attfind.shift:g}"),
        ]
    else:
        backbone = stylex.perceptual_backbone
        measured = read_json(backbone_paths(run.root, backbone).metrics)["accuracy"]
        facts = [
            ("Images", images),
            ("Classifier", f"{architecture}, {percent(metrics['accuracy'])} % of {metrics['n']} test images"),
            ("StylEx", f"{stylex.training.images} training images shown, conditioning: {stylex.conditioning}"),
            ("AttFind", f"{attfind.images} images of the {attfind.split} split at the most, shift {attfind.shift:g}"),
            ("Distances", f"features of {backbone}, trained here on all classes ({percent(measured)} % accurate)"),
        ]
    # What published weights measured besides; the backbone measured the rest.
    if stylex.lpips_network and config.runs("train"):
        facts.append(("Perceptual distance", f"LPIPS ({stylex.perceptual.removeprefix('lpips-')})"))
    if INCEPTION in config.evaluation.frechet_extractors and config.gives("frechet"):
        facts.append(("FID", "pytorch-fid's Inception"))
    return [*facts, ("Method", label(config.method)), ("Seed", str(config.seed))]


def diagnosis(run: Run, name: str, of_moves: bool) -> tuple[str, Block]:
    """Return what `stylex diagnose` found: the verdict, and all measures, what is to be fixed first at the top."""
    data = run.table(name, "diagnosis")
    findings = [Finding(row["measure"], row["value"], row["limit"]) for row in data.to_dict("records")]
    if of_moves:
        rows = main_rows(run, name)
        findings += findings_of({"moves_distance": float(rows[POOLED]["frechet_ratio"])}, classes=len(rows) - 1)
    verdict = "; ".join(failures(findings)) or GOOD
    frame = pandas.DataFrame([
        {
            "Measure": finding.criterion.text,
            "Value": finding.written(finding.value),
            "Good": finding.bound,
            "Verdict": finding.verdict,
            "Remedy": NOTHING if finding.passes else finding.criterion.remedy,
        }
        for finding in findings
    ])  # fmt: skip
    shown = text("diagnosis", verdict=verdict, n=data["n"].iloc[0])
    return verdict, Block(f"{shown} {text('diagnosis_of_moves')}" if of_moves else shown, frame, ("Value", "Good"))


def _attributes(run: Run, paths: ExperimentPaths, name: str) -> Block:
    data = run.table(name, "attributes")
    frame = pandas.DataFrame({
        "Target class": data["target_class"],
        "Rank": data["rank"],
        "Style index": data["style_index"],
        "Layer": data["layer"],
        "Channel": data["channel"],
        "Direction": [label.replace("_", " ") for label in data["direction"]],
        "Mean effect, logits": [f"{value:.2f}" for value in data["mean_effect"]],
        "Images explained": data["images_explained"],
    })  # fmt: skip
    merged = "merged" in read_json(paths.attributes.with_suffix(".provenance.json"))
    numeric = tuple(column for column in frame if column not in ("Target class", "Direction"))
    return Block(how_found(run.experiments[name], merged), frame, numeric)


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


def _origins(name: str, sources: dict[str, dict[str, str]]) -> Block:
    columns = {
        "config_digest": "Config digest", "seed": "Seed", "commit": "Commit", "uncommitted": "Uncommitted changes",
        "device": "Device", "machine": "Machine", "python": "Python",
    }  # fmt: skip
    rows = [
        {"Artifact": artifact} | {title: source.get(key, "unknown") for key, title in columns.items()}
        for artifact, source in sources.items()
    ]
    return Block(f"Provenance of the numbers of {name}.", pandas.DataFrame(rows))
