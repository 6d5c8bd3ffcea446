"""The replications' tables from raw answers: files in the form of the originals, made here and served on loopback.

With STYLEX_SHARED the answers are the published ones: the folder that holds data/user_studies.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from stylex.cli import main
from stylex.config import recomputed_user_study
from stylex.datasets.catalog import PinnedFile
from stylex.errors import ChecksumError, DownloadError, StudyError
from stylex.study.published import (
    G_ANSWERS,
    G_DESCRIPTIONS,
    SOURCES,
    V_ANSWERS,
    V_KEY,
    AnswerSource,
    cut_off,
    follows,
    recompute,
)  # fmt: skip

V_FOLDERS = ("old_faces", "new_faces", "old_plant")
Answers = list[list[str]]  # a list a participant


def table(rows: list[list[object]]) -> bytes:
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    return target.getvalue().encode()


def vandervleuten(blocks: list[tuple[Answers, str]], words: list[Answers]) -> dict[str, bytes]:
    """The files of [V]: in each of three blocks six answers, then six descriptions."""
    files = {}
    for folder, (_, key) in zip(V_FOLDERS, blocks, strict=True):
        sides = ["top" if letter == "A" else "bottom" for letter in key]
        lines = [f"Same transformation in {side}-right \n (0, 2) \n [[   0 1867]\n [   0 2179]] \n\n" for side in sides]
        files[V_KEY.format(folder)] = "".join(lines).encode()
    rows: list[list[object]] = [["", "Status", *(f"Q{number}" for number in range(1, 37))]]
    for person in range(len(blocks[0][0])):
        parts = [blocks[block][0][person] + words[block][person] for block in range(3)]
        rows.append([person + 2, "IP Address", *(cell for part in parts for cell in part)])
    return files | {V_ANSWERS: table(rows)}


def vandegeijn(blocks: list[tuple[Answers, str]], words: Answers) -> dict[str, bytes]:
    """The files of [G]: two blocks side by side, the key and the accuracies below; descriptions in another file."""
    header = [f"Attribute {number}" for _, key in blocks for number in range(1, len(key) + 1)]
    people = [[cell for answers, _ in blocks for cell in answers[row]] for row in range(len(blocks[0][0]))]
    key = [letter for _, letters in blocks for letter in letters]
    rows = [
        ["", *header],
        *(["", *row] for row in people),
        ["Correct Answers", *key],
        ["Accuracies", *("1" * len(key))],
    ]
    described = [["Χρονική σήμανση", *[""] * len(words[0])], *(["2022/02/02 1:53:29 π.μ. CET", *row] for row in words)]
    return {G_ANSWERS: table(rows), G_DESCRIPTIONS: table(described)}


def made_up() -> dict[str, dict[str, bytes]]:
    """Ten participants: all right, but for the first in question 1 (A: right), in every block."""

    def block(key: str) -> tuple[Answers, str]:
        wrong = [{"A": "B", "B": "A"}[key[0]], *key[1:]]
        return [wrong] + [list(key)] * 9, key

    words = [["Eyes", "the mouth", "Ears", "nothing", "Glasses", 'a "squish", twice']] * 10
    return {
        "vandervleuten_2022": vandervleuten([block("BAAABB"), block("AAAAAB"), block("BAAABB")], [words] * 3),
        "vandegeijn_2022": vandegeijn([block("ABBABB"), block("AABA")], [["eyes"] * 10] * 12),
    }


Serve = Callable[[dict[str, dict[str, bytes]]], dict[str, AnswerSource]]


@pytest.fixture
def serve(served) -> Serve:
    """Puts files on the server and returns sources that pin them."""
    folder, url = served

    def put(files: dict[str, dict[str, bytes]]) -> dict[str, AnswerSource]:
        pinned = {}
        for name, bodies in files.items():
            for path, body in bodies.items():
                (folder / name / "c0ffee" / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / "c0ffee" / path).write_bytes(body)
            pins = [PinnedFile(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in bodies.items()]
            pinned[name] = AnswerSource(f"{url}/{name}", tuple(("c0ffee", pin) for pin in pins))
        return pinned

    return put


def test_every_block_is_summarised(root, serve):
    frame = recompute(root, serve(made_up()))
    assert frame["questions"].tolist() == [6, 6, 6, 6, 4] and set(frame["participants"]) == {10}
    assert frame["mean"].tolist() == pytest.approx([5.9 / 6] * 4 + [3.9 / 4])
    assert frame["population_sd"].iloc[0] == pytest.approx((0.1**2 * 5 / 36) ** 0.5)
    assert frame["sample_sd"].iloc[4] == pytest.approx(0.05)
    assert frame["published"].tolist() == ["0.52", "0.79", "0.66", "0.978", "0.94"]
    assert frame["finding"].str.startswith("the mean does not follow: the answers give 0.98").sum() == 4
    words = pandas.read_csv(recomputed_user_study(root).with_name("user_study_words.csv"))
    first = words[(words["block"] == "FFHQ perceived gender, Model 2") & (words["question"] == 6)]
    assert sorted(first["word"]) == ["squish", "twice"] and set(first["n"]) == {10}
    assert words[words["source"] == "vandegeijn_2022"]["descriptions"].tolist() == [12] * 10


def test_the_command_downloads_and_says_what_does_not_follow(root, serve, monkeypatch, capsys):
    for name, source in serve(made_up()).items():
        monkeypatch.setitem(SOURCES, name, source)
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as ended:
        main(["study", "published"])
    assert not ended.value.code
    printed = capsys.readouterr().out.splitlines()
    assert "Model 2 (10 participants, 6 questions): printed 0.79 ± 0.1599; answers 0.9833" in printed[1]
    assert "the spread is neither sd (population 0.0373, sample 0.0408)" in printed[1]
    assert printed[-1] == f"written to {recomputed_user_study(Path())}"
    assert (root / "data/raw/user-studies/vandegeijn_2022" / G_ANSWERS).is_file()


def test_files_that_are_there_are_not_fetched_again(root, serve, served):
    pinned = serve(made_up())
    first = recompute(root, pinned)
    for path in served[0].rglob("*.csv"):
        path.unlink()
    pandas.testing.assert_frame_equal(recompute(root, pinned), first)


def test_another_file_than_the_pinned_one_is_refused(root, serve, served):
    pinned = serve(made_up())
    path = served[0] / "vandegeijn_2022" / "c0ffee" / G_ANSWERS
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(ChecksumError, match="expected"):
        recompute(root, pinned)
    path.unlink()
    with pytest.raises(DownloadError, match="404.*or put the file at"):
        recompute(root, pinned)
    assert not recomputed_user_study(root).exists()


@pytest.mark.parametrize(
    ("name", "path", "old", "new", "message"),
    [
        ("vandervleuten_2022", V_ANSWERS, b"Q36", b"Q37", "has not the columns Q1 to Q36"),
        ("vandervleuten_2022", V_KEY.format("old_plant"), b"Same", b"Some", "has the key of 0 questions, not 6"),
        ("vandegeijn_2022", G_ANSWERS, b"Correct Answers", b"Answers", "has not 2 blocks and one key"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(root, serve, name, path, old, new, message):
    files = made_up()
    files[name][path] = files[name][path].replace(old, new)
    with pytest.raises(StudyError, match=message):
        recompute(root, serve(files))


@pytest.mark.parametrize(
    ("printed", "number", "expected"),
    [
        ("0.52", 0.5247, True),
        ("0.79", 0.7994, False),
        ("0.978", 0.9778, True),
        ("0.5", 0.45, True),
        ("0.5", 0.56, False),
    ],
)
def test_a_printed_figure_follows_when_rounding_gives_it(printed, number, expected):
    assert follows(printed, number) is expected


def test_a_figure_may_be_cut_off():
    assert cut_off("0.79", 0.7994) and not cut_off("0.94", 0.95)


def test_the_pins_are_complete():
    files = [each for source in SOURCES.values() for each in source.files]
    assert len({file.name for _, file in files}) == len(files) == 6
    assert all(len(commit) == 40 and len(file.digests["sha256"]) == 64 and file.size > 0 for commit, file in files)


SHARED = os.environ.get("STYLEX_SHARED")


@pytest.mark.skipif(SHARED is None, reason="STYLEX_SHARED does not name a folder with data/user_studies")
def test_the_published_answers_give_the_recomputed_column_to_four_decimals(root, serve):
    folder = Path(str(SHARED)) / "data" / "user_studies"

    def blocks(name: str, column: str) -> dict[str, Answers]:
        found: dict[str, dict[str, list[str]]] = {}
        with (folder / name).open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row.get("study", ""), {}).setdefault(row["participant"], []).append(row[column])
        return {study: list(people.values()) for study, people in found.items()}

    v, v_key = (blocks("vandervleuten_2022_classification.csv", name) for name in ("answer", "correct_answer"))
    g, g_key = (blocks("vandegeijn_2022_classification.csv", name) for name in ("answer", "correct_answer"))
    v_words = blocks("vandervleuten_2022_verbal.csv", "description")
    (g_words,) = blocks("vandegeijn_2022_verbal.csv", "description").values()
    files = {
        "vandervleuten_2022": vandervleuten(
            [(v[name], "".join(v_key[name][0])) for name in sorted(v)], [v_words[name] for name in sorted(v)]
        ),
        "vandegeijn_2022": vandegeijn([(g[name], "".join(g_key[name][0])) for name in sorted(g)], g_words),
    }
    frame = recompute(root, serve(files))
    rounded = frame[["mean", "population_sd", "sample_sd"]].round(4).to_numpy().tolist()
    assert rounded == [
        [0.5247, 0.2081, 0.2279], [0.7994, 0.1605, 0.1758], [0.6636, 0.2952, 0.3234],
        [0.9778, 0.0248, 0.0272], [0.95, 0.0289, 0.0333],
    ]  # fmt: skip
    assert ["does not follow" in text for text in frame["finding"]] == [False, True, False, False, True]
    assert ["neither" in text for text in frame["finding"]] == [False, True, False, False, True]
    assert frame["participants"].tolist() == [54, 54, 54, 30, 30]
