"""Claims about single attributes: are they told apart ([L] 4.2.2), and are they what decides ([L] 4.1; [G] claim 2)."""

from __future__ import annotations

from itertools import product

from scipy.stats import fisher_exact

from stylex.report.claims.model import (
    LEVEL,
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
    p_value,
    share,
    tested,
)
from stylex.report.claims.trainings import ONE_SEED_RULE, Comparison, over_seeds, points, repeated
from stylex.report.factors import EQUALS, all_covered_by_chance, covered, covered_by_chance, once, purity_gain
from stylex.report.provenance import anchor
from stylex.report.table import percent

PEOPLE, OBSERVER = "people", "observer"
ANSWERS = "table-user_study"
STUDY = ("experiment", "domain", "method", "questions")
FACTORS = (
    "experiment", "model", "method", "target_class", "rank", "style_index", "factor", "cause", "purity", "change",
    "threshold",
)  # fmt: skip
TOP_BIAS = 3  # ranks among which a planted bias must be: one of the top attributes
PLANTED = {"leaves-biased": "background"}  # dataset: the factor that follows the label in its images


def people_tell_apart(run: Run) -> list[Finding]:
    """Compare the fraction of right answers of people with guessing between two."""
    return _told_apart(run, PEOPLE)


def observer_tells_apart(run: Run) -> list[Finding]:
    """Compare the fraction of right answers of the machine observer with guessing between two."""
    return _told_apart(run, OBSERVER)


def _told_apart(run: Run, kind: str) -> list[Finding]:
    return [
        Finding(
            row["experiment"], beyond(row[f"{kind}_low"], row[f"{kind}_high"], MOST), f"{_answers(row, kind)}.",
            ANSWERS,
        )
        for row in _answered(run, kind)
        if row["method"] == "stylex"
    ]  # fmt: skip


def _answered(run: Run, kind: str) -> list[Row]:
    """Return the rows of this run in which people, or the machine observer, have answered."""
    rows = run.table("user_study", *STUDY, *(f"{kind}_{name}" for name in ("accuracy", "low", "high")))
    return [row for row in rows if isinstance(row["experiment"], str) and row[f"{kind}_accuracy"] >= 0]


def _answers(row: Row, kind: str) -> str:
    low, high = row[f"{kind}_low"], row[f"{kind}_high"]
    interval = "one attribute, so no interval"
    if low == low:  # not NaN
        interval = f"95 % interval {percent(low)}–{percent(high)} %, attributes resampled"
    who = {PEOPLE: "participants", OBSERVER: "n"}[kind]
    count = f"{row[f'{kind}_{who}']:.0f} {'participants' if kind == PEOPLE else 'answers'}"
    return (
        f"{percent(row[f'{kind}_accuracy'])} % of the answers to {row['questions']:g} questions are right ({interval};"
        f" {count})"
    )


def clearer_for_people(run: Run) -> list[Finding]:
    """Compare people's right answers about StylEx with those about the baseline."""
    return _clearer(run, PEOPLE)


def clearer_for_observer(run: Run) -> list[Finding]:
    """Compare the machine observer's right answers about StylEx with those about the baseline."""
    return _clearer(run, OBSERVER)


def _clearer(run: Run, kind: str) -> list[Finding]:
    """Compare the answers about models that explain the same classifier, over all seeds of them."""
    rows = grouped(_answered(run, kind), "method")
    comparisons = []
    for ours, theirs in product(rows.get(("stylex",), []), rows.get(("wu_2021",), [])):
        if _explained(run, ours) == _explained(run, theirs):
            difference = ours[f"{kind}_accuracy"] - theirs[f"{kind}_accuracy"]
            text = f"StylEx: {_answers(ours, kind)}. Wu et al.: {_answers(theirs, kind)}. One training of each."
            names = ours["experiment"], theirs["experiment"]
            comparisons.append(Comparison(ours["domain"], *names, difference, text))
    return [over_seeds(run, group, Verdict.ONE_SEED, ANSWERS) for group in repeated(run, comparisons)]


def _explained(run: Run, row: Row) -> str:
    """Return the experiment whose classifier the row is about."""
    return run.experiments[row["experiment"]].classifier_of or row["experiment"]


def attributes_move_causes(run: Run) -> list[Finding]:
    """Compare how often an attribute, and how often a random move, moves a cause of the label the most."""
    found = []
    for name, rows in _moves(run).items():
        known = [row for row in rows if row["factor"] and isinstance(row["factor"], str)]  # none that moved nothing
        own, chance = (once(_of(known, method)) for method in ("stylex", "random"))
        if not own or not chance:
            continue
        hits, lucky = (sum(bool(row["cause"]) for row in moves) for moves in (own, chance))
        p = float(fisher_exact([[hits, len(own) - hits], [lucky, len(chance) - lucky]])[1])  # pyright: ignore
        by_chance = lucky / len(chance)
        sentence = (
            f"{share(hits, len(own), 'coordinates of attributes move a cause of the label the most')}, of {len(chance)}"
            f" that random moves take {percent(by_chance)} % (Fisher's exact test, {p_value(p)})."
        )
        found.append(Finding(name, tested(hits / len(own) - by_chance, p), sentence, anchor(name, "factors")))
    return found


def attributes_are_purer(run: Run) -> list[Finding]:
    """Compare the purity of attributes with that of random moves of equal size, over all seeds of an experiment."""
    comparisons = []
    for name, rows in _moves(run).items():
        gain = purity_gain(_of(rows, "stylex"), _of(rows, "random"))
        if gain == gain:  # not NaN
            text = f"{points(gain)} points against random moves of equal size. One training."
            comparisons.append(Comparison(name, name, name, gain, text))
    return [
        over_seeds(run, group, Verdict.ONE_SEED, anchor(group[0].ours, "factors"))
        for group in repeated(run, comparisons)
    ]


def causes_are_covered(run: Run) -> list[Finding]:
    """Count the causes of the label that some attribute moves the most, and far enough; random moves beside them."""
    fit = [row for row in run.artifact("factor_fit", "experiment", "factor", "cause") if row["cause"]]
    causes = {name: [row["factor"] for row in rows] for (name,), rows in grouped(fit, "experiment").items()}
    found = []
    for name, rows in _moves(run).items():
        own, chance = _of(rows, "stylex"), _of(rows, "random")
        if name not in causes or not own or not chance:
            continue
        longest = max(row["rank"] for row in own)
        moved = covered(own, causes[name], longest)
        reached, missing = ([cause for cause in causes[name] if (cause in moved) is each] for each in (True, False))
        p = all_covered_by_chance(chance, causes[name], longest)
        verdict = Verdict.SUPPORTS if not missing and p < LEVEL else Verdict.UNDECIDED
        verdict = Verdict.CONTRADICTS if len(reached) < len(missing) else verdict
        sentence = (
            f"{len(once(own))} coordinates of attributes cover {len(reached)} of {len(causes[name])} causes"
            f" ({', '.join(reached) or 'none'}); missing: {', '.join(missing) or 'none'}. As many random moves cover"
            f" {covered_by_chance(chance, causes[name], longest):.2f} on average, and all with {p_value(p)}."
        )
        found.append(Finding(name, verdict, sentence, anchor(name, "factors")))
    return found


def bias_is_found(run: Run) -> list[Finding]:
    """Look for a factor that was made to follow the label among the first attributes; random moves beside them."""
    found = []
    for name, rows in _moves(run).items():
        planted = PLANTED.get(run.experiments[name].dataset.name)
        own, chance = _of(rows, "stylex"), _of(rows, "random")
        if planted is None or not own or not chance:
            continue
        ranks = [row["rank"] for row in own if covered([row], [planted], row["rank"])]
        best, p = min(ranks, default=None), covered_by_chance(chance, [planted], TOP_BIAS)
        verdict = Verdict.CONTRADICTS if best is None else Verdict.UNDECIDED
        verdict = Verdict.SUPPORTS if best is not None and best <= TOP_BIAS and p < LEVEL else verdict
        place = f"rank {best} is the first of its class to move it" if best else "none of them moves it"
        sentence = (
            f"The planted factor is {planted}; of {len(once(own))} coordinates of attributes {place} the most. One of"
            f" {TOP_BIAS} random moves a class does so with {p_value(p)}. One training."
        )
        found.append(Finding(name, verdict, sentence, anchor(name, "factors")))
    return found


def _moves(run: Run) -> dict[str, list[Row]]:
    """Return the measured moves of models trained with the classifier, by experiment."""
    rows = [row for row in run.table("factors", *FACTORS) if row["model"] == "stylex"]
    return {name: group for (name,), group in grouped(rows, "experiment").items()}


def _of(rows: list[Row], method: str) -> list[Row]:
    return [row for row in rows if row["method"] == method]


def published_accuracy(run: Run) -> list[str]:
    """Return the published fractions of right answers."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']}: {row['value']:g} (± {row['spread']:g})."
        for row in run.figures("user_study")
    ]


_RIGHT = (
    interval_rule("the mean fraction of right answers, of two possible ones,", MOST, "95 % interval")
    + " Attributes are resampled, each with all of its answers, for these are not independent. With fewer than two"
    " attributes nothing is decided."
)
_PEOPLE = "the table user_study with answers of people (docs/user-study.md)"
_MACHINE = "the table user_study, which the machine observer answers"
_KNOWN = "the table factors, for experiments on drawn images whose causes are known (suite leaves)"
_APART = f"Compared are the fractions of right answers about models that explain the same classifier. {ONE_SEED_RULE}"
ATTRIBUTE_CLAIMS = (
    Claim(
        "distinct",
        "Coherent and distinct",
        "Attributes are coherent and distinct: who has seen two examples tells an attribute from another.",
        (
            Source("lang_2021", "4.2.2, Table 2", "people answer most questions right"),
            Source("vandervleuten_2022", "3, claims 1 and 2; 5.1, Table 2", "confirmed to a certain degree"),
            Source("vandegeijn_2022", "Claim 3; User Study, Table 1", "confirmed with the released models"),
        ),
        (
            Measure(
                "People",
                f"{_RIGHT} Participants are not resampled: it holds for those who were asked.",
                _PEOPLE,
                people_tell_apart,
            ),
            Measure(
                "Machine observer",
                f"{_RIGHT} A network in the place of people: it says whether attributes can be told apart, not whether"
                " people understand them.",
                _MACHINE,
                observer_tells_apart,
            ),
        ),
        published_accuracy,
    ),
    Claim(
        "clearer-than-wu",
        "Clearer than Wu et al.",
        "Attributes of StylEx are told apart better than those of Wu et al.",
        (Source("lang_2021", "4.2.2, Table 2", "on all domains but plants"),),
        (
            Measure("People", _APART, f"{_PEOPLE} to both methods", clearer_for_people),
            Measure("Machine observer", _APART, f"{_MACHINE}, with both methods", clearer_for_observer),
        ),
    ),
    Claim(
        "causes",
        "True causes",
        "AttFind discovers the attributes by which the classifier decides.",
        (
            Source("lang_2021", "1, second contribution; 4.1, Figure 5", "aligned with known indicators of disease"),
            Source("vandegeijn_2022", "Claim 2", "could be verified, with the released model"),
        ),
        (
            Measure(
                "Attributes against random moves",
                "By Fisher's exact test, p < 0.05 and more of the attributes than of the random moves change a true"
                " cause of the label the most: supports. p < 0.05 and fewer: contradicts. Otherwise: does not decide."
                " A coordinate in the lists of several classes counts once, by its first rank, among attributes and"
                " random moves alike.",
                _KNOWN,
                attributes_move_causes,
            ),
            Measure(
                "Purer than random moves",
                "Purity: share of the factor that a move changes the most, in the sum of the absolute mean changes of"
                f" all. Each attribute is held against the {EQUALS} random moves whose sum is nearest to its own, and"
                f" coordinates count once. {ONE_SEED_RULE}",
                _KNOWN,
                attributes_are_purer,
            ),
            Measure(
                "Causes covered",
                "Each cause of the label is what some attribute changes the most, by more than"
                " evaluation.factor_threshold, and as many random moves reach all of them with a probability below"
                " 0.05: supports. Fewer than half of the causes are reached: contradicts. Otherwise: does not decide.",
                _KNOWN,
                causes_are_covered,
            ),
        ),
    ),
    Claim(
        "biases",
        "Biases",
        "Attributes show biases that the classifier has taken from its training images.",
        (Source("lang_2021", "1; 5", "stated as a use and a promising step, not measured"),),
        (
            Measure(
                "A planted bias",
                f"A factor that follows the label in the images, and is no cause of it, is what an attribute of rank"
                f" {TOP_BIAS} or better changes the most, by more than evaluation.factor_threshold, and one of as many"
                " random moves does so with a probability below 0.05: supports. No attribute does so: contradicts."
                " Otherwise: does not decide. Each training is judged by itself.",
                "the table factors with an experiment on the dataset leaves-biased (suite leaves)",
                bias_is_found,
            ),
        ),
    ),
)
