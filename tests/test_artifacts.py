"""The digest of what a file holds, whoever made it, and the provenance: the checkout and overrides that made it."""

import json
import subprocess

import pyarrow
import pyarrow.parquet
import pytest
import torch

from stylex import artifacts
from stylex.artifacts import content_digest, provenance, save_tensors
from stylex.config.loading import OVERRIDES
from stylex.errors import ArtifactError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.ones(2, dtype=torch.bfloat16)}
HEADER = {"network": "{}", "commit": "1", "seed": "0"}


@pytest.fixture
def saved(tmp_path):
    def saved(tensors=TENSORS, **header):
        save_tensors(tmp_path / "model.safetensors", tensors, HEADER | header)
        return content_digest(tmp_path / "model.safetensors")

    return saved


def test_tensors_count_with_the_description_of_their_network_and_without_their_origin(saved):
    before = saved()
    assert before == saved(commit="2", seed="1", training_key="another", uncommitted="all")
    assert before == saved(dict(reversed(TENSORS.items())))
    different = [
        saved(network='{"width": 2}'),
        saved(stylex_config="{}"),
        saved(shape="{}"),
        saved(TENSORS | {"a": TENSORS["a"].reshape(3, 2)}),
        saved(TENSORS | {"a": TENSORS["a"] + torch.eye(2, 3) * 1e-6}),
        saved(TENSORS | {"b": torch.tensor(3, dtype=torch.int32)}),
        saved({"d" if name == "c" else name: value for name, value in TENSORS.items()}),
    ]
    assert len({before, *different}) == 1 + len(different)


@pytest.fixture
def written(tmp_path):
    def written(columns=None, group=2, compression="snappy", **metadata):
        columns = columns or {"id": ["x", "y", "z"], "value": [1.0, 2.0, 3.0]}
        texts = {name: json.dumps(value) for name, value in ({"class_names": ["0", "1"]} | metadata).items()}
        table = pyarrow.table(columns).replace_schema_metadata(texts)
        path = tmp_path / "table.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=group, compression=compression)
        return content_digest(path)

    return written


def test_rows_count_with_what_holds_for_them_and_without_their_origin(written):
    before = written(provenance={"commit": "1"})
    assert before == written(provenance={"commit": "2", "title": "another"}) == written(group=1, compression="none")
    different = [
        written(class_names=["1", "0"]),
        written({"id": ["x", "z", "y"], "value": [1.0, 2.0, 3.0]}),
        written({"id": ["x", "y", "z"], "value": [1.0, 2.0, 3.5]}),
        written({"id": ["x", "y", "z"], "number": [1.0, 2.0, 3.0]}),
        written({"id": ["x", "y", "z"], "value": [1, 2, 3]}),
    ]
    assert len({before, *different}) == 1 + len(different)


@pytest.mark.parametrize("name", ["x.parquet", "x.safetensors"])
def test_a_missing_or_damaged_file_is_named(tmp_path, name):
    with pytest.raises(ArtifactError, match=rf"{name} does not exist"):
        content_digest(tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(ArtifactError, match=rf"{name} is damaged"):
        content_digest(tmp_path / name)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a package, a workflow and a configuration, as the package finds itself in it."""
    for name in ("stylex/artifacts.py", "stylex/step.py", "workflow/Snakefile", "config/config.yaml", "docs/a.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first\n")
    who = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "First"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(artifacts, "__file__", str(tmp_path / "stylex/artifacts.py"))
    return tmp_path


def uncommitted():
    artifacts._git.cache_clear()
    try:
        return provenance("digest", 0)["uncommitted"]
    finally:
        artifacts._git.cache_clear()


def test_uncommitted_changes_of_what_decides_a_result_are_named_a_few_and_counted(checkout):
    (checkout / "docs/a.md").write_text("second\n")
    assert uncommitted() == "no"
    (checkout / "stylex/step.py").write_text("second\n")
    assert uncommitted() == "stylex/step.py"
    (checkout / "config/new.yaml").write_text("new\n")
    (checkout / "workflow/Snakefile").unlink()
    assert uncommitted() == "config/new.yaml, stylex/step.py, workflow/Snakefile"
    (checkout / "config/newer.yaml").write_text("new\n")
    (checkout / "config/newest.yaml").write_text("new\n")
    assert uncommitted() == "config/new.yaml, config/newer.yaml, config/newest.yaml and 2 more"


def test_without_git_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "__file__", str(tmp_path / "stylex/artifacts.py"))
    assert uncommitted() == "unknown"


def test_overrides_are_named_where_there_are_some(monkeypatch):
    monkeypatch.setenv(OVERRIDES, '{"seed": 3}')
    assert provenance("digest", 3)["overrides"] == '{"seed": 3}'
    monkeypatch.setenv(OVERRIDES, "{}")
    assert "overrides" not in provenance("digest", 3)
