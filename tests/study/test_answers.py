"""Answers of participants against the key."""

import pandas
import pytest

from stylex.artifacts import read_table
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.errors import ArtifactError, StudyError
from stylex.study.answers import analyse, read_key


def write_answers(path, key, participant, wrong=(), study=None, text="thick strokes"):
    """A participant who is right except in the questions `wrong`."""
    rows = ["study,participant,question,answer"]
    for row in key.to_dict("records"):
        answer = text
        if row["part"] == 1:
            other = {"A": "B", "B": "A"}[row["correct"]]
            answer = other if row["question"] in wrong else row["correct"]
        rows.append(f"{study or row['study']},{participant},{row['question']},{answer}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def key_path(own):
    return ExperimentPaths(own, "mnist").study_key


@pytest.fixture
def two(tmp_path, key_path):
    key = read_key(key_path)
    first = write_answers(tmp_path / "answers-1.csv", key, "a1")
    return [first, write_answers(tmp_path / "answers-2.csv", key, "b2", wrong=("1-02",), text="stroke")]


def test_accuracy_by_question_and_over_all(key_path, two):
    people, words = analyse(key_path, two)
    assert people["question"].tolist() == ["1-01", "1-02", "1-03", "all"]
    assert people["accuracy"].tolist() == pytest.approx([1, 0.5, 1, 5 / 6])
    total = people.iloc[-1]
    assert (total["n"], total["correct"], total["participants"], total["questions"]) == (6, 5, 2, 3)
    assert total["population_sd"] == pytest.approx((1 / 18) ** 0.5)
    assert total["sample_sd"] == pytest.approx((1 / 12) ** 0.5)
    assert words[words["question"] == "2-01"][["word", "people", "n"]].to_numpy().tolist() == [
        ["stroke", 2, 2], ["thick", 1, 2],
    ]  # fmt: skip


def test_the_command_writes_people_and_words(key_path, two, own, monkeypatch, capsys):
    monkeypatch.chdir(own)
    with pytest.raises(SystemExit) as ended:
        main(["study", "analyse", "--key", str(key_path), *map(str, two)])
    printed = capsys.readouterr().out
    assert not ended.value.code
    assert "stylex, 2 participants, 3 questions: mean 0.8333, population sd 0.2357, sample sd 0.2887" in printed
    assert "stylex 2-01: stroke (2 of 2), thick (1 of 2)" in printed
    folder = key_path.parent
    assert pandas.read_csv(folder / "people.csv")["n"].tolist() == [2, 2, 2, 6]
    assert set(pandas.read_csv(folder / "words.csv")["word"]) == {"stroke", "thick"}
    assert '"study": ' in (folder / "people.provenance.json").read_text()


def test_a_question_without_an_answer_is_left_out(key_path, two):
    lines = two[0].read_text().splitlines()
    two[0].write_text("\n".join(line for line in lines if ",1-01," not in line) + "\n")
    people, _ = analyse(key_path, two)
    assert people["n"].tolist() == [1, 2, 2, 5]


def test_one_part_alone(key_path, two):
    lines = two[0].read_text().splitlines()
    two[0].write_text("\n".join(line for line in lines if ",1-" not in line) + "\n")
    people, words = analyse(key_path, two[:1])
    assert people.empty and len(words) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",answer", ",answers", "has no column 'answer'"),
        ("1-01,", "1-09,", "question 1-09 is not in the key"),
        ("1-01,B\n", "1-01,C\n", "'C' is neither A nor B"),
    ],
)
def test_a_file_that_does_not_fit(key_path, two, old, new, message):
    text = two[0].read_text()
    assert old in text
    two[0].write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match=message):
        analyse(key_path, two)


def test_another_questionnaire_the_same_participant_twice_and_nothing(key_path, two, tmp_path):
    key = read_key(key_path)
    foreign = write_answers(tmp_path / "foreign.csv", key, "c3", study="0123456789ab")
    with pytest.raises(StudyError, match=r"foreign\.csv answers questionnaire 0123456789ab, the key is of"):
        analyse(key_path, [foreign])
    with pytest.raises(StudyError, match="participant a1 answered already; give each file once"):
        analyse(key_path, [two[0], two[0]])
    with pytest.raises(StudyError, match=r"absent\.csv does not exist; give the CSV"):
        analyse(key_path, [tmp_path / "absent.csv"])
    with pytest.raises(StudyError, match="no file of answers"):
        analyse(key_path, [])
    (tmp_path / "empty.csv").write_text("study,participant,question,answer\n")
    with pytest.raises(StudyError, match="hold no answer"):
        analyse(key_path, [tmp_path / "empty.csv"])


def test_a_key_that_is_none_or_missing(key_path, two):
    with pytest.raises(StudyError, match="is no answer key"):
        analyse(two[0], two)
    key_path.unlink()
    with pytest.raises(ArtifactError, match="does not exist"):
        analyse(key_path, two)


def test_none_and_not_applicable_are_answers(key_path, two):
    text = two[0].read_text()
    two[0].write_text(text.replace("2-01,thick strokes", "2-01,None").replace("2-02,thick strokes", "2-02,N/A"))
    _, words = analyse(key_path, two)
    of_first = words[words["question"] == "2-01"]
    assert of_first[["word", "people", "n"]].to_numpy().tolist() == [["none", 1, 2], ["stroke", 1, 2]]
    of_second = words[words["question"] == "2-02"]
    assert set(of_second["n"]) == {2} and "stroke" in set(of_second["word"])
    assert read_table(key_path.with_name("words.csv"))["word"].tolist() == words["word"].tolist()


def test_what_is_beside_the_key_and_not_ours_stays(key_path, two):
    theirs = key_path.with_name("people.csv")
    theirs.write_text("name,telephone\n")
    with pytest.raises(StudyError, match=r"people\.csv is none of ours, and would be overwritten: move it"):
        analyse(key_path, two)
    assert theirs.read_text() == "name,telephone\n" and not key_path.with_name("words.csv").exists()
    theirs.unlink()
    assert analyse(key_path, two)[0].equals(analyse(key_path, two)[0])  # ours may be replaced


def test_answers_to_the_second_part_alone_leave_a_table_that_can_be_read(key_path, two):
    lines = two[0].read_text().splitlines()
    two[0].write_text("\n".join(line for line in lines if ",1-" not in line) + "\n")
    analyse(key_path, two[:1])
    people = read_table(key_path.with_name("people.csv"))
    assert len(people) == 0 and {"method", "question", "accuracy"} <= set(people.columns)


def test_a_key_that_was_written_anew_is_said_and_not_to_be_deleted(key_path, two):
    key_path.write_bytes("study,question\né,1\n".encode("cp1252"))
    with pytest.raises(
        ArtifactError, match=r"key\.csv is damaged .*; give key.csv of `study build`, which makes it again"
    ):
        analyse(key_path, two)
    key_path.write_text(
        "study,question,part,method,attribute,style_index,other_attribute,other_style_index,correct,images\n"
    )
    with pytest.raises(StudyError, match="has no question: it is no answer key"):
        analyse(key_path, two)
