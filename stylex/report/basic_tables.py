"""The tables of classifiers, samples, sufficiency, seeds, single images and distances, from the artifacts of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_json
from stylex.attfind.records import IMAGES_TOWARDS
from stylex.config import load_experiment
from stylex.config.base import INCEPTION, POOLED, Protocol
from stylex.errors import ArtifactError
from stylex.evaluation.intervals import wilson_interval
from stylex.report.captions import text
from stylex.report.published import PROTOCOLS, with_published
from stylex.report.run import Run, stacked
from stylex.report.table import NOTHING, Block, Row, Table, about, by_k, grid, groups, interval, number, of, percent

SUBSET = (
    "experiment", "domain", "method", "selection", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed",
)  # fmt: skip
SHOWN = (1, 5, 10, 40)  # the k of a reader's table; [L] and [V] report 10, [L] 40 for one domain
SHOWN_OF_IMAGES = (1, 2, 3, 5, 10)  # of single images
KINDS = {"analysed": "Images", "reconstructed": "Reconstructions", "generated": "Random samples"}
NAMED = 10  # classes up to which all are named


def classifiers_table(run: Run) -> Table:
    """Build the table of explained classifiers ([L] Table 1) from each experiment's classifier metrics and latents."""
    data = pandas.DataFrame([classifier_row(run, name) for name in run.experiments])
    cells = about("experiment", "domain", "architecture", "dataset", "classes") | {
        "n test": "n_test",
        "Accuracy, %": lambda row: _wilson(row["accuracy"], row["n_test"]),
        "Balanced (one class), %": lambda row: f"{percent(row['balanced_accuracy'])} ({percent(row['majority'])})",
        "ECE, %": of(percent, "ece"),
        "Temperature": of(number, "temperature", 2),
        "ECE scaled, %": of(percent, "ece_scaled"),
        "n reconstructed": "n_reconstructed",
        "Class kept, %": lambda row: _wilson(row["class_kept"], row["n_reconstructed"]),
        "Mean |x' - x|": of(number, "reconstruction_l1", 3),
    }
    published = Block(text("datasets"), run.published("datasets").rename(columns=str.capitalize))
    blocks = (grid(text("classifiers"), data.to_dict("records"), cells), published)
    return Table("classifiers", "Classifiers", data, blocks)


def classifier_row(run: Run, name: str) -> Row:
    """Return one experiment's row; accuracy, ece and class_kept are fractions in [0, 1]."""
    config, metrics, latents = run.experiments[name], run.classifier(name), run.latents(name)
    calibration = metrics.get("calibration", {})  # a classifier made elsewhere has none, nor what is asked by `get`
    kept = latents.reconstruction_logits.argmax(1) == latents.logits.argmax(1)
    dataset = config.dataset.name
    trained = dataset
    if other := config.classifier_of:
        trained = (run.experiments.get(other) or load_experiment(run.root, other)).dataset.name
    return {
        "experiment": name,
        "domain": config.domain,
        "architecture": config.classifier.label,
        "dataset": dataset + (f" (classifier: {trained})" if trained != dataset else ""),  # as in [V] 4.2
        "classes": class_list(metrics["class_names"]),
        "n_test": metrics["n"],
        "accuracy": metrics["accuracy"],
        "balanced_accuracy": metrics.get("balanced_accuracy", nan),
        "majority": metrics.get("majority", nan),
        **{key: calibration.get(key, nan) for key in ("ece", "temperature", "ece_scaled")},
        "n_reconstructed": len(latents.ids),
        "class_kept": kept.double().mean().item(),
        "reconstruction_l1": latents.reconstruction_l1.double().mean().item(),
    }


def class_list(names: Sequence[str]) -> str:
    """Name all classes, or of many the first and the last, and how many there are."""
    if len(names) <= NAMED:
        return " / ".join(names)
    return f"{names[0]} / … / {names[-1]} ({len(names)} classes)"


def _wilson(fraction: float, n: int) -> str:
    low, high = wilson_interval(round(fraction * n), n)
    return interval({"fraction": fraction, "low": low, "high": high})


def samples_table(run: Run) -> Table:
    """Build the table of the classes of random samples ([L] 4.2.3) from each experiment's samples.csv."""
    data = run.stacked("samples")
    cells = about("experiment", "domain", "method") | {
        "Class": "class_name",
        "n images": lambda row: row["at"]["analysed"]["n"],
        "n samples": lambda row: row["at"]["generated"]["n"],
    }
    cells |= {f"{label}, %": lambda row, kind=kind: interval(row["at"][kind]) for kind, label in KINDS.items()}
    block = grid(text("samples"), groups(data, ("experiment", "class_name"), "images"), cells)
    return Table("samples", "Classes of random samples", data, (block,))


def sufficiency_table(run: Run) -> Table:
    """Build the table of flipped decisions ([L] Table 3, [V] Table 1) from each experiment's sufficiency.csv."""
    published = run.published("sufficiency")
    data = stacked(
        with_published(run.table(name, "sufficiency"), published, config.published_domain, config.published_method)
        for name, config in run.experiments.items()
    )
    domains = list(dict.fromkeys(data["domain"]))  # methods of a domain stand together
    together = data.sort_values("domain", key=lambda names: names.map(domains.index), kind="stable")

    def figures(row: Row) -> str:
        known = [(k, each["published"]) for k, each in row["at"].items() if pandas.notna(each["published"])]
        return ", ".join(f"{percent(value)} (k = {k})" for k, value in known) or NOTHING

    cells = about("experiment", "domain", "method", "protocol", "target_class", "n", "shift")
    cells |= by_k(together, SHOWN, interval) | {"Published, %": figures}
    ours = groups(together, ("experiment", "method", "protocol", "target_class"), "k")
    context = about("source", "domain", "method", "k") | {"Flipped, %": of(percent, "value"), "Note": "note"}
    blocks = (
        grid(text("sufficiency"), ours, cells),
        grid(text("published_sufficiency"), published.fillna({"note": ""}).to_dict("records"), context),
    )
    return Table("sufficiency", "Sufficiency", data, blocks)


def subset_table(run: Run) -> Table:
    """Build the table of single images explained ([L] 3.4) from each experiment's independent.csv and subset.csv."""
    rows: list[Row] = []
    for name, config in run.experiments.items():
        common = {"experiment": name, "domain": config.domain, "method": config.method, "seed": config.seed}
        common |= {"shift": config.attfind.shift}
        for selection in ("subset", "independent"):
            images = images_of(getattr(run.paths(name), selection))
            measured = fractions(run.table(name, selection), images, config.evaluation.explanation_steps)
            rows += [common | {"selection": selection} | row for row in measured]
    data = pandas.DataFrame(rows, columns=list(SUBSET))
    cells = about("experiment", "domain", "method", "selection", "n", "shift") | by_k(data, SHOWN_OF_IMAGES, interval)
    lines = groups(data.loc[data["target_class"] == POOLED], ("experiment", "selection"), "k")
    return Table("subset", "Explanations of single images", data, (grid(text("subset"), lines, cells),))


def images_of(path: Path) -> dict[str, int]:
    """Return how many images were explained, by target class, as the provenance says: not all have a row."""
    beside, prefix = path.with_suffix(".provenance.json"), f"{IMAGES_TOWARDS} "
    origin = read_json(beside)
    counts = {key.removeprefix(prefix): int(value) for key, value in origin.items() if key.startswith(prefix)}
    if not counts:
        raise ArtifactError(f"{beside} does not say how many images were explained; run `stylex explain` again")
    return counts


def fractions(steps: pandas.DataFrame, images: Mapping[str, int], most: int) -> list[Row]:
    """Return a row for each k up to `most` and target class, and `POOLED`, all classes together.

    steps: rows of independent.csv or subset.csv. Flipped counts the images that are the target at some step <= k.
    """
    flipped = steps.loc[steps["flipped"].astype(bool)]
    first = flipped.groupby(["target_class", "id"])["step"].min()  # at which an image is the target
    rows = []
    for k in range(1, most + 1):
        within = Counter(first.index[first <= k].get_level_values("target_class"))
        counts = {target: (within[target], n) for target, n in images.items()}
        counts[POOLED] = (within.total(), sum(images.values()))
        for target, (count, n) in counts.items():
            low, high = wilson_interval(count, n)
            measured = {"target_class": target, "k": k, "n": n, "flipped": count, "fraction": count / n if n else None}
            rows.append(measured | {"low": low, "high": high})
    return rows


def frechet_table(run: Run) -> Table:
    """Build the table of distances to the dataset's images ([V] 5.2, figure 3) from each experiment's frechet.csv."""
    data = run.stacked("frechet")
    blocks = tuple(_curves(Protocol(str(protocol)), part) for protocol, part in data.groupby("protocol", sort=False))
    return Table("frechet", "Distance to the dataset's images", data, blocks)


def _curves(protocol: Protocol, data: Any) -> Block:
    """Return the curves of all experiments by one protocol, side by side."""
    columns: dict[str, Any] = {}
    for (experiment, extractor), part in data.groupby(["experiment", "extractor"], sort=False):
        curve, name = part.set_index("n_attributes"), f"{experiment} (n = {part['n'].iloc[0]})"
        distance = "FID" if extractor == INCEPTION else f"Fréchet distance, {extractor}"
        kid, sd = ((1000 * curve[column]).map("{:.2f}".format) for column in ("kid", "kid_sd"))
        columns[f"{name}: {distance}"] = curve["frechet_distance"].map("{:.2f}".format)
        columns[f"{experiment}: KID × 1000, {extractor}"] = kid + " ± " + sd
    frame = pandas.DataFrame(columns).sort_index().fillna(NOTHING).rename_axis("Attributes").reset_index()
    extractors = set(data["extractor"])
    captions = [text("frechet")]
    captions += [text("frechet_inception")] if INCEPTION in extractors else []
    captions += [text("frechet_others")] if extractors - {INCEPTION} else []
    return Block(" ".join([*captions, f"Protocol: {PROTOCOLS[protocol]}."]), frame, tuple(frame.columns))
