"""The workflow works from another directory: by `--directory`, with a configuration of its own, and as a module."""

import shutil

import pytest

from tests.workflow.conftest import Project

TARGET = "results/experiments/mnist/classifier/model.safetensors"
MODULE = """
configfile: "mine.yaml"


module explained:
    snakefile:
        "{root}/workflow/Snakefile"
    config:
        config


use rule * from explained as explained_*


rule mine:
    default_target: True
    input:
        "{target}",
"""


def test_it_is_started_from_another_directory(virgin, tmp_path):
    elsewhere = Project(tmp_path)
    arguments = ("--snakefile", str(virgin.root / "Snakefile"), "--directory", str(virgin.root))
    elsewhere.compute(*arguments, "--", TARGET)
    assert virgin.executed() == ["classifier", "download", "prepare"]
    assert (virgin.root / TARGET).is_file() and not (tmp_path / "results").exists()


@pytest.fixture
def elsewhere(virgin, tmp_path) -> Project:
    """A folder with a configuration of its own; its results belong there, the code stays where it is."""
    shutil.copytree(virgin.root / "config", tmp_path / "elsewhere/config")
    project = Project(tmp_path / "elsewhere")
    project.edit("config/experiments/mnist.yaml", "title: ", "title: Elsewhere, ")
    return project


def test_it_works_in_another_directory(virgin, elsewhere):
    arguments = ("--snakefile", str(virgin.root / "Snakefile"), "--directory", str(elsewhere.root))
    here = Project(virgin.root)
    here.compute(*arguments, "--", TARGET)
    assert elsewhere.executed() == ["classifier", "download", "prepare"] and virgin.executed() == []
    assert (elsewhere.root / TARGET).is_file() and not (virgin.root / "results").exists()
    assert elsewhere.planned(*arguments[:2], "--", TARGET) == {}


def test_it_is_a_module_of_another_workflow(virgin, elsewhere):
    (elsewhere.root / "Snakefile").write_text(MODULE.format(root=virgin.root, target=TARGET))
    mine = elsewhere.root / "mine.yaml"
    mine.write_text("{suite: demo, experiment: {seed: 7}}")
    elsewhere.compute()
    assert elsewhere.executed() == ["classifier", "download", "prepare"]
    assert elsewhere.planned("explained_all")["explained_train"] == 2
    assert any("seed" in path.read_text() for path in (elsewhere.root / ".snakemake/metadata").iterdir())
    mine.write_text(mine.read_text().replace("7", "8"))
    assert elsewhere.planned() == {"explained_classifier": 1, "mine": 1}
