"""Claims about how often the top attributes flip the decision ([L] 4.2, 4.2.3; [V] 3, 5.1; [G] Conclusion)."""

from __future__ import annotations

from collections.abc import Callable

from stylex.config.analysis import POOLED, TOP
from stylex.evaluation.intervals import bootstrap
from stylex.protocols import Protocol
from stylex.report.claims.model import (
    MOST,
    Claim,
    Finding,
    Measure,
    Row,
    Run,
    Source,
    Verdict,
    beyond,
    grouped,
    interval_rule,
    largest,
    pooled,
    share,
)
from stylex.report.claims.trainings import points
from stylex.report.provenance import anchor
from stylex.report.published import METHODS, PROTOCOLS, SOURCES
from stylex.report.table import percent

CLOSE = 0.01  # [V] 5.1: 'within 1% of the accuracy reported in the paper'
SMALL = 64  # pixels: the resolution of [V]
COLUMNS = (
    "experiment", "method", "protocol", "target_class", "k", "n", "flipped", "low", "high", "shift", "seed",
)  # fmt: skip
Judge = Callable[[Row], Verdict]
Belongs = Callable[[Run, str, int], bool]  # run, experiment, number of classes


def _most(row: Row) -> Verdict:
    return beyond(row["low"], row["high"], MOST)


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
        direct = beyond(row["low"], row["high"], max(own))
        return opposite.get(direct, direct)

    return _of_experiments(run, judge, lambda run, name, classes: run.experiments[name].dataset.resolution <= SMALL)


def adds_up(run: Run) -> list[Finding]:
    """Of the images that the first attribute leaves, compare what the following ones flip with what random moves do."""
    random = grouped(run.artifact("random_flips", "experiment", "id", "target_class", "draw", "first_k"), "experiment")
    rows = run.artifact("flips", "experiment", "method", "protocol", "id", "target_class", "first_k")
    found = []
    for (name,), flips in grouped((row for row in rows if row["method"] == "stylex"), "experiment").items():
        own = [row for row in flips if row["protocol"] == run.protocol(name)]
        if all(row["first_k"] == 1 for row in own):
            sentence = (
                f"The first attribute flips all {len(own)} decisions, {PROTOCOLS[run.protocol(name)]}: none is left."
            )
            found.append(Finding(name, Verdict.UNDECIDED, sentence, anchor(name, "sufficiency")))
        elif (name,) in random:
            found.append(_against_random_lists(run, name, own, random[name,]))
    return found


def _against_random_lists(run: Run, name: str, flips: list[Row], random: list[Row]) -> Finding:
    """Compare the lists; flips: of AttFind's list; random: of the images that its first attribute leaves, by draw."""
    own = {(row["id"], row["target_class"]): _later(row) for row in flips}
    images = grouped(random, "id")
    draws = sorted({row["draw"] for row in random})
    gains, decisions, flipped, by_chance = [], [], 0, dict.fromkeys(draws, 0)
    for rows in images.values():
        targets = {row["target_class"] for row in rows}
        more = sum(own[rows[0]["id"], target] for target in targets)
        chance = {draw: sum(_later(row) for row in rows if row["draw"] == draw) for draw in draws}
        gains.append([more - chance[draw] for draw in draws])
        decisions.append(len(targets))
        flipped += more
        by_chance = {draw: by_chance[draw] + chance[draw] for draw in draws}
    n = sum(decisions)
    low, high = bootstrap(gains, run.experiments[name].seed, decisions)
    fractions = [count / n for count in by_chance.values()]
    sentence = (
        f"Of {n} decisions that the first attribute leaves, the following ones flip {percent(flipped / n)} % within the"
        f" top {TOP}, {PROTOCOLS[run.protocol(name)]}; as many random moves {percent(sum(fractions) / len(draws))} %"
        f" ({percent(min(fractions))} to {percent(max(fractions))} % in {len(draws)} draws). Difference:"
        f" {points(flipped / n - sum(fractions) / len(draws))} points (95 % interval {points(low)} to {points(high)})."
    )
    return Finding(name, beyond(low, high, 0), sentence, anchor(name, "sufficiency"))


def _later(row: Row) -> bool:
    """Whether a decision flips after the first attribute, within the top ten; False for one that never does."""
    return 1 < row["first_k"] <= TOP


def released_model_repeats(run: Run) -> list[Finding]:
    """Compare the released models, on the papers' images, with what the replication published of them."""
    figures = {(row["domain"], row["method"], row["k"]): row["value"] for row in run.figures("sufficiency")}
    found = []
    rows = run.table("sufficiency", *COLUMNS)
    same = [row for row in pooled(rows, "stylex") if row["protocol"] == Protocol.SAME_IMAGES]
    for row in largest([row for row in same if run.experiments[row["experiment"]].released], "experiment"):
        name, config = row["experiment"], run.experiments[row["experiment"]]
        value = figures.get((config.published_domain, config.published_method, row["k"]))
        if value is None:
            continue
        away, apart = row["flipped"] / row["n"] - value, not row["low"] <= value <= row["high"]
        verdict = Verdict.CONTRADICTS if apart else Verdict.UNDECIDED
        verdict = Verdict.SUPPORTS if round(abs(away), 6) <= CLOSE else verdict
        sentence = f"{_flips(row, [])} Published: {percent(value)} %, so {points(away)} points away."
        found.append(Finding(name, verdict, sentence, anchor(name, "sufficiency")))
    return found


def _of_experiments(run: Run, judge: Judge, belongs: Belongs) -> list[Finding]:
    rows = [row for row in run.measured("sufficiency", *COLUMNS) if row["method"] == "stylex"]
    directions = grouped([row for row in rows if row["target_class"] != POOLED], "experiment", "k")
    found = []
    for row in largest(pooled(rows, "stylex"), "experiment"):
        name = row["experiment"]
        classes = directions.get((name, row["k"]), [])
        if belongs(run, name, len(classes)):
            found.append(Finding(name, judge(row), _flips(row, classes), anchor(name, "sufficiency")))
    return found


def _flips(row: Row, classes: list[Row]) -> str:
    flips = share(row["flipped"], row["n"], f"decisions flip within the top {row['k']}", (row["low"], row["high"]))
    text = f"{flips}, {PROTOCOLS[row['protocol']]}, shift {row['shift']:g}, seed {row['seed']}"
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
_INTERVAL = "It is Wilson's where each image has one target class; with several, images are resampled with all of them."
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
                interval_rule("the flipped fraction within the top ten, all directions pooled,", MOST, "95 % interval")
                + f" {_INTERVAL} Each training is judged by itself.",
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
                "Of the images that the first attribute leaves, the fraction that the following ones flip is held"
                " against that of lists in which random coordinates and directions follow the first"
                " (evaluation.random_lists draws): a flip counts at any k up to ten, so any list flips some. The 95 %"
                " interval of the difference lies above 0: supports. Below: contradicts. Across: does not"
                " decide. Images, with all of their targets, and draws are resampled.",
                "flips.csv and random_flips.csv of an experiment of the method stylex",
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
                f"In experiments of at most {SMALL} × {SMALL} pixels the 95 % interval of the flipped fraction"
                " lies below the best fraction of the replication's own models: supports. Above: contradicts. Across:"
                " does not decide. The domains differ, and those here are easier. The replication measured on the"
                " images that it had searched.",
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
                f"On the images searched ({PROTOCOLS[Protocol.SAME_IMAGES]}), as in the papers, the flipped fraction"
                f" differs from the published one by at most {100 * CLOSE:g} point: supports. By more, and the"
                " 95 % interval does not hold the published one: contradicts. Otherwise: does not decide.",
                "an experiment with `released` set and a published figure, as in the suite released",
                released_model_repeats,
            ),
        ),
    ),
)
