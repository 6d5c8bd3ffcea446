"""What the page shows of one experiment, read from its artifacts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from pathlib import Path

import pandas

from stylex.artifacts import read_json, read_table, require
from stylex.config import ExperimentConfig, ExperimentPaths, SuitePaths, backbone_paths, experiment_paths, load_suite
from stylex.config.analysis import INCEPTION, POOLED
from stylex.figures.names import ANIMATION_NAMES, figure_names
from stylex.latents.table import read_latents
from stylex.protocols import Protocol
from stylex.report.captions import ORIGINS, SAMPLES, caption
from stylex.report.confusion import Confusion, class_list
from stylex.report.diagnosis import diagnosis
from stylex.report.provenance import anchor, artifact_provenance, artifacts_of, versions
from stylex.report.published import LABELS
from stylex.report.table import Block, percent

TOP = 10  # attributes in the headline, at the most, as [L] Table 3
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


def experiment_part(root: Path, suite: str, name: str, config: ExperimentConfig) -> ExperimentPart:
    """Read one experiment; raise `ArtifactError` when a stage has not run."""
    of_moves = "counterfactuals" in load_suite(root, suite).tables
    paths = experiment_paths(root, name)
    metrics = None if config.released else read_json(paths.classifier.metrics)
    figures = SuitePaths(root, suite)
    pictures = [_figure(figures, name, figure, config) for figure in figure_names(config) + ANIMATION_NAMES]
    if not config.released:
        pictures.append(_picture(paths.stylex_samples, name, SAMPLES, config, []))
    facts = _facts(root, config, metrics) if metrics else _facts_of_released(paths, config)
    verdict, found = (None, None) if config.released else diagnosis(paths, config, of_moves)
    sources = {artifact: artifact_provenance(root, name, artifact) for artifact in artifacts_of(root, name)}
    return ExperimentPart(
        name=name,
        title=config.title,
        headline=_headline(paths, config),
        facts=[*facts, ("Diagnosis", verdict)] if verdict else facts,
        pictures=pictures,
        confusion=Confusion(metrics["class_names"], metrics["confusion_matrix"]) if metrics else None,
        diagnosis=found,
        attributes=_attributes(paths, config),
        origins=_origins(name, sources),
        origin_ids=[anchor(name, artifact) for artifact in sources],
        versions="; ".join(dict.fromkeys(versions(source) for source in sources.values())),
    )


def _figure(paths: SuitePaths, experiment: str, name: str, config: ExperimentConfig) -> Picture:
    files = {suffix.upper(): paths.figure(experiment, name, suffix) for suffix in ("pdf", "png", "gif")}
    links = [(text, path.relative_to(paths.folder).as_posix()) for text, path in files.items() if path.is_file()]
    still = _picture(files["PNG"], experiment, name, config, links)
    return replace(still, animation=_uri(files["GIF"])) if files["GIF"].is_file() else still


def _picture(path: Path, experiment: str, name: str, config: ExperimentConfig, links: list[tuple[str, str]]) -> Picture:
    alternative, text = caption(name, config)
    origin = anchor(experiment, ORIGINS[name]) if name in ORIGINS else f"provenance:{experiment}"
    return Picture(
        key=f"figure-{experiment}-{name}",
        name=name,
        uri=_uri(path),
        alternative=alternative,
        caption=text,
        links=[*links, ("Provenance", f"#{origin}")],
    )


def _uri(path: Path) -> str:
    encoded = base64.b64encode(require(path).read_bytes()).decode("ascii")
    return f"data:image/{path.suffix[1:]};base64,{encoded}"


def _headline(paths: ExperimentPaths, config: ExperimentConfig) -> str:
    frame = read_table(paths.sufficiency, ("protocol", "target_class"))
    frame = frame.loc[frame["protocol"] == config.attfind.protocol]
    frame = frame.loc[frame["k"] <= max(TOP, min(frame["k"]))]
    method = frame["method"].iloc[0]  # its own; the baseline of Wu et al. may follow
    ordered = sorted(frame.to_dict("records"), key=lambda row: row["k"])
    rows = {row["target_class"]: row for row in ordered if row["n"] > 0 and row["method"] == method}
    pooled = rows.pop(POOLED, None)  # of each target class the row of the largest k
    if pooled is None:
        return "No image could be tested."
    directions = ", ".join(f"towards {name} {percent(row['fraction'])} %" for name, row in rows.items())
    held_out = config.attfind.protocol is Protocol.HELD_OUT
    return (
        f"{percent(pooled['fraction'])} % of decisions on images that {'no' if held_out else 'the'} search has seen"
        f" flip within the top {pooled['k']} attributes (n = {pooled['n']},"
        f" 95 % interval {percent(pooled['low'])}–{percent(pooled['high'])} %, shift {pooled['shift']:g}):"
        f" {directions}."
    )


def _facts(root: Path, config: ExperimentConfig, metrics: dict) -> list[tuple[str, str]]:
    stylex, attfind = config.stylex, config.attfind
    backbone = stylex.perceptual_backbone
    measured = read_json(backbone_paths(root, backbone).metrics)["accuracy"]
    side = config.dataset.resolution
    return [
        ("Images", f"{config.dataset.name}, {class_list(metrics['class_names'])}, {side} × {side} pixels"),
        (
            "Classifier",
            f"{config.classifier.architecture}, {percent(metrics['accuracy'])} % of {metrics['n']} test images",
        ),
        ("StylEx", f"{stylex.training.images} training images shown, conditioning: {stylex.conditioning}"),
        ("AttFind", f"{attfind.images} images of the {attfind.split} split at the most, shift {attfind.shift:g}"),
        ("Distances", f"features of {backbone}, trained here on all classes ({percent(measured)} % accurate)"),
        *_published(config),
        ("Method", LABELS[config.method]),
        ("Seed", str(config.seed)),
    ]


def _facts_of_released(paths: ExperimentPaths, config: ExperimentConfig) -> list[tuple[str, str]]:
    latents, side, attfind = read_latents(paths.latents), config.dataset.resolution, config.attfind
    where = f"those of {config.released_images}" if config.released_images else "not released, and not looked at here"
    return [
        ("Images", f"{config.dataset.name}, {class_list(latents.class_names)}, {side} × {side} pixels; {where}"),
        ("Classifier", f"{config.classifier.architecture}, released, of which no accuracy is published"),
        ("StylEx", f"released, conditioning: {config.stylex.conditioning}; converted, not trained here"),
        ("AttFind", f"{len(latents.ids)} released latents, shift {attfind.shift:g}"),
        *_published(config),
        ("Method", LABELS[config.method]),
        ("Seed", str(config.seed)),
    ]


def _published(config: ExperimentConfig) -> list[tuple[str, str]]:
    """Name what published weights measured besides; the backbone measured the rest."""
    lpips, extractors = config.stylex.perceptual, config.evaluation.frechet_extractors
    facts = []
    if config.stylex.lpips_network and not config.released:
        facts.append(("Perceptual distance", f"LPIPS ({lpips.removeprefix('lpips-')})"))
    return facts + ([("FID", "pytorch-fid's Inception")] if INCEPTION in extractors and config.gives("frechet") else [])


def _attributes(paths: ExperimentPaths, config: ExperimentConfig) -> Block:
    data = read_table(paths.attributes, ("target_class", "direction"))
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
    return Block(
        how_found(config, merged),
        frame,
        ("Rank", "Style index", "Layer", "Channel", "Mean effect, logits", "Images explained"),
    )


def how_found(config: ExperimentConfig, merged: bool) -> str:
    """Say which search found the attributes on which effects, and what the columns mean; merged: of two lists."""
    attfind = config.attfind
    measured = "on the effects of every move on every image"
    if attfind.engine == "screened":
        measured = f"on the effects that decide it, measured where needed (confidence {100 * attfind.confidence:g} %)"
    if config.released == "effects":
        measured = "on the effects that its authors measured and released"
    against = "all other classes" if attfind.against is None else f"the class {attfind.against}"
    text = (
        f"Attributes found by AttFind: {SEARCHES[attfind.algorithm]} (threshold {attfind.threshold:g} logits, against"
        f" {against}), {measured}."
    )
    if attfind.algorithm == "image_fraction":
        return text + " Ranked by the images that the move raises by more than the threshold; the mean is over all."
    if merged:
        return text + " The lists of both classes are merged, and the mean effect is over all images."
    return text + " The mean effect is over the images that no earlier attribute explained."


def _origins(name: str, sources: dict[str, dict[str, str]]) -> Block:
    columns = {"config_digest": "Config digest", "seed": "Seed", "commit": "Commit"}
    columns |= {"uncommitted": "Uncommitted changes", "device": "Device"}
    machine = {"machine": "Machine", "python": "Python"}
    rows = [
        {"Artifact": artifact} | {title: source.get(key, "unknown") for key, title in (columns | machine).items()}
        for artifact, source in sources.items()
    ]
    return Block(f"Provenance of the numbers of {name}.", pandas.DataFrame(rows))
