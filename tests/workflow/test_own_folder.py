"""The whole chain on a user's own folder: nothing in it is changed, by any verb."""

import hashlib

import pytest
from PIL import Image

from stylex.config import DatasetConfig
from stylex.datasets import load_split

pytestmark = pytest.mark.slow

SUITE = {"title": "A test", "experiments": ["tiny"], "tables": ["classifiers", "sufficiency", "user_study"]}


def state(folder):
    """What anyone could notice: of each path its type, permissions, time and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def photos(tmp_path, mnist_root):
    """Real digits as a user keeps them, with other files beside them."""
    folder = tmp_path / "photos"
    digits = DatasetConfig(name="mnist", resolution=32, classes=["4", "9"], one_vs_rest=None)
    for part in ("train", "val", "test"):
        split = load_split(mnist_root, digits, part)
        for name, label, pixels in zip(split.ids, split.labels.tolist(), split.raw(), strict=True):
            path = folder / "by class" / split.class_names[label] / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[0].numpy()).save(path)
            path.chmod(0o440)
    (folder / "notes.txt").write_text("mine\n")
    one = next((folder / "by class/9").glob("*.png"))
    (folder / "IMG_1.png").write_bytes(one.read_bytes())
    (folder / "IMG_1.json").write_text('{"camera": "mine"}\n')
    return folder


def test_no_verb_changes_anything_in_it(computing, photos):
    computing.configure_tiny(SUITE, {"dataset": {"name": "digits", "classes": ["4", "9"]}})
    own = {"title": "Digits", "layout": "folders", "licence": "mine", "channels": 1, "folder": str(photos / "by class")}
    computing.write_config("datasets/digits", own)
    before = state(photos)
    for command in (
        ("snakemake", "--cores", "2"),
        ("stylex", "explain", "tiny", str(photos / "IMG_1.png")),
        ("stylex", "explain", "tiny", str(photos / "IMG_1.png"), "--output", str(computing.root / "mine")),
    ):
        result = computing.run(*command)
        assert result.returncode == 0, result.stderr
    refused = computing.run("stylex", "explain", "tiny", str(photos / "IMG_1.png"), "--output", str(photos))
    assert refused.returncode == 2 and "overwrite" in refused.stderr
    assert state(photos) == before
