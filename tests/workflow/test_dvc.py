"""DVC computes through Snakemake and records; the two never disagree and nothing is computed twice."""

import shutil
from pathlib import Path

import pytest
import yaml

from stylex.cli.project import load_project
from stylex.figures.names import figure_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def versioned(built):
    """The complete project under git and DVC."""
    shutil.copytree(ROOT / ".dvc", built.root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    built.environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "DVC_NO_ANALYTICS": "1"}
    assert built.run("git", "init", "--quiet").returncode == 0
    built.executed()
    return built


def test_dvc_iterates_over_what_the_suite_names():
    pipeline = yaml.safe_load((ROOT / "config/pipeline.yaml").read_text())
    project = load_project(ROOT, pipeline["suite"])
    assert f"suite={pipeline['suite']}" in pipeline["snakemake"]
    datasets = {each.dataset.name: {"resolution": each.dataset.resolution} for each in project.experiments.values()}
    assert pipeline["datasets"] == datasets
    backbones = {
        name: {"dataset": each.dataset, "resolution": each.resolution} for name, each in project.backbones.items()
    }
    assert pipeline["backbones"] == backbones
    assert pipeline["experiments"] == {
        name: {
            "dataset": each.dataset.name,
            "resolution": each.dataset.resolution,
            "backbone": each.stylex.perceptual_backbone,
            "classifier": each.classifier_of or name,
        }
        for name, each in project.experiments.items()
    }
    assert pipeline["baselines"] == [name for name, each in project.experiments.items() if each.method == "without_cst"]
    assert pipeline["classifiers"] == {
        name: {"dataset": each.dataset.name, "resolution": each.dataset.resolution}
        for name, each in project.experiments.items()
        if each.classifier_of is None
    }


def test_dvc_need_not_know_published_weights():
    """No stage of dvc.yaml has them as a dependency, so no experiment of its suite may ask for them."""
    for experiment in load_project(ROOT, "demo").experiments.values():
        assert experiment.evaluation.frechet_extractors == ["backbone"] and experiment.stylex.perceptual == "backbone"


def test_report_stage_depends_on_every_experiment():
    pipeline = yaml.safe_load((ROOT / "config/pipeline.yaml").read_text())
    dependencies = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["report"]["deps"]
    for name in pipeline["experiments"]:
        for table in ("sufficiency", "flips", "frechet", "subset"):
            assert f"results/experiments/{name}/{table}.csv" in dependencies


def test_dvc_keeps_every_figure():
    outputs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["figures"]["do"]["outs"]
    names = [f"results/${{suite}}/figures/${{key}}-{name}.{suffix}" for name, suffix in figure_files()]
    assert sorted(path for output in outputs for path in output) == sorted(names)


@pytest.mark.slow
def test_repro_records_what_snakemake_computed_and_computes_through_it(versioned):
    assert_repro(versioned)
    assert versioned.executed() == []
    with (versioned.root / "stylex/attfind/selection.py").open("a") as file:
        file.write("# changed\n")
    assert "stylex/attfind" in versioned.run("dvc", "status").stdout
    assert_repro(versioned)
    # The tables that come out are the same to the byte, so figures and report stay as they are.
    assert set(versioned.executed()) == {"attributes", "sufficiency", "frechet", "study"}


def test_repro_refuses_without_the_records_of_snakemake(versioned):
    shutil.rmtree(versioned.root / ".snakemake")
    result = versioned.run("dvc", "repro")
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "error: .snakemake/metadata is missing" in output
    assert "where it is tracked" in output
    assert "snakemake --cores 1 --touch --forceall" in output
    assert versioned.executed() == []


def assert_repro(project):
    result = project.run("dvc", "repro")
    assert result.returncode == 0, result.stderr
    assert "up to date" in project.run("dvc", "status").stdout
    assert project.planned() == {}
