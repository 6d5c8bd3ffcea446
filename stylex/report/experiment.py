"""What the page shows of one experiment, read from its artifacts."""

from __future__ import annotations

from dataclasses import dataclass

import pandas

from stylex.artifacts import read_json
from stylex.config import backbone_paths
from stylex.config.base import INCEPTION, POOLED, TOP, Protocol
from stylex.diagnosis.verdicts import GOOD, Finding, failures, findings_of
from stylex.figures.catalog import ANIMATION_NAMES, figure_names
from stylex.report.attributes import Attributes
from stylex.report.basic_tables import class_list
from stylex.report.captions import text
from stylex.report.comparisons import main_rows
from stylex.report.links import Links
from stylex.report.pictures import Album, Picture
from stylex.report.published import label
from stylex.report.run import Run, anchor, versions
from stylex.report.table import NOTHING, Block, Row, percent

MATRIX = 20  # classes up to which the whole confusion matrix is shown
MISTAKES = 20  # rows shown of a larger one


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
    facts: list[tuple[str, str, str]]  # label, text, and the artifact that has its numbers, if there are any
    pictures: list[Picture]
    confusion: Confusion | None  # None: the classifier is not measured here
    verdict: str | None  # None: nothing was trained here
    diagnosis: Block | None
    of_moves: bool  # whether counterfactuals were measured
    attributes: Block
    notes: list[str]
    origins: Block
    origin_ids: list[str]  # of its rows
    versions: str


def experiment_part(
    run: Run, name: str, album: Album | None, attributes: Attributes, links: Links, of_moves: bool
) -> ExperimentPart:
    """Read one experiment; raise `ArtifactError` when a stage has not run.

    album: None where the suite draws no figures. of_moves: whether the suite measures counterfactuals, so that it is
    known whether moves leave the data.
    """
    config = run.experiments[name]
    figures = figure_names(config) + ANIMATION_NAMES
    metrics = run.classifier(name) if config.gives("classifiers") else None
    facts, verdict, found = _facts(run, name, metrics), None, None
    if config.runs("diagnose"):
        verdict, found = diagnosis(run, name, of_moves)
        facts.append(("Diagnosis", verdict, "diagnosis"))
    sources = {artifact: run.provenance(name, artifact) for artifact in run.artifacts(name)}
    notes = []
    if attributes.outdated:
        notes.append(
            f"{attributes.outdated} names in {run.paths(name).names.relative_to(run.root)} are of another training and"
            " are not used: name the attributes again in the gallery."
        )
    return ExperimentPart(
        name=name,
        title=config.title,
        headline=headline(run, name),
        facts=facts,
        pictures=[album.picture(name, each, attributes, links) for each in figures] if album else [],
        confusion=Confusion(metrics["class_names"], metrics["confusion_matrix"]) if metrics else None,
        verdict=verdict,
        diagnosis=found,
        of_moves=of_moves and config.gives("counterfactuals"),
        attributes=attributes.table(run, name),
        notes=notes,
        origins=_origins(run, name, sources),
        origin_ids=[anchor(name, artifact) for artifact in sources],
        versions="; ".join(dict.fromkeys(versions(source) for source in sources.values())),
    )


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


def _facts(run: Run, name: str, metrics: dict | None) -> list[tuple[str, str, str]]:
    config = run.experiments[name]
    stylex, attfind, architecture = config.stylex, config.attfind, config.classifier.label
    classes = class_list(metrics["class_names"] if metrics else run.latents(name).class_names)
    images = f"{config.dataset.name}, {classes}, {config.dataset.resolution} × {config.dataset.resolution} pixels"
    if metrics is None:
        images += "; those of " if config.released_images else "; not released, and not looked at here"
        facts = [
            ("Images", f"{images}{config.released_images or ''}", ""),
            ("Classifier", f"{architecture}, released, of which no accuracy is published", ""),
            ("StylEx", f"released, conditioning: {stylex.conditioning}; converted, not trained here", ""),
            ("AttFind", f"{len(run.latents(name).ids)} released latents, shift {attfind.shift:g}", "latents"),
        ]
    else:
        backbone = stylex.perceptual_backbone
        file = backbone_paths(run.root, backbone).metrics
        measured = f"{percent(read_json(file)['accuracy'])} % accurate, {file.relative_to(run.root)}"
        facts = [
            ("Images", images, ""),
            (
                "Classifier",
                f"{architecture}, {percent(metrics['accuracy'])} % of {metrics['n']} test images",
                "classifier",
            ),
            (
                "StylEx",
                f"{stylex.training.images} training images shown, conditioning: {stylex.conditioning}",
                "stylex",
            ),
            (
                "AttFind",
                f"{attfind.images} images of the {attfind.split} split at the most, shift {attfind.shift:g}",
                "",
            ),
            ("Distances", f"features of {backbone}, trained here on all classes ({measured})", ""),
        ]
    # What published weights measured besides; the backbone measured the rest.
    if stylex.lpips_network and config.runs("train"):
        facts.append(("Perceptual distance", f"LPIPS ({stylex.perceptual.removeprefix('lpips-')})", ""))
    if INCEPTION in config.evaluation.frechet_extractors and config.gives("frechet"):
        facts.append(("FID", "pytorch-fid's Inception", ""))
    return [*facts, ("Method", label(config.method), ""), ("Seed", str(config.seed), "")]


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


def _origins(run: Run, name: str, sources: dict[str, dict[str, str]]) -> Block:
    columns = {
        "config_digest": "Config digest", "seed": "Seed", "commit": "Commit", "uncommitted": "Uncommitted changes",
        "device": "Device", "machine": "Machine", "python": "Python",
    }  # fmt: skip
    rows = [
        {"Artifact": artifact, "File": ", ".join(str(path.relative_to(run.root)) for path in run.files(name, artifact))}
        | {title: source.get(key, "unknown") for key, title in columns.items()}
        for artifact, source in sources.items()
    ]
    return Block(f"Provenance of the numbers of {name}.", pandas.DataFrame(rows))
