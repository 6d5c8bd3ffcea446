"""The table of the user study: printed, recomputed, people and machine each in a column of its own."""

from pathlib import Path

import pandas
import pytest

from stylex.artifacts import read_table, write_table
from stylex.config import ExperimentPaths, SuitePaths, load_experiment, recomputed_user_study
from stylex.report.user_study import COLUMNS, user_study_table

STUDY = "0123456789ab"


def table(root: Path):
    return user_study_table(root, {"mnist": load_experiment(root, "mnist")})


def people(root: Path, study: str) -> None:
    row = {
        "study": study, "method": "stylex", "question": "all", "n": 4, "correct": 3, "accuracy": 0.75, "low": 0.194,
        "high": 0.994, "participants": 2, "questions": 2, "population_sd": 0.25, "sample_sd": 0.3536, "kappa": -0.1,
    }  # fmt: skip
    write_table(ExperimentPaths(root, "mnist").study_people, pandas.DataFrame([row]), {})


def test_the_observer_never_stands_among_people(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("user_study", "csv"), ("published",))
    assert list(frame.columns) == list(COLUMNS)
    ours = frame[frame["experiment"] == "mnist"].iloc[0]
    assert (ours["observer_accuracy"], ours["observer_n"], ours["questions"]) == (0.9, 20, 2)
    assert frame.filter(like="people_").isna().all().all() and frame.filter(like="recomputed_").isna().all().all()
    row = table(finished).blocks[0].frame.iloc[0]
    assert row["People"] == "–" and row["Machine observer (no people)"] == "0.900 (0.100; 0.141) [0.683–0.988]"


def test_every_printed_cell_is_there_with_the_reason_for_an_empty_one(finished: Path):
    context = table(finished).blocks[1].frame
    assert len(context) == 13 and set(context["From the raw answers"]) == {"–"}
    first, last = context.iloc[0], context.iloc[-1]
    assert (first["Source"], first["Published"]) == ("Lang et al. 2021, Table 2", "0.783 ± 0.186")
    assert first["Does the printed cell follow?"] == "no file of raw answers is known"
    assert "not downloaded: `stylex study published` fetches them" in last["Does the printed cell follow?"]


def test_raw_answers_fill_their_row_and_no_other(measured: Path):
    row = {
        "source": "vandervleuten_2022", "domain": "FFHQ perceived gender", "method": "Model 2", "questions": 6,
        "participants": 54, "mean": 0.7994, "population_sd": 0.1605, "sample_sd": 0.1758, "low": 0.7516, "high": 0.8416,
        "kappa": 0.3857, "published": "0.79", "published_spread": "0.1599", "finding": "the mean does not follow",
    }  # fmt: skip
    write_table(recomputed_user_study(measured), pandas.DataFrame([row]), {})
    context = table(measured).blocks[1].frame
    filled = context[context["From the raw answers"] != "–"]
    assert filled["Method"].tolist() == ["Model 2"] and filled["Participants"].tolist() == ["54"]
    assert filled["From the raw answers"].iloc[0] == "0.799 (0.161; 0.176) [0.752–0.842]"
    assert filled["Does the printed cell follow?"].tolist() == ["the mean does not follow"]


def test_an_interval_over_one_question_is_left_out(measured: Path):
    path = ExperimentPaths(measured, "mnist").observer
    observed = read_table(path, ("method", "question"))
    observed.loc[observed["question"] == "all", ["low", "high"]] = float("nan")
    write_table(path, observed, {})
    assert table(measured).blocks[0].frame["Machine observer (no people)"].tolist() == ["0.900 (0.100; 0.141)"]


@pytest.mark.parametrize(("study", "expected"), [(STUDY, "0.750 (0.250; 0.354) [0.194–0.994]"), ("earlier", "–")])
def test_people_count_when_they_answered_this_questionnaire(measured: Path, study: str, expected: str):
    people(measured, study)
    assert table(measured).blocks[0].frame["People"].tolist() == [expected]
