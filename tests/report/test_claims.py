"""Claims of the papers: each verdict from frames that must give it, small enough to see why."""

import itertools
from pathlib import Path

import pandas
import pytest

from stylex.artifacts import write_text
from stylex.config import ExperimentPaths, load_experiment
from stylex.config.base import KID_FOLDS
from stylex.errors import ArtifactError
from stylex.evaluation.intervals import wilson_interval
from stylex.report.claims import Claim, Judged, Measure, claims, judge
from stylex.report.published import SOURCES, read_published
from stylex.report.rules import Finding, Verdict
from stylex.report.run import PUBLISHED, Run, load_run
from stylex.report.writing import build_tables

ROOT = Path(__file__).parents[2]
YES, NO, OPEN, ONE = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED, Verdict.ONE_SEED
NAN = float("nan")
CLAIMS = {claim.id: claim for claim in claims()}
MNIST = load_experiment(ROOT, "mnist")
LEAVES = {
    name: load_experiment(ROOT, name)
    for name in (f"leaves{twin}{seed}" for twin in ("", "-without-cst") for seed in ("", "-seed1", "-seed2"))
}


def found(claim: str, rows: dict, experiments=MNIST, measure: int = 0) -> list[Finding]:
    """Find what a measure of a claim says of tables; names of artifacts begin with `csv_`."""
    experiments = experiments if isinstance(experiments, dict) else {"mnist": experiments}
    tables, read = {}, {(PUBLISHED, name): read_published(ROOT, name) for name in ("sufficiency", "user_study")}
    for name, content in rows.items():
        frame = pandas.DataFrame(content)
        if name.startswith("csv_"):
            read |= {(experiment, name[4:]): part for experiment, part in frame.groupby("experiment")}
        else:
            tables[name] = frame
    return CLAIMS[claim].measures[measure].find(Run(Path("absent"), experiments, tables, read))


def of_dataset(**changes):
    return MNIST.model_copy(update={"dataset": MNIST.dataset.model_copy(update=changes)})


# All claims together


def test_an_empty_run_tests_nothing():
    judged = judge(Run(ROOT, {}))
    assert len(judged) == len(CLAIMS) == 19
    assert {each.summary for each in judged} == {"not tested by this run"}


def test_claims_are_complete_and_of_all_three_papers():
    assert len({claim.title for claim in CLAIMS.values()}) == len(CLAIMS)
    assert {source["paper"] for claim in CLAIMS.values() for source in claim.sources} == set(SOURCES)
    for claim in CLAIMS.values():
        assert claim.statement.endswith(".") and claim.sources and claim.measures
        assert all(measure.text.endswith(".") and "{" not in measure.text + measure.needs for measure in claim.measures)


def test_parameters_stand_in_the_text_of_their_rule():
    measure = CLAIMS["looks-like-target"].measures[0]
    assert all(text in measure.text for text in ("above 90 %", "above 85 %", "at most 4 times"))
    assert "two attributes nothing is decided. Part" in CLAIMS["distinct"].measures[0].text
    assert "p < 0.05 and fewer" in CLAIMS["attfind-against-wu"].measures[0].text
    assert "64 × 64 pixels or less" in CLAIMS["small-models"].measures[0].needs


@pytest.mark.parametrize(
    ("verdicts", "summary", "share"),
    [
        ("", "not tested by this run", ""), ("s", "supports", ""), ("su", "supports", " in 1 of 2"),
        ("c", "contradicts", ""), ("ccu1", "contradicts", " in 2 of 4"), ("u", "does not decide", ""),
        ("sc", "mixed", ""), ("scu", "mixed", ""), ("1", "does not decide", ""), ("s1", "supports", " in 1 of 2"),
    ],
)  # fmt: skip
def test_the_summary_follows_from_the_findings(verdicts, summary, share):
    kinds = {"s": YES, "c": NO, "u": OPEN, "1": ONE}
    findings = [Finding("mnist", kinds[letter], "A sentence.", "anchor") for letter in verdicts]
    judged = Judged(Claim("id", "Title", "A.", [], []), [], [(Measure("Measure", {}, {}, "Rule.", "a"), findings)])
    assert (judged.summary, judged.share) == (summary, share) and judged.count("supports") == verdicts.count("s")
    assert judged.undecided == sum(letter in "u1" for letter in verdicts)


def test_a_finished_run_is_read_from_its_files(finished):
    suite, run = load_run(finished, "demo")
    judged = {each.claim.id: each for each in judge(run.with_tables(build_tables(suite, run)))}
    assert judged["sufficient"].count(YES) == 2  # 140 of 200 in the rows of tests/report/conftest.py
    assert judged["small-models"].summary == "contradicts" and judged["frechet-rises"].summary == "supports"
    assert judged["released-model"].summary == "not tested by this run"
    for key in ("classifier-specific-training", "stylex-against-wu"):  # one training of each
        assert judged[key].count(ONE) == judged[key].undecided == 2
    assert judged["attfind-against-wu"].summary == "supports"  # of one training: 50 of 200 images
    assert judged["cumulative"].count(YES) == 2  # 90 of 90 left, and none by random moves
    assert judged["accurate"].count(YES) == 2  # two classifiers, which four experiments explain


def test_a_damaged_artifact_is_one_clear_line(measured):
    suite, run = load_run(measured, "demo")
    write_text(ExperimentPaths(measured, "mnist").attributes, "")
    with pytest.raises(ArtifactError, match=r"attributes\.csv is damaged"):
        judge(run.with_tables(build_tables(suite, run)))


@pytest.mark.parametrize(
    ("claim", "number", "line"),
    [
        ("sufficient", None, "Lang et al. 2021, Table 3, StylEx: 25.0 to 100.0 % (FFHQ perceived gender,"),
        ("small-models", None, "van der Vleuten et al. 2022, Table 1, Model 1: "),
        (
            "stylex-against-wu",
            6,
            "Lang et al. 2021, Table 3, Retina DME: StylEx 100.0 %, Wu et al. (StyleSpace) 0.0 %.",
        ),
        ("distinct", 13, "Lang et al. 2021, Table 2, AFHQ cats/dogs, StylEx: 0.933 (± 0.05)."),
    ],
)
def test_published_figures_are_listed(claim, number, line):
    lines = judge(Run(ROOT, {}), [CLAIMS[claim]])[0].published
    assert any(each.startswith(line) for each in lines) and number in (None, len(lines))
    assert claim != "sufficient" or not any("Wu et al." in each or "CST" in each for each in lines)
    assert claim != "small-models" or all("Model" in each for each in lines)


# Flipped decisions


def flipped(count, n=200, k=10, target="*", method="stylex", protocol="held_out"):
    low, high = wilson_interval(count, n)
    row = {"experiment": "mnist", "domain": "MNIST 3 / 5", "method": method, "protocol": protocol, "shift": 1.0}
    return row | {"seed": 0, "target_class": target, "k": k, "n": n, "flipped": count, "low": low, "high": high}


def test_the_sentence_has_n_interval_shift_seed_and_the_worst_direction():
    table = [flipped(140), flipped(90, 100, target="3"), flipped(50, 100, target="5"), flipped(200, k=40)]
    (finding,) = found("sufficient", {"sufficiency": table})
    assert (finding.where, finding.verdict, finding.anchor) == ("mnist", YES, "provenance-mnist-sufficiency")
    assert finding.sentence == (
        "70.0 % of 200 decisions flip within the top 10 (95 % interval 63.3–75.9 %), held out, shift 1, seed 0; least"
        " towards 5: 50.0 % of 100 flip (95 % interval 40.4–59.6 %)."
    )


@pytest.mark.parametrize(
    ("claim", "table", "changes", "verdict"),
    [
        ("sufficient", [flipped(120)], {}, YES),
        ("sufficient", [flipped(100)], {}, OPEN),
        ("sufficient", [flipped(80)], {}, NO),
        ("sufficient", [flipped(80), flipped(200, protocol="same_images")], {}, NO),  # the main protocol alone
        # With several targets for an image the row's interval is wider than Wilson's.
        ("sufficient", [flipped(1200, 2000) | {"low": 0.45, "high": 0.75}], {}, OPEN),
        ("sufficient", [flipped(0, n=0)], {}, None),
        ("sufficient", [flipped(200, method="wu_2021"), flipped(200, method="without_cst")], {}, None),
        ("sufficient", [{"experiment": "mnist", "k": 10}], {}, None),  # it lacks columns
        ("multi-class", [flipped(180), *(flipped(90, 100, target=name) for name in "35")], {}, None),
        ("multi-class", [flipped(180), *(flipped(90, 100, target=name) for name in "358")], {}, YES),
        ("domains", [flipped(40)], {}, None),
        ("domains", [flipped(40)], {"published_domain": "AFHQ cats/dogs"}, NO),
        ("small-models", [flipped(140)], {}, NO),  # the best of the replication's own models: 51 %
        ("small-models", [flipped(100)], {}, OPEN),
        ("small-models", [flipped(60)], {}, YES),
        ("small-models", [flipped(140)], {"dataset": of_dataset(resolution=256).dataset}, None),
        ("released-model", [flipped(237, 250, protocol="same_images")], {}, None),  # of no released model
    ],
)
def test_flipped_fractions_are_held_against_their_bound(claim, table, changes, verdict):
    findings = found(claim, {"sufficiency": table}, MNIST.model_copy(update=changes))
    assert [finding.verdict for finding in findings] == ([] if verdict is None else [verdict])


@pytest.mark.parametrize(("count", "verdict"), [(237, YES), (239, YES), (233, OPEN), (220, NO), (250, NO)])
def test_the_released_model_is_held_against_its_published_figure(count, verdict):
    """[V] Table 1: 94.8 % of 250 images; 237 are that, 239 within a point, 233 (93.2 %) within the interval."""
    rows = {"sufficiency": [flipped(count, 250, protocol="same_images")]}
    config = load_experiment(ROOT, "released-age")
    (finding,) = found("released-model", rows, config)
    assert finding.verdict == verdict and "Published: 94.8 %, so " in finding.sentence
    assert found("released-model", rows, config.model_copy(update={"published_domain": "another"})) == []


def listed(own, random, target="3", draws=4):
    """Rows of flips.csv and random_flips.csv: where each image flips, and of each draw whether those left do."""
    flips = [
        {"experiment": "mnist", "method": "stylex", "protocol": "held_out", "id": str(image), "target_class": target}
        | {"first_k": k}
        for image, k in enumerate(own)
    ]
    left = [row["id"] for row in flips if row["first_k"] != 1]
    chance = [
        {"experiment": "mnist", "id": name, "target_class": target, "draw": draw, "first_k": k}
        for draw in range(1, draws + 1)
        for name, k in zip(left, random, strict=True)
    ]
    return {"csv_flips": flips, "csv_random_flips": chance}


@pytest.mark.parametrize(
    ("own", "random", "verdict"),
    [
        ([2] * 80 + [NAN] * 20, [3] * 20 + [NAN] * 80, YES),
        ([2] * 20 + [NAN] * 80, [NAN] * 20 + [10] * 80, NO),
        ([2] * 50 + [NAN] * 50, [NAN] * 48 + [10] * 52, OPEN),
        ([2] * 50 + [11] * 50, [NAN] * 90 + [5] * 10, YES),
    ],
)
def test_attributes_after_the_first_are_held_against_random_moves(own, random, verdict):
    (finding,) = found("cumulative", listed([1] * 100 + own, random))
    assert finding.verdict == verdict and finding.anchor == "provenance-mnist-flips"
    assert finding.sentence.startswith("Of 100 decisions that the first attribute leaves, the following ones ")


def test_to_flip_as_many_as_any_list_does_is_not_to_add_up():
    (finding,) = found("cumulative", listed([1] * 60 + [4] * 40 + [NAN] * 60, [2] * 40 + [NAN] * 60))
    assert finding.verdict == OPEN and finding.sentence == (
        "Of 100 decisions that the first attribute leaves, the following ones flip 40.0 % within the top 10, held out;"
        " as many random moves 40.0 % (40.0 to 40.0 % in 4 draws). Difference: +0.0 points (95 % interval +0.0 to"
        " +0.0)."
    )


def test_images_with_several_targets_are_resampled_with_all_of_them():
    """Ten images with eight targets each are ten: all targets of six flip, of four none, by chance the other way."""
    one = listed([2] * 6 + [NAN] * 4, [NAN] * 6 + [2] * 4)
    many = {name: [row | {"target_class": str(target)} for target in range(8) for row in one[name]] for name in one}
    single, several = (found("cumulative", rows)[0] for rows in (one, many))
    assert single.verdict == several.verdict == OPEN and "Of 80 decisions" in several.sentence
    assert single.sentence.split("Difference")[1] == several.sentence.split("Difference")[1]


def test_when_the_first_attribute_flips_all_nothing_is_decided_and_without_random_lists_nothing_found():
    (finding,) = found("cumulative", {"csv_flips": listed([1, 1], [])["csv_flips"]})
    assert finding.verdict == OPEN and "all 2 decisions, held out: none is left" in finding.sentence
    assert found("cumulative", {"csv_flips": listed([1, 2], [2])["csv_flips"]}) == []


# Methods on the same images, over seeds


def paired(only_a, only_b, p, a="without_cst", b="wu_2021", target="*", n=100):
    sides = {"experiment_a": "mnist", "method_a": a, "experiment_b": "mnist", "method_b": b}
    counts = {"k": 10, "n": n, "only_a": only_a, "only_b": only_b, "difference": (only_a - only_b) / n}
    interval = {"low": (only_a - only_b) / n - 0.1, "high": (only_a - only_b) / n + 0.2, "p": p}
    return {"domain": "MNIST 3 / 5", "protocol": "held_out", "target_class": target} | sides | counts | interval


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "verdict"), [(30, 5, 1e-4, YES), (5, 30, 1e-4, NO), (6, 5, 1.0, OPEN), (0, 0, NAN, OPEN)]
)
def test_in_one_model_the_exact_test_decides_and_the_sign_says_for_whom(only_a, only_b, p, verdict):
    (finding,) = found("attfind-against-wu", {"paired": [paired(only_a, only_b, p)]})
    assert (finding.where, finding.verdict, finding.anchor) == ("MNIST 3 / 5", verdict, "table-paired")


def test_the_sentence_has_counts_protocol_difference_interval_and_p_in_either_order():
    (finding,) = found("attfind-against-wu", {"paired": [paired(30, 5, 0.0001)]})
    assert finding.sentence == (
        "Of 100 decisions, StylEx without CST (mnist) alone flips 30 and Wu et al. (StyleSpace) (mnist) alone 5 within"
        " the top 10, held out: a difference of +25.0 points (95 % interval +15.0 to +45.0, images resampled; exact"
        " McNemar test, p = 0.0001). One training."
    )
    (finding,) = found("attfind-against-wu", {"paired": [paired(5, 30, 0.0001, a="wu_2021", b="without_cst")]})
    assert finding.verdict == YES and "alone flips 30" in finding.sentence
    assert "+25.0 points (95 % interval +5.0 to +35.0" in finding.sentence


def test_only_the_row_of_all_directions_of_the_pair_counts():
    parts = [paired(3, 1, 0.6, target="3"), paired(27, 4, 0.0001, target="5"), paired(30, 5, 0.0001, a="stylex")]
    assert found("attfind-against-wu", {}) == found("attfind-against-wu", {"paired": parts}) == []
    assert len(found("attfind-against-wu", {"paired": [*parts, paired(30, 5, 0.0001)]})) == 1
    assert found("stylex-against-wu", {"paired": [paired(30, 5, 0.0001)]}) == []


DEMO = ((99.6, 93.6), (98.0, 74.8), (91.2, 97.2))  # three demo runs of MNIST on three machines


def pair(ours, theirs, methods=("stylex", "without_cst"), seed=0, protocol="held_out"):
    """A row of the table paired: fractions in percent of 250 images, all of the difference on one side."""
    difference, suffix = (ours - theirs) / 100, f"-seed{seed}" if seed else ""
    gained, twin = round(250 * difference), f"leaves-without-cst{suffix}"
    return {
        "domain": "Leaves", "protocol": protocol, "target_class": "*", "method_a": methods[0], "experiment_b": twin,
        "experiment_a": f"leaves{suffix}" if methods[0] == "stylex" else twin, "method_b": methods[1], "k": 10,
        "n": 250, "only_a": max(gained, 0), "only_b": max(-gained, 0), "difference": difference,
        "low": difference - 0.01, "high": difference + 0.01, "p": 1e-6,
    }  # fmt: skip


def trained(*rows):
    return found("classifier-specific-training", {"paired": list(rows)}, LEAVES)


@pytest.mark.parametrize(("ours", "theirs"), DEMO)
def test_one_seed_decides_nothing_about_a_training_method(ours, theirs):
    (finding,) = trained(pair(ours, theirs))
    assert finding.verdict == ONE and finding.anchor == "table-paired"
    assert "One training of each." in finding.sentence and "exact McNemar test, p < 0.0001" in finding.sentence


def test_several_seeds_are_one_finding_that_names_each():
    (finding,) = trained(*(pair(*fractions, seed=seed) for seed, fractions in enumerate(DEMO)))
    assert finding.verdict == OPEN
    assert "seed 0 (leaves against leaves-without-cst) +6.0; seed 1 (leaves-seed1 against" in finding.sentence
    assert "+23.2; seed 2" in finding.sentence
    assert "-6.0. Mean of 3 seeds: +7.7 (95 % Student interval " in finding.sentence


@pytest.mark.parametrize(
    ("fractions", "verdict"),
    [(((90, 70), (91, 70), (92, 70)), YES), (((70, 90), (70, 91), (70, 92)), NO), (((90, 70), (95, 70)), OPEN)],
)
def test_the_interval_over_seeds_decides(fractions, verdict):
    """Two seeds of +20 and +25 points leave an interval of t = 12.7 half widths."""
    (finding,) = trained(*(pair(*each, seed=seed) for seed, each in enumerate(fractions)))
    assert finding.verdict == verdict


def flips_of(*fractions):
    """Rows of sufficiency of one training of leaves a seed: so many of 250 images flip."""
    return {
        "sufficiency": [
            {
                "experiment": f"leaves-seed{seed}" if seed else "leaves", "method": "stylex", "protocol": "held_out",
                "target_class": "*", "k": 10, "n": 250, "flipped": round(250 * fraction), "fraction": fraction,
                "low": fraction - 0.05, "high": fraction + 0.05, "shift": 1.0, "seed": seed,
            }
            for seed, fraction in enumerate(fractions)
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fractions", "verdict", "counted"),
    [
        ((0.9, 0.8, 0.7), YES, "3 trainings (supports: 3 of 3). Seed 0: "),
        ((0.1, 0.2, 0.3), NO, "3 trainings (contradicts: 3 of 3). Seed 0: "),
        ((0.9, 0.8, 0.2), OPEN, "3 trainings (supports: 2 of 3, contradicts: 1 of 3). Seed 0: "),
        ((0.9, 0.52), OPEN, "2 trainings (supports: 1 of 2, does not decide: 1 of 2). Seed 0: "),
    ],
)
def test_trainings_that_differ_by_their_seed_are_one_finding(fractions, verdict, counted):
    (finding,) = found("sufficient", flips_of(*fractions), LEAVES)
    assert (finding.where, finding.verdict) == ("leaves", verdict)
    assert finding.sentence.startswith(counted) and " Seed 1: " in finding.sentence


def test_other_protocols_targets_and_crossed_twins_are_no_repetition():
    other = [pair(99, 1, protocol="same_images"), pair(99, 1) | {"target_class": "sick"}]
    assert trained(*other) == [] and len(trained(*other, pair(90, 80))) == 1
    crossed = pair(90, 70) | {"experiment_b": "leaves-without-cst-seed1"}  # one training of StylEx, whatever the twin
    assert [finding.verdict for finding in trained(pair(90, 70), crossed)] == [ONE, ONE]


def test_wu_in_a_model_of_its_own_is_a_matter_of_images_while_there_is_one():
    methods = ("without_cst", "wu_2021")
    (finding,) = found("attfind-against-wu", {"paired": [pair(90, 70, methods)]}, LEAVES)
    assert finding.verdict == YES and finding.sentence.endswith("One training.")
    several = [pair(*fractions, methods, seed) for seed, fractions in enumerate(DEMO)]
    (finding,) = found("attfind-against-wu", {"paired": several}, LEAVES)
    assert finding.verdict == OPEN and "Mean of 3 seeds" in finding.sentence


# Answers of people and of the machine observer

KINDS = (("people", 0), ("observer", 1))  # whose answers: the measure


def answers(low, high, kind="observer", method="stylex", experiment="mnist"):
    empty = [f"{one}_{name}" for one in ("people", "observer") for name in ("accuracy", "low", "high")]
    row = {"experiment": experiment, "domain": "MNIST 3 / 5", "method": method, "questions": 6}
    row |= dict.fromkeys([*empty, "people_participants", "observer_n"], NAN)
    row |= {f"{kind}_accuracy": (low + high) / 2, f"{kind}_low": low, f"{kind}_high": high}
    return row | {"people_participants" if kind == "people" else "observer_n": 12}


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.6, 0.8, YES), (0.4, 0.6, OPEN), (0.2, 0.4, NO)])
@pytest.mark.parametrize(("kind", "measure"), KINDS)
def test_right_answers_are_held_against_guessing(kind, measure, low, high, verdict):
    published = answers(0.9, 1.0, kind) | {"experiment": NAN}  # not of this run
    table = [answers(low, high, kind), answers(0, 1, kind, "wu_2021"), published]
    (finding,) = found("distinct", {"user_study": table}, measure=measure)
    assert finding.verdict == verdict and finding.anchor == "table-user_study"
    assert f"interval {100 * low:.1f}–{100 * high:.1f} %" in finding.sentence
    assert found("distinct", {"user_study": table}, measure=1 - measure) == []  # a machine is no people


@pytest.mark.parametrize(("kind", "measure"), KINDS)
def test_one_attribute_decides_nothing_however_many_answers(kind, measure):
    row = answers(0.9, 1.0, kind) | {"questions": 1, f"{kind}_low": NAN, f"{kind}_high": NAN}
    (finding,) = found("distinct", {"user_study": [row]}, measure=measure)
    assert finding.verdict == OPEN and "1 questions are right (one attribute, so no interval;" in finding.sentence


@pytest.mark.parametrize(("kind", "measure"), KINDS)
def test_clearer_needs_two_seeds_and_uses_all_of_them(kind, measure):
    """The first seed alone has StylEx far ahead, its interval beyond the other."""
    names = ("leaves", "leaves-without-cst", "leaves-seed1", "leaves-without-cst-seed1")
    levels = ((0.89, 0.91), (0.59, 0.61), (0.59, 0.61), (0.89, 0.91))
    rows = [
        answers(*level, kind, "wu_2021" if "without" in name else "stylex", name)
        for name, level in zip(names, levels, strict=True)
    ]
    (finding,) = found("clearer-than-wu", {"user_study": rows[:2]}, LEAVES, measure)
    assert finding.verdict == ONE and "Wu et al.: 60.0 % of the answers" in finding.sentence
    (finding,) = found("clearer-than-wu", {"user_study": rows}, LEAVES, measure)
    assert finding.verdict == OPEN and "-30.0." in finding.sentence
    assert "seed 0 (leaves against leaves-without-cst) +30.0; seed 1" in finding.sentence
    assert found("clearer-than-wu", {"user_study": rows[:1]}, LEAVES, measure) == []


# Known causes, and a planted bias

CAUSES = ("spots", "curl", "yellowing")
COORDINATES = itertools.count()
MOVED, PURER, COVERED = range(3)  # the measures of the claim `causes`
FIT = [{"experiment": "mnist", "factor": name, "cause": name in CAUSES} for name in (*CAUSES, "size", "background")]


def move(factor, change=1.0, method="stylex", rank=1, index=None, target="sick", purity=0.5):
    common = {"experiment": "mnist", "model": "stylex", "method": method, "target_class": target, "rank": rank}
    common |= {"style_index": next(COORDINATES) if index is None else index}
    return common | {"factor": factor, "cause": factor in CAUSES, "purity": purity, "change": change, "threshold": 0.5}


def random_moves(*factors):
    return [move(factor, method="random", rank=rank) for rank, factor in enumerate(factors, start=1)]


def causes(measure, *moves, experiments=MNIST, fit=None):
    rows = {"factors": list(moves)} | ({} if fit is None else {"csv_factor_fit": fit})
    return found("causes", rows, experiments, measure)


@pytest.mark.parametrize(("hits", "verdict"), [(10, YES), (5, OPEN), (0, NO)])
def test_attributes_are_held_against_random_moves(hits, verdict):
    own = [move("spots" if i < hits else "size") for i in range(10)]
    chance = [move("curl" if i % 2 else "angle", method="random") for i in range(64)]
    nothing = [move(each, NAN) for each in (None, "")]  # moves that changed no pixel; of a file, the factor is ""
    (finding,) = causes(MOVED, *own, *chance, *nothing)
    assert finding.verdict == verdict and "% of 10 coordinates" in finding.sentence
    assert "of 64 that random moves take 50.0 %" in finding.sentence
    assert finding.anchor == "provenance-mnist-factors"


def test_a_coordinate_in_both_lists_is_counted_once():
    """Six coordinates stand in both lists: 12 hits of 12 were p < 0.05 against chance, 6 of 6 are not."""
    places = [(target, rank) for target in ("sick", "healthy") for rank in range(1, 7)]
    lists = [move("spots", rank=rank, index=rank, target=target) for target, rank in places]
    chance = random_moves(*["spots"] * 44, *["size"] * 20)
    (finding,) = causes(MOVED, *lists, *chance)
    assert finding.verdict == OPEN and "100.0 % of 6 coordinates" in finding.sentence
    twelve = [row | {"style_index": place} for place, row in enumerate(lists)]
    (finding,) = causes(MOVED, *twelve, *chance)
    assert finding.verdict == YES
    (finding,) = causes(MOVED, *twelve, *chance, *(row | {"target_class": "healthy"} for row in chance))
    assert "of 64 that random moves take" in finding.sentence  # random ones too


@pytest.mark.parametrize(
    ("purities", "verdict"), [((0.6, 0.61, 0.59), YES), ((0.4, 0.39, 0.41), NO), ((0.6, 0.5, 0.4), OPEN)]
)
def test_purity_is_held_against_random_moves_of_equal_size_over_seeds(purities, verdict):
    # Random moves as small as that of the attribute are pure to a half; larger ones, which do not count, to 0.9.
    chance = random_moves(*["spots"] * 8) + [row | {"change": 9.0, "purity": 0.9} for row in random_moves("size")]
    moves = [
        row | {"experiment": name}
        for name, purity in zip(("leaves", "leaves-seed1", "leaves-seed2"), purities, strict=True)
        for row in (move("spots", change=2 * purity, purity=purity), *chance)
    ]
    (finding,) = causes(PURER, *moves, experiments=LEAVES)
    assert finding.verdict == verdict and f"seed 0 (leaves) {100 * (purities[0] - 0.5):+.1f};" in finding.sentence


def test_purity_of_one_training_decides_nothing():
    (finding,) = causes(PURER, move("spots", purity=0.9), *random_moves("size"))
    assert finding.verdict == ONE and "+40.0 points" in finding.sentence
    assert causes(PURER, move("spots")) == []
    assert causes(PURER, move(None, NAN, purity=NAN), *random_moves("size")) == []


@pytest.mark.parametrize(
    ("factors", "verdict"), [(CAUSES, YES), (("spots", "curl", "size"), OPEN), (("spots", "size"), NO)]
)
def test_all_causes_must_be_covered(factors, verdict):
    moves = [*map(move, factors), move("yellowing", change=0.2), *random_moves(*["size"] * 60, *CAUSES)]
    (finding,) = causes(COVERED, *moves, fit=FIT)
    reached = [name for name in CAUSES if name in factors]
    assert finding.verdict == verdict and f"cover {len(reached)} of 3 causes ({', '.join(reached)})" in finding.sentence


def test_covering_what_random_moves_cover_as_well_decides_nothing():
    """Ten attributes cover all three causes; so do ten random moves when each third of them reaches one."""
    own = [move(cause, rank=rank) for rank, cause in enumerate([*CAUSES] * 3, start=1)]
    (finding,) = causes(COVERED, *own, *random_moves(*[*CAUSES] * 20), fit=FIT)
    assert finding.verdict == OPEN and "As many random moves cover 2.9" in finding.sentence


def test_causes_need_both_tables_and_random_moves():
    assert causes(COVERED, move("spots"), *random_moves("spots")) == causes(COVERED, move("spots"), fit=FIT) == []
    assert causes(COVERED, fit=FIT) == causes(MOVED) == []


@pytest.mark.parametrize(
    ("rank", "change", "chance", "verdict"),
    [
        (2, -1.0, ["background", *["spots"] * 99], YES),
        (7, 1.0, ["background", *["spots"] * 99], OPEN),
        (1, 0.1, ["background", *["spots"] * 99], NO),
        (1, 1.0, ["background", "spots"] * 20, OPEN),  # random moves find it as often
    ],
)
def test_a_planted_bias_must_be_among_the_first_attributes(rank, change, chance, verdict):
    rows = {"factors": [move("spots"), move("background", change, rank=rank), *random_moves(*chance)]}
    (finding,) = found("biases", rows, of_dataset(name="leaves-biased"))
    assert finding.verdict == verdict and "planted factor is background" in finding.sentence
    assert len(chance) == 100 or "One of 3 random moves per class does so with p = 0.88" in finding.sentence
    assert found("biases", rows) == []


# Counterfactuals


def images(flips, agreed, n=200, method="stylex", protocol="held_out", draws=1):
    """Rows of counterfactual_images.csv; agreed: of the first images, or None: nobody was asked."""
    common = {"experiment": "mnist", "method": method, "protocol": protocol}
    return [
        common
        | {"id": str(image), "target_class": "3" if image % 2 else "5", "draw": draw, "flipped": image < flips}
        | {"agreed": NAN if agreed is None else image < agreed}
        for draw in range(draws)
        for image in range(n)
    ]


def likeness(rows, ratio, method="stylex", protocol="held_out", more=()):
    row = {"experiment": "mnist", "method": method, "protocol": protocol, "target_class": "*", "n_compared": 200}
    row |= {"extractor": "net_32", "frechet_distance": 2 * ratio, "frechet_reconstructions": 2.0}
    row |= {"frechet_ratio": ratio, "neither": 0.05}
    summaries = [row, *(row | each for each in more)]
    return found("looks-like-target", {"csv_counterfactual_images": rows, "csv_counterfactuals": summaries})


@pytest.mark.parametrize(
    ("flips", "agreed", "ratio", "verdict"),
    [
        (200, 195, 1.5, YES),
        (200, 195, 4.0, YES),
        (200, 195, 4.1, NO),  # an oracle that agrees to blobs is not enough
        (200, 120, 1.5, NO),  # nor a small distance of adversarial examples
        (150, 150, 1.5, NO),
        (184, 184, 1.5, OPEN),  # 92 %, interval 87 to 95 %
        (200, 176, 1.5, OPEN),  # 88 %, interval 83 to 92 %
        (200, 195, NAN, OPEN),
        (20, 10, NAN, NO),
        (200, None, 1.5, OPEN),  # without an oracle nothing supports
        (200, None, 9.0, NO),
    ],
)
def test_all_three_must_hold_and_one_decides_against(flips, agreed, ratio, verdict):
    (finding,) = likeness(images(flips, agreed), ratio)
    assert (finding.where, finding.verdict) == ("mnist", verdict)
    assert finding.anchor == "provenance-mnist-counterfactuals"
    assert f"{flips / 2:.1f} % of 200 images flip" in finding.sentence


def test_the_numbers_and_those_of_chance_are_in_the_sentence():
    rows = [*images(200, 195), *images(20, 4, method="random", draws=3)]
    (finding,) = likeness(rows, 1.5, more=[{"method": "random", "frechet_ratio": NAN}])
    start = "Held out, 100.0 % of 200 images flip (95 % interval 98.1–100.0 %); 97.5 % of 200"
    assert finding.sentence.startswith(start)
    for text in (
        "Fréchet distance to the images of the target class 3.0, of as many reconstructions 2.0",
        "1.5 times as far", "5.0 % neither class", "As many random moves: 10.0 % of 600 images flip",
        "2.0 % of 600 flip and are called the target", "too few flip towards some class to take a distance",
    ):  # fmt: skip
        assert text in finding.sentence


def test_what_the_oracle_says_of_images_that_do_not_flip_counts_for_nothing():
    (finding,) = likeness([row | {"agreed": True} for row in images(100, 100)], 1.0)
    assert "50.0 % of 200 flip and are called the target" in finding.sentence and finding.verdict == NO


@pytest.mark.parametrize(
    "other", [{"protocol": "same_images"}, {"method": "without_cst"}, {"method": "condition"}, {"method": "pixel"}]
)
def test_other_protocols_methods_and_trainings_are_not_judged(other):
    assert likeness(images(200, 195, **other), 1.5, **other) == []


# Classifiers, reconstructions, single images, distances


def test_without_its_frames_nothing_is_found():
    assert all(found(name, {}, measure=i) == [] for name in CLAIMS for i in range(len(CLAIMS[name].measures)))


@pytest.mark.parametrize(("fraction", "verdict"), [(0.99, YES), (0.95, OPEN), (0.90, NO)])
def test_accuracy_and_kept_classes_are_held_against_95_percent(fraction, verdict):
    row = {"experiment": "mnist", "n_test": 1000, "accuracy": fraction, "n_reconstructed": 1000, "class_kept": fraction}
    (accurate,), (kept,) = (found(name, {"classifiers": [row]}) for name in ("accurate", "class-kept"))
    assert accurate.verdict == kept.verdict == verdict
    assert f"{100 * fraction:.1f} % of 1000 test images" in accurate.sentence
    assert (accurate.anchor, kept.anchor) == ("provenance-mnist-classifier", "provenance-mnist-latents")
    # A training without the classifier need not keep its classes.
    plain = MNIST.model_copy(update={"stylex": MNIST.stylex.model_copy(update={"conditioning": "none"})})
    assert found("class-kept", {"classifiers": [row]}, plain) == []


def test_a_classifier_that_two_experiments_explain_counts_once():
    row = {"n_test": 1000, "accuracy": 0.99, "n_reconstructed": 1000, "class_kept": 0.99}
    names = ("leaves-without-cst", "leaves", "leaves-seed1", "leaves-without-cst-seed1")
    findings = found("accurate", {"classifiers": [row | {"experiment": name} for name in names]}, LEAVES)
    assert [finding.where for finding in findings] == ["leaves-without-cst", "leaves-seed1"]


@pytest.mark.parametrize(("count", "verdict"), [(90, YES), (50, OPEN), (10, NO)])
def test_subsets_are_judged_at_the_largest_k_up_to_ten(count, verdict):
    common = {"experiment": "mnist", "method": "stylex", "target_class": "*", "n": 100, "shift": 1.0}
    table = [common | {"selection": "subset", "k": k, "flipped": flips} for k, flips in ((1, 0), (10, count))]
    table.append(common | {"selection": "independent", "k": 10, "flipped": 100})
    (finding,) = found("single-images", {"subset": table})
    assert finding.verdict == verdict and finding.sentence.endswith(" %), shift 1.")
    assert "within 10 coordinates chosen for the very image" in finding.sentence


@pytest.mark.parametrize(("own", "verdict"), [(20, YES), (10, OPEN), (0, NO)])
def test_own_coordinates_are_others_than_the_first_attribute_of_the_target(own, verdict):
    first = {"experiment": "mnist", "target_class": "3", "rank": 1, "style_index": 7}
    step = {"experiment": "mnist", "target_class": "3", "step": 1}
    steps = [step | {"id": str(i), "style_index": 8 if i < own else 7} for i in range(20)]
    steps.append(step | {"id": "other", "target_class": "5", "style_index": 1})
    rows = {"csv_attributes": [first, first | {"rank": 2, "style_index": 8}], "csv_independent": steps}
    (finding,) = found("single-images", rows, measure=1)
    assert finding.verdict == verdict and " of 20 explained images" in finding.sentence


def curve(distances, folds, protocol="held_out"):
    """Rows of frechet.csv: the distances of a curve, and those of each fold."""
    common = {"experiment": "mnist", "protocol": protocol, "extractor": "net_32", "n": 250}
    columns = [dict(zip(KID_FOLDS, values, strict=True)) for values in zip(*folds, strict=True)]
    return [common | {"n_attributes": k, "frechet_distance": value} | columns[k] for k, value in enumerate(distances)]


RISING, FALLING, TEN = [0.1, 0.2, 0.3, 0.5], [0.5, 0.3, 0.2, 0.1], [float(k) for k in range(11)]


@pytest.mark.parametrize(
    ("distances", "folds", "verdict"),
    [
        (RISING, [RISING] * 5, YES),
        (RISING, [FALLING] * 5, NO),
        (RISING, [RISING, RISING, RISING, FALLING, FALLING], OPEN),
        (RISING, [[0.1, 0.2, 0.3, 0.2], [0.1, 0.3, 0.2, 0.4], RISING, RISING, [0.2, 0.1, 0.3, 0.4]], YES),
        (TEN, [TEN, TEN[::-1], TEN, TEN[::-1], TEN], OPEN),  # eleven points of a monotone curve: p < 0.0001
    ],
)
def test_the_distance_rises_in_disjoint_groups_of_images(distances, folds, verdict):
    (finding,) = found("frechet-rises", {"frechet": list(reversed(curve(distances, folds)))})
    assert finding.verdict == verdict and "the mean of 5 groups of images (95 % Student interval" in finding.sentence
    assert distances is TEN or "0.10 with 0 and 0.50 with 3 attributes moved" in finding.sentence
    assert "n = 250 images, held out" in finding.sentence


def test_a_curve_needs_groups_three_points_and_the_main_protocol():
    (finding,) = found("frechet-rises", {"frechet": curve(TEN, [[NAN] * 11] * 5)})
    assert finding.verdict == OPEN and "too few images to divide into groups" in finding.sentence
    assert found("frechet-rises", {"frechet": curve(RISING, [RISING] * 5)[:2]}) == []
    assert found("frechet-rises", {"frechet": curve(RISING, [RISING] * 5, "same_images")}) == []


@pytest.mark.parametrize(
    ("config", "last", "verdict"),
    [
        (MNIST, 0.1, NO),
        (MNIST, 0.25, OPEN),
        (MNIST, 0.35, YES),
        (of_dataset(name="mnist-full"), 0.1, NO),
        (of_dataset(name="fashion-mnist"), 0.1, None),  # the claim is about MNIST alone
        (load_experiment(ROOT, "mnist-rest"), 0.35, YES),  # the experiment of the slides
    ],
)
def test_stagnation_is_the_share_of_the_first_error_that_is_left(config, last, verdict):
    errors = enumerate((NAN, 0.4, last), start=1)
    history = [{"experiment": "mnist", "images": 1000.0 * step, "val_l1": value} for step, value in errors]
    findings = found("stagnation", {"csv_stylex_history": history}, config)
    assert [finding.verdict for finding in findings] == ([] if verdict is None else [verdict])
    text = f"from 0.400 after 2,000 images shown to {last:.3f}"
    assert all(text in finding.sentence for finding in findings)
