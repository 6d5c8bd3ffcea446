"""DVC's cache stays what it is when results are links to it: whatever Snakemake writes is a file of its own."""

import hashlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFIG = "config/experiments/mnist.yaml"
BUNDLE = ".snakemake/bundles/experiments/mnist.json"
MODEL = "results/experiments/mnist/stylex/model.safetensors"


@pytest.fixture(params=["hardlink", "symlink"])
def linked(request, clone):
    """A clone with all results pulled, as links of one kind to its cache."""
    clone.done("dvc", "config", "--local", "cache.type", request.param)
    clone.done("dvc", "checkout", "--relink")
    for path in (clone.root / BUNDLE, clone.root / MODEL):
        assert path.is_symlink() if request.param == "symlink" else path.stat().st_nlink > 1
    return clone


def changed(root: Path) -> list[str]:
    """Return the objects of the cache whose content is not that of their name."""
    files = [path for path in (root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert len(files) > 10
    named = {path: f"{path.parent.name}{path.name.removesuffix('.dir')}" for path in files}
    return sorted(
        f"{path}: {path.read_bytes()[:200]!r}"
        for path, name in named.items()
        if hashlib.md5(path.read_bytes()).hexdigest() != name
    )


def test_a_run_of_snakemake_changes_no_object_and_every_version_can_be_had_again(linked):
    lock = (linked.root / "dvc.lock").read_text()
    linked.edit(CONFIG, "title: ", "title: Again, ")  # questionnaire, observer, tables, report and gallery
    assert linked.snakemake().returncode == 0
    assert linked.executed() == ["gallery", "report", "study", "study", "tables"]
    assert changed(linked.root) == []
    linked.done("dvc", "repro")
    assert linked.executed() == [] and changed(linked.root) == []
    linked.commit("Another title")
    for revision in ("HEAD~1", "-"):
        linked.done("git", "checkout", "--quiet", revision)
        linked.done("dvc", "checkout")
        assert linked.planned() == {} and changed(linked.root) == []
        assert ((linked.root / "dvc.lock").read_text() == lock) == (revision == "HEAD~1")


def test_a_longer_training_and_records_made_anew_change_no_object_either(linked):
    linked.edit(CONFIG, "    images: 24000", "    images: 64000")
    assert linked.snakemake().returncode == 0
    assert "train" in linked.executed() and changed(linked.root) == []
    linked.done("snakemake", "--cores", "1", "--touch", "--forceall")
    assert changed(linked.root) == []
    linked.done("dvc", "checkout", "--force")
    assert changed(linked.root) == []
