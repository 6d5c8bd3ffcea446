"""Claims about StylEx against its two baselines ([L] 4.2.1, 4.2.3, Table 3; [G] claim 1)."""

from __future__ import annotations

from collections.abc import Callable

from stylex.config.analysis import POOLED, TOP
from stylex.report.claims.model import Claim, Finding, Measure, Row, Run, Source, Verdict, grouped, p_value, tested
from stylex.report.claims.trainings import ONE_SEED_RULE, STUDENT_RULE, Comparison, over_seeds, points, repeated
from stylex.report.published import LABELS, PROTOCOLS
from stylex.report.table import percent

COLUMNS = (
    "domain", "protocol", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a",
    "only_b", "difference", "low", "high", "p",
)  # fmt: skip
ANCHOR = "table-paired"
Find = Callable[[Run], list[Finding]]


def trains_better(better: str, worse: str) -> Find:
    """Return the measure of `better` against `worse`, two ways to train, from the suite's table `paired`."""

    def find(run: Run) -> list[Finding]:
        comparisons = [_comparison(row, better, worse) for row in _rows(run, better, worse)]
        return [over_seeds(run, group, Verdict.ONE_SEED, ANCHOR) for group in repeated(run, comparisons)]

    return find


def selects_better(better: str, worse: str) -> Find:
    """Return the measure of `better` against `worse`, two ways to select in one model: an image is its unit."""

    def find(run: Run) -> list[Finding]:
        rows = [row for row in _rows(run, better, worse) if row["experiment_a"] == row["experiment_b"]]
        comparisons = [_comparison(row, better, worse) for row in rows]
        tests = {row["experiment_a"]: tested(row["only_a"] - row["only_b"], row["p"]) for row in rows}
        return [over_seeds(run, group, tests[group[0].ours], ANCHOR) for group in repeated(run, comparisons)]

    return find


def _rows(run: Run, better: str, worse: str) -> list[Row]:
    """Return the row of all directions of each pair, of the main protocol, with `better` as a."""
    turned = [_oriented(row, better, worse) for row in run.table("paired", *COLUMNS)]
    rows = [row for row in turned if row is not None and row["target_class"] == POOLED]
    return [row for row in rows if row["protocol"] == run.protocol(row["experiment_a"])]


def _oriented(row: Row, better: str, worse: str) -> Row | None:
    """Return the row with `better` as a, or None when it compares others."""
    if (row["method_a"], row["method_b"]) == (better, worse):
        return row
    if (row["method_a"], row["method_b"]) == (worse, better):
        turned = {"experiment_a": row["experiment_b"], "experiment_b": row["experiment_a"]}
        turned |= {"only_a": row["only_b"], "only_b": row["only_a"], "difference": -row["difference"]}
        return row | turned | {"low": -row["high"], "high": -row["low"]}
    return None


def _comparison(row: Row, better: str, worse: str) -> Comparison:
    ours, theirs, difference = row["experiment_a"], row["experiment_b"], row["difference"]
    sentence = (
        f"Of {row['n']} decisions, {LABELS[better]} ({ours}) alone flips {row['only_a']} and {LABELS[worse]} ({theirs})"
        f" alone {row['only_b']} within the top {row['k']}, {PROTOCOLS[row['protocol']]}: a difference of"
        f" {points(difference)} points (95 % interval {points(row['low'])} to {points(row['high'])}, images resampled;"
        f" exact McNemar test, {p_value(row['p'])}). One training{'' if ours == theirs else ' of each'}."
    )
    return Comparison(row["domain"], ours, theirs, difference, sentence)


def published_against(better: str, worse: str) -> Callable[[Run], list[str]]:
    """Return a function that lists the published fractions of both methods, by domain."""

    def published(run: Run) -> list[str]:
        labels = (LABELS[better], LABELS[worse])
        rows = [row for row in run.figures("sufficiency") if row["k"] == TOP and row["method"] in labels]
        lines = []
        for (source, domain), group in grouped(rows, "source", "domain").items():
            values = {row["method"]: row["value"] for row in group}
            if len(values) == len(labels):
                cells = ", ".join(f"{label} {percent(values[label])} %" for label in labels)
                lines.append(f"{source}, {domain}: {cells}.")
        return lines

    return published


_TWIN = "a twin experiment with conditioning none, and classifier_of naming the first"
_WU = "the selection of Wu et al. on the twin without classifier-specific training"
_PAIRED = "the table paired, which compares experiments that explain the same classifier"
_SEEDS = "and for a verdict the same with another seed, as in the suite leaves"
_FLIPPED = "Compared are the fractions flipped within the top ten, on the same images, all directions pooled."
BASELINE_CLAIMS = (
    Claim(
        "classifier-specific-training",
        "Classifier-specific training",
        "Training with the classifier drives the StyleSpace to capture attributes that matter to this classifier.",
        (
            Source(
                "lang_2021", "1, first contribution; 4.2.3, Table 3", "dramatic on retina and plants, small on faces"
            ),
            Source("vandegeijn_2022", "Claim 1", "could not be verified"),
        ),
        (
            Measure(
                f"{LABELS['stylex']} against {LABELS['without_cst']}",
                f"{_FLIPPED} {ONE_SEED_RULE}",
                f"{_PAIRED}: {_TWIN}, {_SEEDS}",
                trains_better("stylex", "without_cst"),
            ),
        ),
        published_against("stylex", "without_cst"),
    ),
    Claim(
        "attfind-against-wu",
        "AttFind against Wu et al.",
        "AttFind finds coordinates that flip more decisions than the selection of Wu et al. in the same StyleSpace.",
        (
            Source(
                "lang_2021", "4.2.1; 4.2.3, Table 3", "large differences on faces and plants, none on retina (both 0 %)"
            ),
        ),
        (
            Measure(
                f"{LABELS['without_cst']} against {LABELS['wu_2021']}",
                f"{_FLIPPED} {STUDENT_RULE} With one seed the claim is about this one model, and its unit is the image:"
                " the exact McNemar test gives p < 0.05 and more flips of AttFind: supports. p < 0.05 and fewer:"
                " contradicts. Otherwise: does not decide. An image with several target classes counts once, for the"
                " method that flips more of them.",
                f"{_PAIRED}: {_WU}",
                selects_better("without_cst", "wu_2021"),
            ),
        ),
        published_against("without_cst", "wu_2021"),
    ),
    Claim(
        "stylex-against-wu",
        "StylEx against Wu et al.",
        "StylEx flips far more decisions than the baseline of Wu et al.",
        (Source("lang_2021", "4.2.3, Table 3", "found so in all six domains"),),
        (
            Measure(
                f"{LABELS['stylex']} against {LABELS['wu_2021']}",
                f"{_FLIPPED} {ONE_SEED_RULE}",
                f"{_PAIRED}: {_WU}, {_SEEDS}",
                trains_better("stylex", "wu_2021"),
            ),
        ),
        published_against("stylex", "wu_2021"),
    ),
)
