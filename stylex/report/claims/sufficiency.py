"""Claims about how often the top attributes flip the decision ([L] 4.2, 4.2.3; [V] 3, 5.1; [G] Conclusion)."""

from __future__ import annotations

from collections.abc import Callable

from stylex.config.analysis import POOLED
from stylex.report.claims.model import (
    MOST,
    TOP,
    Claim,
    Finding,
    Measure,
    Row,
    Run,
    Source,
    Verdict,
    compared,
    grouped,
    interval_rule,
    largest,
    pooled,
    share,
    untested,
)
from stylex.report.provenance import anchor
from stylex.report.published import METHODS, SOURCES
from stylex.report.table import percent

FEW = 0.05  # our reading of 'cumulative': the attributes after the first flip more of the rest than this
SMALL = 64  # pixels: the resolution of [V]
COLUMNS = ("experiment", "method", "target_class", "k", "n", "flipped", "shift", "seed")
Judge = Callable[[Row], Verdict]
Belongs = Callable[[Run, str, int], bool]  # run, experiment, number of classes


def _most(row: Row) -> Verdict:
    return compared(row["flipped"], row["n"], MOST)


def flips_most(run: Run) -> list[Finding]:
    """Compare the flipped fraction within the top 10 with one half."""
    return _of_experiments(run, _most, lambda run, name, classes: True)


def flips_many_classes(run: Run) -> list[Finding]:
    """Compare as `flips_most`, in experiments of more than two classes."""
    return _of_experiments(run, _most, lambda run, name, classes: classes > 2)


def flips_published_domains(run: Run) -> list[Finding]:
    """Compare as `flips_most`, in experiments that reproduce a domain of the papers."""
    return _of_experiments(run, _most, lambda run, name, classes: run.experiments[name].published_domain is not None)


def small_models_fail(run: Run) -> list[Finding]:
    """Compare small models with the best of the replication's own ones; more flips contradict."""
    own = [row["value"] for row in run.figures("sufficiency") if _replication(row)]
    if not own:
        return []
    opposite = {Verdict.SUPPORTS: Verdict.CONTRADICTS, Verdict.CONTRADICTS: Verdict.SUPPORTS}

    def judge(row: Row) -> Verdict:
        direct = compared(row["flipped"], row["n"], max(own))
        return opposite.get(direct, direct)

    return _of_experiments(run, judge, lambda run, name, classes: run.experiments[name].dataset.resolution <= SMALL)


def adds_up(run: Run) -> list[Finding]:
    """Of the images that the first attribute leaves, count those that the following ones flip."""
    rows = pooled(run.table("sufficiency", *COLUMNS), "stylex")
    first = {row["experiment"]: row for row in rows if row["k"] == 1}
    found = []
    for row in largest(rows, "experiment"):
        name = row["experiment"]
        if name not in first or row["k"] == 1:
            continue
        left, more = row["n"] - first[name]["flipped"], row["flipped"] - first[name]["flipped"]
        if left == 0:
            verdict, sentence = Verdict.UNDECIDED, f"The first attribute flips all {row['n']} images: none is left."
        else:
            verdict = compared(more, left, FEW)
            sentence = (
                f"The first attribute flips {percent(first[name]['flipped'] / row['n'])} % of {row['n']} images; the"
                f" next {row['k'] - 1} flip {share(more, left, 'left')}."
            )
        found.append(Finding(name, verdict, sentence, anchor(name, "sufficiency")))
    return found


def _of_experiments(run: Run, judge: Judge, belongs: Belongs) -> list[Finding]:
    rows = [row for row in run.table("sufficiency", *COLUMNS) if row["method"] == "stylex"]
    directions = grouped([row for row in rows if row["target_class"] != POOLED], "experiment", "k")
    found = []
    for row in largest(pooled(rows, "stylex"), "experiment"):
        name = row["experiment"]
        classes = directions.get((name, row["k"]), [])
        if belongs(run, name, len(classes)):
            found.append(Finding(name, judge(row), _flips(row, classes), anchor(name, "sufficiency")))
    return found


def _flips(row: Row, classes: list[Row]) -> str:
    flips = share(row["flipped"], row["n"], f"decisions flip within the top {row['k']}")
    text = f"{flips}, shift {row['shift']:g}, seed {row['seed']}"
    counted = [each for each in classes if each["n"] > 0]
    if len(counted) < 2:
        return f"{text}."
    worst = min(counted, key=lambda each: each["flipped"] / each["n"])
    return f"{text}; least towards {worst['target_class']}: {share(worst['flipped'], worst['n'], 'flip')}."


def _replication(row: Row) -> bool:
    """Whether a published figure is of a model that [V] trained."""
    return row["source"].startswith(SOURCES["vandervleuten_2022"]) and row["method"].startswith("Model")


def published_fractions(run: Run) -> list[str]:
    """Return the published range at k = 10 of each paper and kind of model, without the baselines."""
    baselines = {label for label, method in METHODS.items() if method != "stylex"}
    rows = [row for row in run.figures("sufficiency") if row["k"] == TOP and row["method"] not in baselines]
    lines = []
    for (source, method), group in grouped(rows, "source", "method").items():
        low, high = (percent(end(row["value"] for row in group)) for end in (min, max))
        values = f"{low} %" if low == high else f"{low} to {high} %"
        lines.append(f"{source}, {method}: {values} ({', '.join(dict.fromkeys(row['domain'] for row in group))}).")
    return lines


_NEEDS = "the table sufficiency with an experiment of the method stylex"
_AS_FIRST = "As for the first claim"
SUFFICIENCY_CLAIMS = (
    Claim(
        "sufficient",
        "Ten attributes flip most images",
        "Changing the top ten attributes flips the classifier's decision on most images.",
        (
            Source(
                "lang_2021", "4.2, third criterion; 4.2.3, Table 3", "found on most domains; cats against dogs needs 40"
            ),
            Source(
                "vandervleuten_2022",
                "3, claim 3; 5.1, Table 1",
                "confirmed with the released model; far fewer flips with models of their own",
            ),
        ),
        (
            Measure(
                "Sufficiency",
                interval_rule("the flipped fraction within the top ten, both directions pooled,", MOST),
                _NEEDS,
                flips_most,
            ),
        ),
        published_fractions,
    ),
    Claim(
        "cumulative",
        "Attributes add up",
        "Attributes complement each other: changing several has a cumulative effect.",
        (
            Source("lang_2021", "4.2, third criterion", "stated"),
            Source("vandervleuten_2022", "3, claim 3", "restated, not measured for several k"),
        ),
        (
            Measure(
                "Attributes after the first",
                interval_rule("the fraction that the following ones flip of the images the first leaves", FEW)
                + " The bound is ours. A flip counts at any k up to ten, so the fraction cannot fall.",
                f"{_NEEDS}, and k = 1 among evaluation.sufficiency_k",
                adds_up,
            ),
        ),
    ),
    Claim(
        "multi-class",
        "Many classes",
        "AttFind also explains classifiers of many classes.",
        (Source("lang_2021", "4.1, Figure 6", "shown for one of 200 bird species; no fraction is published"),),
        (
            Measure(
                "Sufficiency with more than two classes",
                f"{_AS_FIRST}, in experiments of more than two classes. The claim is about attributes that people see;"
                " flips are only a necessary part of it.",
                "an experiment of more than two classes, as in the suite ten",
                flips_many_classes,
            ),
        ),
    ),
    Claim(
        "domains",
        "Real-world domains",
        "StylEx explains a large variety of classifiers in complex domains of the real world.",
        (
            Source("lang_2021", "1, third contribution; Table 1", "seven classifiers on five datasets"),
            Source("vandegeijn_2022", "Claim 3", "verified in part, for two domains of the released models"),
        ),
        (
            Measure(
                "Sufficiency in the papers' domains",
                f"{_AS_FIRST}, in experiments that declare a published_domain. Small stand-ins do not count.",
                "an experiment on one of the papers' datasets, with published_domain set",
                flips_published_domains,
            ),
        ),
    ),
    Claim(
        "small-models",
        "Small models",
        "Small models of low resolution find attributes that matter little to the classifier.",
        (Source("vandervleuten_2022", "5.1, Table 1; 6", "found for their own models at 64 × 64 pixels"),),
        (
            Measure(
                "Sufficiency of small models",
                f"In experiments of at most {SMALL} × {SMALL} pixels the 95 % Wilson interval of the flipped fraction"
                " lies below the best fraction of the replication's own models: supports. Above: contradicts. Across:"
                " does not decide. The domains differ, and those here are easier.",
                f"{_NEEDS} at {SMALL} × {SMALL} pixels or less",
                small_models_fail,
            ),
        ),
        lambda run: [line for line in published_fractions(run) if "Model" in line],
    ),
    Claim(
        "released-model",
        "Released models",
        "The published figures of the released FFHQ models can be measured again.",
        (
            Source("vandervleuten_2022", "5.1, Table 1", "sufficiency within 1 % of the published figure"),
            Source("vandegeijn_2022", "Conclusion, Claim 2", "the same top four attributes for perceived age"),
        ),
        (
            Measure(
                "Released weights",
                "None: this pipeline trains its models.",
                "the authors' released weights (TensorFlow) and their FFHQ images, which this project does not read",
                untested,
            ),
        ),
    ),
)
