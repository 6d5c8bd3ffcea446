"""`stylex run`: from a folder of images and a classifier of the user's own to a report, in one command."""

import own_classifiers as own
import pytest

from stylex.artifacts import load_tensors, read_json, sha256
from stylex.config import ExperimentPaths
from tests.workflow.conftest import TINY_BACKBONE, TINY_EXPERIMENT, TINY_ORACLE, copy_parts, copy_project

NAME = "discs"
DECLARED = [
    "output=logits", "inputs.range=0..1", f"inputs.mean={list(own.MEAN)}", f"inputs.sd={list(own.SD)}",
    f"classes={list(own.CLASSES)}",
]  # fmt: skip


@pytest.mark.slow
def test_one_command_from_images_and_a_classifier_to_a_report(tmp_path):
    project = copy_project(tmp_path / "project")
    copy_parts(project.root, ("snakemake_logger_plugin_stylex",))
    own.write_pngs(project.root / NAME, 180)
    file = own.save_torchscript(project.root / "own.pt", own.trained())
    arguments = ["--images", NAME, "--classifier", "own.pt", "--minutes", "1"]
    arguments += [text for each in DECLARED for text in ("--declare", each)]
    assert f"suite={NAME}" in project.done("python", "-m", "stylex", "init", *arguments)
    for kind, tiny in (("backbones", TINY_BACKBONE), ("oracles", TINY_ORACLE)):
        project.write_config(f"{kind}/{NAME}", tiny | {"dataset": NAME})
    experiment = project.read_config(f"experiments/{NAME}")
    for section in ("attfind", "evaluation"):
        experiment[section] = TINY_EXPERIMENT[section] | experiment[section]
    experiment["stylex"] |= {"networks": TINY_EXPERIMENT["stylex"]["networks"]}
    experiment["stylex"]["training"] |= TINY_EXPERIMENT["stylex"]["training"]
    project.write_config(f"experiments/{NAME}", experiment)
    said = project.done("python", "-m", "stylex", "run", *arguments)
    assert "are there already" in said and "Training StylEx for discs" in said
    assert "Training the classifier" not in said
    assert f"results/{NAME}/index.html" in said
    page = (project.root / f"results/{NAME}/index.html").read_text()
    assert "own.pt" in page
    paths = ExperimentPaths(project.root, NAME).classifier
    assert load_tensors(paths.model)[1]["weights_digest"] == sha256(file)
    assert read_json(paths.metrics)["accuracy"] > 0.9
    assert project.planned("--config", f"suite={NAME}") == {}
