import pytest

from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.folders import list_images
from stylex.errors import DatasetError


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def told(listing):
    return [(each.id, listing.class_names[each.label], each.part) for each in listing.records]


def test_a_folder_is_a_class(tmp_path):
    make(tmp_path, "dog/b.JPG", "cat/a.png", "dog/deep/a.jpeg", "cat/notes.txt", "cat/.hidden.png", "readme.txt")
    listing = load_layout("folders")(tmp_path, None, None)
    assert listing.class_names == ("cat", "dog")
    assert told(listing) == [("cat/a.png", "cat", None), ("dog/b.JPG", "dog", None), ("dog/deep/a.jpeg", "dog", None)]
    assert [each.path for each in listing.records] == [tmp_path / each.source for each in listing.records]
    assert all(each.identity is None and each.box is None for each in listing.records)


def test_classes_choose_and_order(tmp_path):
    make(tmp_path, "dog/1.jpg", "cat/1.jpg", "owl/1.jpg")
    listing = list_images(tmp_path, None, ("owl", "cat"))
    assert told(listing) == [("cat/1.jpg", "cat", None), ("owl/1.jpg", "owl", None)]
    assert [each.label for each in listing.records] == [1, 0]


def test_folders_of_splits_inside_an_unpacked_archive(tmp_path):
    make(tmp_path, "pets/pets/Train/cat/1.jpg", "pets/pets/Train/dog/1.jpg", "pets/pets/test/dog/2.jpg", "pets.zip")
    assert told(list_images(tmp_path, None, None)) == [
        ("pets/pets/Train/cat/1.jpg", "cat", "train"),
        ("pets/pets/Train/dog/1.jpg", "dog", "train"),
        ("pets/pets/test/dog/2.jpg", "dog", "test"),
    ]


LINKS = {
    "to the parent": {"cat/up": ".."},
    "to itself": {"cat/here": "."},
    "to the top, beside the class folders": {"all": "."},
    "to a neighbour": {"cat/more": "../dog", "dog/more": "../cat"},
    "to a folder beside it, which comes later": {"cat/a": "old"},
    "twice to the same": {"cat/a": "old", "cat/b": "old"},
    "in a circle outside": {
        "../elsewhere/on": "../farther",
        "../farther/back": "../elsewhere",
        "cat/on": "../../farther",
    },
}


@pytest.mark.parametrize("links", LINKS)
def test_a_real_folder_is_read_once_whatever_links_lead_to_it(tmp_path, caplog, links):
    folder = make(tmp_path / "photos", "cat/1.jpg", "cat/old/2.jpg", "dog/1.jpg", "dog/old/2.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "farther").mkdir()
    expected = told(list_images(folder, None, None))
    assert not caplog.records
    for name, target in LINKS[links].items():
        (folder / name).symlink_to(target)
    assert told(list_images(folder, None, None)) == expected
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("left out, as a link leads there to a folder that is read under another path")
    assert all(str(folder / name) in line for name in LINKS[links] if not name.startswith(".."))  # there: on its way
    assert "\n" not in line


def test_links_to_folders_elsewhere_are_followed_each_folder_once(tmp_path, caplog):
    make(tmp_path / "elsewhere", "cats/1.jpg", "cats/old/2.jpg", "dogs/3.jpg")
    folder = make(tmp_path / "photos", "dog/4.jpg")
    (folder / "cat").symlink_to("../elsewhere/cats")
    (folder / "dog/more").symlink_to("../../elsewhere/dogs")
    assert told(list_images(folder, None, None)) == [
        ("cat/1.jpg", "cat", None), ("cat/old/2.jpg", "cat", None), ("dog/4.jpg", "dog", None),
        ("dog/more/3.jpg", "dog", None),
    ]  # fmt: skip
    assert not caplog.records
    (folder / "dog/cats").symlink_to("../../elsewhere/cats/old")
    assert [each.id for each in list_images(folder, None, None).records].count("dog/cats/2.jpg") == 0
    assert "photos/dog/cats: left out" in caplog.text


def test_links_that_lead_nowhere_or_only_in_a_circle(tmp_path, caplog):
    folder = make(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    (folder / "cat/self").symlink_to("self")
    (folder / "dog/gone").symlink_to("nothing")
    assert [each.id for each in list_images(folder, None, None).records] == ["cat/1.jpg", "dog/1.jpg"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/loop").symlink_to(".")
    with pytest.raises(DatasetError, match="other has 0 class folders, none; it needs two or more"):
        list_images(tmp_path / "other", None, None)
    assert "other/loop: left out" in caplog.text


def test_a_class_folder_that_links_to_another_is_no_class(tmp_path, caplog):
    folder = make(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    (folder / "kitten").symlink_to("cat")
    assert list_images(folder, None, None).class_names == ("cat", "dog")
    with pytest.raises(DatasetError, match="unknown class folder 'kitten'"):
        list_images(folder, None, ("kitten", "dog"))
    assert "photos/kitten: left out" in caplog.text


def test_mistakes(tmp_path):
    make(tmp_path, "a/cat/1.jpg", "b/cat/1.jpg", "b/dog/note.txt")
    with pytest.raises(DatasetError, match="has 1 class folders, cat; it needs two or more"):
        list_images(tmp_path / "a", None, None)
    with pytest.raises(DatasetError, match="class folder 'dog' has no image"):
        list_images(tmp_path / "b", None, None)
    with pytest.raises(DatasetError, match="unknown class folder 'dogs'; did you mean 'dog'"):
        list_images(tmp_path / "b", None, ("cat", "dogs"))
    with pytest.raises(DatasetError, match="label = 'age': class folders are one label; remove it"):
        list_images(tmp_path / "b", "age", None)
