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
