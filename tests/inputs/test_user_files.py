"""What a person owns is not overwritten, and never to be deleted: files beside an image, answers, weights, tables."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from stylex.artifacts import atomic_path, storage_errors, write_text
from stylex.cli.explanations import Method, Request, check_folder
from stylex.errors import ArtifactError, ConfigError, ImageError, StorageError, StudyError
from stylex.pretrained import read_weights
from stylex.report.published import read_published
from stylex.study.answers import ANSWER_COLUMNS, read_answer_file

REPOSITORY = Path(__file__).parents[2]


def request(*files, output):
    return Request(list(files), None, Method.SUBSET, None, output)


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "IMG_1.jpg")
    return tmp_path / "IMG_1.jpg"


THEIRS = {
    ".json": [b'{"camera": "X100"}', b"[]", b"", b"\xff\xfe{", b'{"experiment": 1, "image": 2}', b"not JSON"],
    ".png": [b"", b"\x89PNG\r\n\x1a\n", b"notes"],
}


@pytest.mark.parametrize(
    ("suffix", "content"), [(suffix, each) for suffix, all_of in THEIRS.items() for each in all_of]
)
def test_a_file_beside_an_image_that_is_no_explanation_stays(photo, suffix, content):
    theirs = photo.with_suffix(suffix)
    theirs.write_bytes(content)
    with pytest.raises(ImageError, match=rf"overwrite .*IMG_1\{suffix}, which is none itself; change --output"):
        request(photo, output=photo.parent).outputs()
    assert theirs.read_bytes() == content


def test_a_picture_a_folder_and_a_link_of_that_name_stay_too(photo):
    png = photo.with_suffix(".png")
    Image.new("RGB", (8, 8), "blue").save(png)
    for replace in (None, lambda: (png.unlink(), png.mkdir()), lambda: (png.rmdir(), png.symlink_to("nowhere"))):
        if replace:
            replace()
        with pytest.raises(ImageError, match=r"overwrite .*IMG_1\.png, which is none itself"):
            request(photo, output=photo.parent).outputs()


def test_an_output_that_is_a_file_or_below_one_is_refused_before_anything_is_computed(photo, tmp_path):
    for output in (photo, photo / "below", photo / "below/further"):
        with pytest.raises(ConfigError, match=r"--output .*: .*IMG_1\.jpg is no folder; name another one"):
            request(photo, output=output).outputs()
    os.symlink("nowhere", tmp_path / "link")
    with pytest.raises(ConfigError, match="link is no folder"):
        check_folder(tmp_path / "link")
    check_folder(tmp_path / "new/folder")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("letter", ["a", "é", "猫"])
def test_names_as_long_as_the_file_system_takes_are_written_and_longer_ones_refused_before(tmp_path, letter):
    most = 250 // len(letter.encode())  # with .json 255 bytes
    path = tmp_path / f"{letter * most}.jpg"
    path.write_bytes(b"")
    (figure,) = request(path, output=tmp_path).outputs()
    for each in (figure, figure.with_suffix(".json")):
        write_text(each, "content")
        assert each.read_text() == "content"
    assert len(list(tmp_path.iterdir())) == 3
    longer = tmp_path / f"{letter * most}{'b' * (251 - most * len(letter.encode()))}.jpg"
    longer.write_bytes(b"")
    with pytest.raises(ImageError, match=r"its name is too long to write b*.*\.json beside it; rename a copy"):
        request(longer, output=tmp_path).outputs()


def test_what_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("theirs")
    with pytest.raises(StorageError, match="there is a file where a folder goes: name another folder"):
        write_text(tmp_path / "file/below", "x")
    with pytest.raises(StorageError, match="there is a file where a folder goes: name another folder"):
        write_text(tmp_path / "file/below/further", "x")
    with pytest.raises(StorageError, match="File name too long; give it a shorter name"):
        write_text(tmp_path / ("a" * 256), "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="there is a folder of this name: move it"):
        write_text(tmp_path / "folder", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    with pytest.raises(OSError, match="of the work"), storage_errors(tmp_path), atomic_path(tmp_path / "a"):
        raise OSError("of the work")


ROWS = [
    ",".join(ANSWER_COLUMNS),
    "s1,p1,1-01,A",
    's1,p1,2-01,"thick ""strokes"", and é"',
    "s1,p1,2-02,N/A",
    "s1,p1,2-03,None",
]


def answers(tmp_path, content):
    (tmp_path / "answers.csv").write_bytes(content)
    return read_answer_file(tmp_path / "answers.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])  # a spreadsheet's
def test_answers_are_what_the_participant_wrote(tmp_path, encoding, end, separator):
    text = end.join([*ROWS, ""]).replace(",", separator)
    read = answers(tmp_path, text.encode(encoding))
    assert read["answer"].tolist() == ["A", f'thick "strokes"{separator} and é', "N/A", "None"]
    assert read["question"].tolist() == ["1-01", "2-01", "2-02", "2-03"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\n".join(ROWS).encode("cp1252"), 'line 3: byte 0xe9 is no UTF-8; .* "CSV UTF-8"'),
        ("\n".join(ROWS).encode("utf-16"), 'is in UTF-16; .* "CSV UTF-8"'),
        ("\n".join(ROWS).encode("utf-16-le"), 'line 1: a NUL byte, as in UTF-16; .* "CSV UTF-8"'),
        ("\n".join([*ROWS, 's1,p1,2-04,"open', "s1,p1,2-05,thin"]).encode(), "line 6: a quote .* is not closed"),
        ("\n".join([*ROWS, 's1,p1,2-04,"open', 's1,p1,2-05,"thin"']).encode(), "line 6: a quote .*expected after"),
        ("\n".join([*ROWS, 's1,p1,2-04,"open', 's1,p1,2-05,thin"']).encode(), "line 6: a quote .* goes on to line 7"),
        ("\n".join([*ROWS, "s1,p1,2-04,long, thin"]).encode(), "line 6: 5 cells, the header has 4"),
        ("\n".join([*ROWS, "s1,p1"]).encode(), "line 6: 2 cells, the header has 4"),
    ],
)
def test_a_file_that_was_written_anew_is_said_how_to_mend_and_never_to_delete(tmp_path, content, said):
    with pytest.raises(StudyError, match=said) as caught:
        answers(tmp_path, content)
    text = str(caught.value)
    assert "answers.csv" in text and "; " in text and "delete" not in text and "damaged" not in text
    assert (tmp_path / "answers.csv").read_bytes() == content


def test_columns_that_are_there_are_shown_and_spaces_around_them_do_not_count(tmp_path):
    assert list(answers(tmp_path, b" study ,participant,question,\tanswer\ns,p,q,a\n"))[:4] == list(ANSWER_COLUMNS)
    with pytest.raises(
        StudyError, match=r"no column 'answer': line 1 has 'study', 'participant', 'question', 'Answer'"
    ):
        answers(tmp_path, b"study,participant,question, Answer\n")
    with pytest.raises(StudyError, match="has no column 'study': line 1 has nothing"):
        answers(tmp_path, b"")


def test_weights_and_published_figures_are_not_to_be_deleted(tmp_path):
    (tmp_path / "own.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match=r"own\.safetensors is damaged .*; give another file of weights"):
        read_weights(tmp_path / "own.safetensors")
    shutil.copytree(REPOSITORY / "config/published", tmp_path / "config/published")
    (tmp_path / "config/published/datasets.csv").write_bytes(b"source\n1,2,3\n4,5\n\xff")
    with pytest.raises(ArtifactError, match=r"datasets\.csv is damaged .*; mend it, or take it back from git"):
        read_published(tmp_path, "datasets")
