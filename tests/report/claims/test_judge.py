"""All claims together: nothing is decided without numbers, sources are real, and damaged artifacts are reported."""

from pathlib import Path

import pytest

from stylex.artifacts import write_text
from stylex.config import ExperimentPaths, load_suite
from stylex.errors import ArtifactError
from stylex.report.claims import CLAIMS, Claim, Finding, Judged, Measure, Run, Verdict, judge, read_run
from stylex.report.published import SOURCES
from stylex.report.writing import build_tables, load_experiments


def test_an_empty_run_tests_nothing():
    judged = judge(Run())
    assert len(judged) == len(CLAIMS)
    assert {each.summary for each in judged} == {"not tested by this run"}


def test_claims_are_complete_and_of_all_three_papers():
    assert len({claim.key for claim in CLAIMS}) == len({claim.title for claim in CLAIMS}) == len(CLAIMS)
    assert {source.paper for claim in CLAIMS for source in claim.sources} == set(SOURCES)
    for claim in CLAIMS:
        assert claim.statement.endswith(".") and claim.sources and claim.measures
        assert all(measure.rule.endswith(".") and measure.needs for measure in claim.measures)


@pytest.mark.parametrize(
    ("verdicts", "summary"),
    [
        ("", "not tested by this run"),
        ("s", "supports"),
        ("su", "supports"),
        ("c", "contradicts"),
        ("u", "does not decide"),
        ("sc", "mixed"),
        ("1", "does not decide"),
        ("s1", "supports"),
    ],
)
def test_the_summary_follows_from_the_findings(verdicts, summary):
    kinds = {"s": Verdict.SUPPORTS, "c": Verdict.CONTRADICTS, "u": Verdict.UNDECIDED, "1": Verdict.ONE_SEED}
    findings = [Finding("mnist", kinds[letter], "A sentence.", "anchor") for letter in verdicts]
    measure = Measure("Measure", "Rule.", "something", lambda run: findings)
    (judged,) = judge(Run(), (Claim("key", "Title", "Statement.", (), (measure,)),))
    assert isinstance(judged, Judged) and judged.summary == summary
    assert judged.count("supports") == verdicts.count("s")
    assert judged.undecided == sum(letter in "u1" for letter in verdicts)


def test_a_finished_run_is_read_from_its_files(finished: Path):
    suite = load_suite(finished, "demo")
    experiments = load_experiments(finished, suite)
    run = read_run(finished, experiments, build_tables(finished, suite, experiments))
    judged = {each.claim.key: each for each in judge(run)}
    assert judged["sufficient"].count(Verdict.SUPPORTS) == 2  # 140 of 200 in the rows of tests/report/conftest.py
    assert judged["small-models"].summary == "contradicts" and judged["frechet-rises"].summary == "supports"
    assert judged["released-model"].summary == "not tested by this run"
    for key in ("classifier-specific-training", "stylex-against-wu"):  # one training of each
        assert judged[key].count(Verdict.ONE_SEED) == judged[key].undecided == 2
    assert judged["attfind-against-wu"].summary == "supports"  # of one training: 50 of 200 images
    assert judged["cumulative"].count(Verdict.SUPPORTS) == 2  # 90 of 90 left, and none by random moves
    assert judged["accurate"].count(Verdict.SUPPORTS) == 2  # two classifiers, which four experiments explain


def test_a_damaged_artifact_is_one_clear_line(measured: Path):
    suite = load_suite(measured, "demo")
    experiments = load_experiments(measured, suite)
    tables = build_tables(measured, suite, experiments)
    write_text(ExperimentPaths(measured, "mnist").independent, "")
    with pytest.raises(ArtifactError, match=r"independent\.csv is damaged"):
        read_run(measured, experiments, tables)
