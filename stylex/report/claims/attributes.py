"""Claims about single attributes: are they told apart ([L] 4.2.2), and are they what decides ([L] 4.1; [G] claim 2)."""

from __future__ import annotations

from scipy.stats import fisher_exact

from stylex.report.claims.model import (
    MOST,
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
    share,
    tested,
)
from stylex.report.provenance import anchor
from stylex.report.table import percent

FACTORS = ("experiment", "method", "target_class", "rank", "factor", "purity", "change")
THRESHOLD = 0.5  # sd of a factor: a smaller mean change does not count as moving it


def people_tell_apart(run: Run) -> list[Finding]:
    """Compare the fraction of right answers of people with guessing between two."""
    rows = run.table("user_study", "correct", "n")
    return [_answers(where, group, "table-user_study") for where, group in _by_place(rows).items()]


def observer_tells_apart(run: Run) -> list[Finding]:
    """Compare the fraction of right answers of the machine observer with guessing between two."""
    rows = run.artifact("observer", "experiment", "correct")
    return [_answers(where, group, anchor(where, "observer")) for where, group in _by_place(rows).items()]


def _by_place(rows: list[Row]) -> dict[str, list[Row]]:
    own = [row for row in rows if row.get("method", "stylex") == "stylex"]
    if not own:
        return {}
    place = next(key for key in ("experiment", "study", "domain", "correct") if key in own[0])
    return {str(where): group for (where,), group in grouped(own, place).items()}


def _answers(where: str, rows: list[Row], origin: str) -> Finding:
    """`correct` counts the right ones of `n` answers; without n, a row is one answer."""
    right, n = int(sum(row["correct"] for row in rows)), int(sum(row.get("n", 1) for row in rows))
    return Finding(where, compared(right, n, MOST), f"{share(right, n, 'answers are right')}.", origin)


def attributes_move_causes(run: Run) -> list[Finding]:
    """Compare how often an attribute, and how often a random move, moves a cause of the label the most."""
    found = []
    for name, methods in _moves(run).items():
        own, chance = (_causal(methods.get(method, []), run.causes[name]) for method in ("stylex", "random"))
        if not own[1] or not chance[1]:
            continue
        table = [[own[0], own[1] - own[0]], [chance[0], chance[1] - chance[0]]]
        p = float(fisher_exact(table)[1])  # pyright: ignore[reportArgumentType]
        by_chance = chance[0] / chance[1]
        sentence = (
            f"{share(*own, 'attributes move a cause of the label the most')}, random moves {percent(by_chance)} %"
            f" of {chance[1]} (Fisher's exact test, p = {p:.2g}); causes: {', '.join(run.causes[name])}."
        )
        found.append(Finding(name, tested(own[0] / own[1] - by_chance, p), sentence, anchor(name, "factors")))
    return found


def causes_are_covered(run: Run) -> list[Finding]:
    """Count the causes of the label that some attribute moves the most, and far enough."""
    found = []
    for name, methods in _moves(run).items():
        if not (rows := methods.get("stylex")):
            continue
        moved = {row["factor"] for row in rows if abs(row["change"]) >= THRESHOLD}
        causes = run.causes[name]
        covered = [cause for cause in causes if cause in moved]
        verdict = Verdict.SUPPORTS if len(covered) == len(causes) else Verdict.UNDECIDED
        verdict = Verdict.CONTRADICTS if len(covered) < len(causes) / 2 else verdict
        missing = ", ".join(cause for cause in causes if cause not in moved) or "none"
        sentence = (
            f"{len(rows)} attributes cover {len(covered)} of {len(causes)} causes ({', '.join(covered) or 'none'});"
            f" missing: {missing}."
        )
        found.append(Finding(name, verdict, sentence, anchor(name, "factors")))
    return found


def _moves(run: Run) -> dict[str, dict[str, list[Row]]]:
    """Return the measured moves by experiment and method, of experiments whose causes are known."""
    rows = [row for row in run.artifact("factors", *FACTORS) if isinstance(row["factor"], str)]
    known = [row for row in rows if row["experiment"] in run.causes]
    return {
        name: {method: moves for (method,), moves in grouped(group, "method").items()}
        for (name,), group in grouped(known, "experiment").items()
    }


def _causal(rows: list[Row], causes: tuple[str, ...]) -> tuple[int, int]:
    return sum(row["factor"] in causes for row in rows), len(rows)


def published_accuracy(run: Run) -> list[str]:
    """Return the published fractions of right answers."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']}: {row['value']:g} (± {row['spread']:g})."
        for row in run.figures("user_study")
    ]


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
                interval_rule("the fraction of right answers, of two possible ones,", MOST)
                + " Answers of one person are not independent, so that the interval is too narrow.",
                "the table user_study with answers of people (`stylex study`)",
                people_tell_apart,
            ),
            Measure(
                "Machine observer",
                interval_rule("the fraction of right answers, of two possible ones,", MOST)
                + " A network in the place of people: it says whether attributes can be told apart, not whether people"
                " understand them.",
                "observer.csv of an experiment",
                observer_tells_apart,
            ),
        ),
        published_accuracy,
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
                " cause of the label the most: supports. p < 0.05 and fewer: contradicts. Otherwise: does not decide.",
                "factors.csv of an experiment on drawn images, whose causes are known",
                attributes_move_causes,
            ),
            Measure(
                "Causes covered",
                f"Each cause of the label is what some attribute changes the most, by at least {THRESHOLD:g} standard"
                " deviations on average: supports. Fewer than half of them are: contradicts. Between: does not decide.",
                "factors.csv of an experiment on drawn images, whose causes are known",
                causes_are_covered,
            ),
        ),
    ),
)
