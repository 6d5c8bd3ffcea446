"""Claims about StylEx against its two baselines ([L] 4.2.1, 4.2.3, Table 3; [G] claim 1)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from stylex.config.analysis import POOLED
from stylex.report.claims.model import TOP, Claim, Finding, Measure, Row, Run, Source, grouped, largest, p_value, tested
from stylex.report.published import LABELS
from stylex.report.table import percent

COLUMNS = (
    "domain", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a", "only_b", "p",
)  # fmt: skip
Find = Callable[[Run], list[Finding]]


def flips_more(better: str, worse: str) -> Find:
    """Return the measure of `better` against `worse` on the same images, from the suite's table `paired`."""

    def find(run: Run) -> list[Finding]:
        rows = [_oriented(row, better, worse) for row in run.table("paired", *COLUMNS)]
        pairs = grouped([row for row in rows if row is not None], "domain", "experiment_a", "experiment_b")
        found = []
        for pair in pairs.values():
            directions = largest(pair, "target_class")
            both = [row for row in directions if row["target_class"] == POOLED]
            found += [_finding(row, better, worse) for row in both or directions]
        return found

    return find


def _oriented(row: Row, better: str, worse: str) -> Row | None:
    """Return the row with `better` as a, or None when it compares others."""
    if (row["method_a"], row["method_b"]) == (better, worse):
        return row
    if (row["method_a"], row["method_b"]) == (worse, better):
        turned = {"experiment_a": row["experiment_b"], "experiment_b": row["experiment_a"]}
        return row | turned | {"only_a": row["only_b"], "only_b": row["only_a"]}
    return None


def _finding(row: Row, better: str, worse: str) -> Finding:
    n, gained, lost = row["n"], row["only_a"], row["only_b"]
    difference = (gained - lost) / n
    half = 1.96 * sqrt(max(gained + lost - n * difference**2, 0)) / n
    towards = "" if row["target_class"] == POOLED else f" towards {row['target_class']}"
    sentence = (
        f"Of {n} images{towards}, {LABELS[better]} ({row['experiment_a']}) alone flips {gained} and {LABELS[worse]}"
        f" ({row['experiment_b']}) alone {lost} within the top {row['k']}: a difference of {_points(difference)} points"
        f" (95 % Wald interval {_points(difference - half)} to {_points(difference + half)}; exact McNemar test,"
        f" {p_value(row['p'])})."
    )
    return Finding(row["domain"], tested(gained - lost, row["p"]), sentence, "table-paired")


def _points(difference: float) -> str:
    """Write a difference of fractions in percentage points, cut at the ends of what is possible."""
    return f"{100 * min(max(difference, -1), 1):+.1f}"


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


def _measure(better: str, worse: str, needs: str) -> Measure:
    return Measure(
        f"{LABELS[better]} against {LABELS[worse]}",
        "The exact McNemar test on the same images, directions pooled where no image is in two, gives p < 0.05 and more"
        f" flips of {LABELS[better]}: supports. p < 0.05 and fewer: contradicts. Otherwise: does not decide.",
        f"the table paired, which compares experiments that explain the same classifier: {needs}",
        flips_more(better, worse),
    )


_TWIN = "a twin experiment with conditioning none, and classifier_of naming the first"
_WU = "the selection of Wu et al. on the twin without classifier-specific training"
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
        (_measure("stylex", "without_cst", _TWIN),),
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
        (_measure("without_cst", "wu_2021", _WU),),
        published_against("without_cst", "wu_2021"),
    ),
    Claim(
        "stylex-against-wu",
        "StylEx against Wu et al.",
        "StylEx flips far more decisions than the baseline of Wu et al.",
        (Source("lang_2021", "4.2.3, Table 3", "found so in all six domains"),),
        (_measure("stylex", "wu_2021", _WU),),
        published_against("stylex", "wu_2021"),
    ),
)
