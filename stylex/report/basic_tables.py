"""The tables of classifiers, samples, sufficiency, seeds, single images and distances, from the artifacts of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path

import pandas

from stylex.artifacts import read_json
from stylex.attfind.records import IMAGES_TOWARDS
from stylex.config import ExperimentConfig, load_experiment
from stylex.config.base import INCEPTION, KID_FOLDS, POOLED
from stylex.errors import ArtifactError
from stylex.evaluation.intervals import wilson_interval
from stylex.protocols import Protocol
from stylex.report.captions import text
from stylex.report.published import PROTOCOLS, read_published, with_published
from stylex.report.run import Row, Run
from stylex.report.table import NOTHING, Block, Table, by_k, concatenated, interval, named, number, percent

SUFFICIENCY = (
    "experiment", "domain", "method", "protocol", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed", "published",
)  # fmt: skip
SEEDS = ("experiments", "domain", "method", "protocol", "target_class", "k", "seeds", "mean", "sd")
SAMPLES = ("experiment", "domain", "method", "images", "class_name", "n", "count", "fraction", "low", "high", "seed")
SUBSET = (
    "experiment", "domain", "method", "selection", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed",
)  # fmt: skip
FRECHET = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd", *KID_FOLDS)
SHOWN = (1, 5, 10, 40)  # the k of a reader's table; [L] and [V] report 10, [L] 40 for one domain
SHOWN_OF_IMAGES = (1, 2, 3, 5, 10)  # of single images
KINDS = {"analysed": "Images", "reconstructed": "Reconstructions", "generated": "Random samples"}
NAMED = 10  # classes up to which all are named


def classifiers_table(run: Run) -> Table:
    """Build the table of explained classifiers ([L] Table 1) from each experiment's classifier metrics and latents."""
    data = pandas.DataFrame([classifier_row(run, name) for name in run.experiments])
    rows = []
    for row in data.to_dict("records"):
        balanced, majority = percent(row["balanced_accuracy"]), percent(row["majority"])
        rows.append(
            named(row, "experiment", "domain", "architecture", "dataset", "classes")
            | {
                "n test": row["n_test"],
                "Accuracy, %": _wilson(row["accuracy"], row["n_test"]),
                "Balanced (one class), %": f"{balanced} ({majority})",
                "ECE, %": percent(row["ece"]),
                "Temperature": number(row["temperature"], 2),
                "ECE scaled, %": percent(row["ece_scaled"]),
                "n reconstructed": row["n_reconstructed"],
                "Class kept, %": _wilson(row["class_kept"], row["n_reconstructed"]),
                "Mean |x' - x|": f"{row['reconstruction_l1']:.3f}",
            }
        )
    frame, published = pandas.DataFrame(rows), read_published(run.root, "datasets").rename(columns=str.capitalize)
    ours = Block(text("classifiers"), frame, tuple(frame.columns[5:]))
    return Table("classifiers", "Classifiers", data, (ours, Block(text("datasets"), published)))


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
    data = concatenated([run.table(name, "samples") for name in run.experiments], SAMPLES)
    rows = []
    for _, part in data.groupby(["experiment", "class_name"], sort=False):
        first, kinds = part.iloc[0], {record["images"]: record for record in part.to_dict("records")}
        row = named(first, "experiment", "domain", "method") | {"Class": first["class_name"]}
        row |= {"n images": kinds["analysed"]["n"], "n samples": kinds["generated"]["n"]}
        rows.append(row | {f"{label}, %": interval(kinds[kind]) for kind, label in KINDS.items()})
    numeric = ("n images", "n samples", *(f"{label}, %" for label in KINDS.values()))
    return Table(
        "samples", "Classes of random samples", data, (Block(text("samples"), pandas.DataFrame(rows), numeric),)
    )


def sufficiency_table(run: Run) -> Table:
    """Build the table of flipped decisions ([L] Table 3, [V] Table 1) from each experiment's sufficiency.csv."""
    published = read_published(run.root, "sufficiency")
    parts = [
        with_published(run.table(name, "sufficiency"), published, config.published_domain, config.published_method)
        for name, config in run.experiments.items()
    ]
    data = concatenated(parts, SUFFICIENCY)
    shown = [k for k in SHOWN if k in set(data["k"])] or sorted(set(data["k"]))
    domains = list(dict.fromkeys(data["domain"]))  # methods of a domain stand together
    together = data.sort_values("domain", key=lambda names: names.map(domains.index), kind="stable")
    keys = ["experiment", "method", "protocol", "target_class"]
    rows, headings = by_k(
        together, keys, ("experiment", "domain", "method", "protocol", "target_class", "n", "shift"), shown, interval
    )
    for row, (_, part) in zip(rows, together.groupby(keys, sort=False), strict=True):
        known = part.loc[part["published"].notna()].to_dict("records")
        figures = ", ".join(f"{percent(figure['published'])} (k = {figure['k']})" for figure in known)
        row["Published, %"] = figures or NOTHING
    ours = Block(text("sufficiency"), pandas.DataFrame(rows), ("n", "Shift", *headings, "Published, %"))
    context = pandas.DataFrame([
        named(row, "source", "domain", "method", "k")
        | {"Flipped, %": percent(row["value"]), "Note": "" if pandas.isna(row["note"]) else row["note"]}
        for row in published.to_dict("records")
    ])  # fmt: skip
    blocks = (ours, Block(text("published_sufficiency"), context, ("k", "Flipped, %")))
    return Table("sufficiency", "Sufficiency", data, blocks)


def seeds_table(run: Run) -> Table:
    """Build the table of mean and deviation from the sufficiency.csv of experiments that differ only by their seed."""
    rows: list[Row] = []
    for names in seed_groups(run.experiments):
        measured = pandas.concat([run.table(name, "sufficiency") for name in names], ignore_index=True)
        common = {"experiments": " ".join(names), "domain": run.experiments[names[0]].domain}
        rows += [common | row for row in over_seeds(measured)]
    data = pandas.DataFrame(rows, columns=list(SEEDS))

    def spread(row: Row | None) -> str:
        if row is None:
            return NOTHING
        return percent(row["mean"]) + ("" if pandas.isna(row["sd"]) else f" ± {percent(row['sd'])}")

    shown = [k for k in SHOWN if k in set(data["k"])]
    columns = ("experiments", "domain", "method", "protocol", "target_class", "seeds")
    lines, headings = by_k(data, ("experiments", "method", "protocol", "target_class"), columns, shown, spread)
    caption = text("seeds") if lines else f"{text('seeds')} {text('one_seed')}"
    block = Block(caption, pandas.DataFrame(lines), ("Seeds", *headings))
    return Table("seeds", "Sufficiency over seeds", data, (block,))


def seed_groups(experiments: Mapping[str, ExperimentConfig]) -> list[list[str]]:
    """Return the names that differ by their seed and title alone, group by group, at least two different seeds in each.

    Classifiers may differ too, if these come of experiments that differ by the seed alone.
    """
    groups: dict[str, list[str]] = {}
    for name, config in experiments.items():
        groups.setdefault(repetition(config, experiments), []).append(name)
    return [names for names in groups.values() if len({experiments[name].seed for name in names}) > 1]


def repetition(config: ExperimentConfig, experiments: Mapping[str, ExperimentConfig]) -> str:
    """Return what an experiment is but for its seed and title: the same text for those that repeat each other."""
    content = config.model_dump(mode="json", exclude={"seed", "title"})
    if config.classifier_of is not None and config.classifier_of in experiments:
        content["classifier_of"] = repetition(experiments[config.classifier_of], experiments)
    return json.dumps(content, sort_keys=True)


def over_seeds(measured: pandas.DataFrame) -> list[Row]:
    """Return a row for each method, protocol, target class and k; measured: sufficiency.csv of several experiments.

    sd: with n - 1; empty for one seed. An experiment in which no image could be tested does not count.
    """
    rows = []
    for _, part in measured.groupby(["method", "protocol", "target_class", "k"], sort=False):
        values = part["fraction"].astype(float).dropna()
        common = {name: part[name].iloc[0] for name in ("method", "protocol", "target_class", "k")}
        rows.append(common | {"seeds": len(values), "mean": values.mean(), "sd": values.std(ddof=1)})
    return rows


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
    columns = ("experiment", "domain", "method", "selection", "n", "shift")
    shown = [k for k in SHOWN_OF_IMAGES if k in set(data["k"])]
    pooled = data.loc[data["target_class"] == POOLED]
    lines, headings = by_k(pooled, ("experiment", "selection"), columns, shown, interval)
    block = Block(text("subset"), pandas.DataFrame(lines), ("n", "Shift", *headings))
    return Table("subset", "Explanations of single images", data, (block,))


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
    first: dict[tuple[str, str], int] = {}  # of an image, the first step at which it is the target
    for row in steps.loc[steps["flipped"].astype(bool)].to_dict("records"):
        image, step = (row["target_class"], row["id"]), int(row["step"])
        first[image] = min(step, first.get(image, step))
    rows = []
    for k in range(1, most + 1):
        within = [target for (target, _), step in first.items() if step <= k]
        counts = {target: (within.count(target), n) for target, n in images.items()}
        counts[POOLED] = (sum(flipped for flipped, _ in counts.values()), sum(images.values()))
        for target, (count, n) in counts.items():
            low, high = wilson_interval(count, n)
            measured = {"target_class": target, "k": k, "n": n, "flipped": count, "fraction": count / n if n else None}
            rows.append(measured | {"low": low, "high": high})
    return rows


def frechet_table(run: Run) -> Table:
    """Build the table of distances to the dataset's images ([V] 5.2, figure 3) from each experiment's frechet.csv."""
    data = concatenated([run.table(name, "frechet") for name in run.experiments], FRECHET)
    blocks = tuple(_curves(Protocol(str(protocol)), part) for protocol, part in data.groupby("protocol", sort=False))
    return Table("frechet", "Distance to the dataset's images", data, blocks)


def _curves(protocol: Protocol, data: pandas.DataFrame) -> Block:
    """Return the curves of all experiments by one protocol, side by side."""
    columns: dict[str, dict[int, str]] = {}
    for _, part in data.groupby(["experiment", "extractor"], sort=False):
        rows = part.to_dict("records")
        experiment, extractor = rows[0]["experiment"], rows[0]["extractor"]
        distance = "FID" if extractor == INCEPTION else f"Fréchet distance, {extractor}"
        columns[f"{experiment} (n = {rows[0]['n']}): {distance}"] = {
            row["n_attributes"]: f"{row['frechet_distance']:.2f}" for row in rows
        }
        columns[f"{experiment}: KID × 1000, {extractor}"] = {
            row["n_attributes"]: f"{1000 * row['kid']:.2f} ± {1000 * row['kid_sd']:.2f}" for row in rows
        }
    counts = sorted(set(data["n_attributes"]))
    cells = {name: [values.get(count, NOTHING) for count in counts] for name, values in columns.items()}
    extractors = set(data["extractor"])
    captions = [text("frechet")]
    captions += [text("frechet_inception")] if INCEPTION in extractors else []
    captions += [text("frechet_others")] if extractors - {INCEPTION} else []
    caption = " ".join([*captions, f"Protocol: {PROTOCOLS[protocol]}."])
    return Block(caption, pandas.DataFrame({"Attributes": counts, **cells}), ("Attributes", *columns))
