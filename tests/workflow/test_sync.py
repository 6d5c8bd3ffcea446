"""Snakemake and DVC stay in step: whichever computes, the other has nothing to do, and no provenance is recorded that
is not true. The Snakefile and the stages are the real ones, of two experiments; a stand-in computes (conftest.py).
"""

import json
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stylex.config import ExperimentPaths
from tests.workflow.conftest import Project

pytestmark = pytest.mark.slow

RECORDS = ".snakemake/metadata"
TWIN = "config/experiments/mnist-without-cst.yaml"
MODEL = ExperimentPaths(Path(), "mnist-without-cst").stylex_model
# Twice `figures`: one shows the methods of all experiments side by side. Twice `study`: questionnaire and observer.
# Twice what there is for each protocol.
AFTER_TRAINING = [*2 * ["attributes"], *2 * ["baseline"], "counterfactuals", "diagnose", *2 * ["effects"], "encode"]
AFTER_TRAINING += ["explain", *2 * ["figures"], "frames", "frechet", "gallery", "ganalyze", "maps", "report", "samples"]
AFTER_TRAINING += [*2 * ["study"], "sufficiency", "tables", "train"]
OF_SUITE = {"figures", "frames", "gallery", "report", "tables"}


def train_longer(project):
    with (project.root / TWIN).open("a") as file:
        file.write("  training: {images: 64000}\n")


def trained_images(project):
    return json.loads((project.root / MODEL).read_text())["training"]["images"]


def outputs(project):
    """Return what dvc.lock says of every output but Snakemake's records, which hold times."""
    stages = yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]
    outs = [out for stage in stages.values() for out in stage["outs"]]
    return {out["path"]: out["md5"] for out in outs if not out["path"].startswith(".snakemake/")}


def test_virgin_repro_computes_each_job_once_and_leaves_the_checkout_clean(recorded):
    assert len(recorded.executed) == sum(recorded.planned.values()) == 46
    assert recorded.project.done("git", "status", "--porcelain") == ""
    recorded.project.assert_in_step()


def test_repro_after_snakemake_computes_nothing_and_records_the_same(recorded, unrecorded):
    assert unrecorded.snakemake().returncode == 0
    assert unrecorded.executed() == sorted(recorded.executed)
    unrecorded.done("dvc", "repro")
    unrecorded.assert_in_step()
    assert unrecorded.done("git", "status", "--porcelain") == "?? dvc.lock\n"
    assert outputs(unrecorded) == outputs(recorded.project)


def test_a_stage_can_be_pulled_alone(recorded, clone, tmp_path):
    """Its records come with it; beside results of another version, Snakemake sees which are not current."""
    alone, colleague = (recorded.project.clone_to(tmp_path / name) for name in ("alone", "colleague"))
    alone.done("dvc", "pull", "experiment@mnist")
    assert alone.planned("experiment_mnist") == {}
    assert "experiment_mnist" not in alone.planned()
    alone.edit("config/experiments/mnist.yaml", "    images: 24000", "    images: 64000")
    assert alone.planned("experiment_mnist")["train"] == 1
    colleague.done("dvc", "pull")
    train_longer(clone)
    clone.done("dvc", "repro")
    clone.commit("Longer training")
    clone.done("dvc", "push")
    colleague.done("git", "pull", "--quiet", str(clone.root))
    colleague.done("dvc", "pull", "report")
    assert colleague.planned()["train"] == 1 and trained_images(colleague) == 24000
    colleague.done("dvc", "pull")
    colleague.assert_in_step()
    assert trained_images(colleague) == 64000


def test_results_of_an_unrecorded_run_that_are_thrown_away_take_their_records_with_them(clone):
    train_longer(clone)
    assert clone.snakemake().returncode == 0 and trained_images(clone) == 64000
    clone.done("dvc", "checkout", "--force")
    assert trained_images(clone) == 24000 and clone.planned()["train"] == 1


def test_changed_parameter_reruns_what_depends_on_it_through_either_door_and_time_travels(recorded, clone, tmp_path):
    other = Project(shutil.copytree(clone.root, tmp_path / "other", symlinks=True))
    for project in (clone, other):
        train_longer(project)
    clone.done("dvc", "repro")
    assert clone.executed() == AFTER_TRAINING
    assert other.snakemake().returncode == 0
    assert other.executed() == AFTER_TRAINING
    assert "deleted:            .snakemake/bundles/suites/demo.json" in other.done("dvc", "status", "report")
    other.done("dvc", "repro")
    for project in (clone, other):
        project.assert_in_step()
        assert trained_images(project) == 64000
    assert outputs(clone) == outputs(other) != outputs(recorded.project)
    assert_time_travel(clone)


def assert_time_travel(project):
    project.commit("Longer training")
    difference = json.loads(project.done("dvc", "params", "diff", "HEAD~1", "--json"))
    assert difference[TWIN]["stylex.training.images"]["new"] == 64000
    for revision, images in (("HEAD~1", 24000), ("-", 64000)):
        project.done("git", "checkout", "--quiet", revision)
        project.done("dvc", "checkout")
        project.assert_in_step()
        assert trained_images(project) == images
        assert project.done("git", "status", "--porcelain") == ""


def test_changed_code_reruns_its_stage_and_what_reads_another_result(clone):
    with (clone.root / "stylex/attfind/selection.py").open("a") as file:
        file.write("CHANGED = True\n")
    clone.done("dvc", "repro")
    # Of both experiments. The lists come out the same to the byte, so figures and report stay as they are.
    every = ["attributes", "attributes", "counterfactuals", "frechet", "maps", "study", "study", "sufficiency"]
    assert clone.executed() == sorted(2 * every)
    clone.assert_in_step()


def record_of(root: Path, file: Path) -> Path:
    return root / RECORDS / urlsafe_b64encode(str(file).encode()).decode()


def lose_all(root: Path) -> None:
    shutil.rmtree(root / ".snakemake")


def lose_that_of_a_model(root: Path) -> None:
    record_of(root, MODEL).unlink()


def lose_that_of_a_side_product(root: Path) -> None:
    """Snakemake then sees no change of the whole job, though the model's record is there."""
    record_of(root, ExperimentPaths(Path(), "mnist-without-cst").stylex_samples).unlink()


def keep_those_of_data(root: Path) -> None:
    for path in (root / RECORDS).iterdir():
        if not {'"rule": "download"', '"rule": "prepare"'} & set(path.read_text()[1:].split(", ")):
            path.unlink()


@pytest.mark.parametrize("lose", [lose_all, lose_that_of_a_model, lose_that_of_a_side_product, keep_those_of_data])
def test_without_records_of_what_made_the_results_nothing_is_recorded(clone, lose: Callable[[Path], None]):
    lock = (clone.root / "dvc.lock").read_text()
    train_longer(clone)
    planned = clone.planned()
    assert planned["train"] == 1
    lose(clone.root)
    shutil.rmtree(clone.root / ".snakemake/bundles", ignore_errors=True)
    result = clone.run("dvc", "repro")
    assert result.returncode != 0
    assert f"error: {RECORDS} has no record of what made " in result.stderr
    assert (clone.root / "dvc.lock").read_text() == lock and clone.executed() == []
    clone.done("dvc", "checkout")
    assert clone.planned() == planned


def test_a_lost_record_is_taken_from_its_bundle(clone):
    train_longer(clone)
    planned = clone.planned()
    lose_that_of_a_model(clone.root)
    assert clone.planned() == planned


def test_results_known_to_be_current_can_be_given_records_again(clone):
    lose_all(clone.root)
    assert clone.run("dvc", "repro", "--force", "--single-item", "experiment@mnist").returncode != 0
    clone.done("snakemake", "--cores", "1", "--touch", "--forceall")
    clone.done("dvc", "repro")
    clone.assert_in_step()


def test_job_that_was_killed_is_run_again_and_not_refused(clone):
    """Its output is there, without a record, but Snakemake knows that it is incomplete."""
    stand_in = clone.root / "stylex/__main__.py"
    text = stand_in.read_text()
    stand_in.write_text(
        f"{text}\nimport os\nimport signal\n\n\nif sys.argv[1] == 'train':\n    os.killpg(0, signal.SIGKILL)\n"
    )
    train_longer(clone)
    command = ["snakemake", "--cores", "2"]
    killed = subprocess.run(
        command, cwd=clone.root, env=clone.environment, start_new_session=True, capture_output=True, check=False
    )
    assert killed.returncode == -9 and trained_images(clone) == 64000
    assert clone.executed() == ["train"]
    stand_in.write_text(text)
    clone.done("snakemake", "--unlock")
    clone.done("dvc", "repro", "--single-item", "experiment@mnist-without-cst")
    assert clone.executed() == [each for each in AFTER_TRAINING if each not in OF_SUITE]


def test_parts_of_latents_stay_on_the_machine_that_made_them(unrecorded, tmp_path):
    with (unrecorded.root / TWIN).open("a") as file:
        file.write("attfind: {encode_shards: 2}\n")
    unrecorded.done("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    unrecorded.done("dvc", "repro")
    assert (unrecorded.root / ExperimentPaths(Path(), "mnist-without-cst").encoded(1)).is_file()
    unrecorded.commit("Results")
    unrecorded.done("dvc", "push")
    colleague = unrecorded.clone_to(tmp_path / "clone")
    colleague.done("dvc", "pull")
    assert not (colleague.root / ExperimentPaths(Path(), "mnist-without-cst").encoded(1)).exists()
    colleague.assert_in_step()
