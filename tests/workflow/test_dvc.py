"""dvc.yaml names what the rules of Snakemake read and write, and DVC shows numbers, options and curves."""

import csv
import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
import yaml

from stylex.project import load_project
from stylex.config import ExperimentPaths, SuitePaths
from stylex.source import LEFT_OUT, imported

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUFFICIENCY = ExperimentPaths(Path(), "mnist").sufficiency


def test_dvc_iterates_over_what_the_suite_names():
    pipeline = yaml.safe_load((ROOT / "config/pipeline.yaml").read_text())
    project = load_project(ROOT, pipeline["suite"])
    assert f"suite={pipeline['suite']} " in pipeline["snakemake"]
    datasets = {each.dataset.name: {"resolution": each.dataset.resolution} for each in project.experiments.values()}
    assert pipeline["datasets"] == datasets
    backbones = {
        name: {"dataset": each.dataset, "resolution": each.resolution} for name, each in project.backbones.items()
    }
    assert pipeline["backbones"] == backbones
    assert pipeline["oracles"] == {
        name: {"dataset": each.dataset, "resolution": each.resolution} for name, each in project.oracles.items()
    }
    assert pipeline["experiments"] == {
        name: {
            "dataset": each.dataset.name,
            "resolution": each.dataset.resolution,
            "backbone": each.stylex.perceptual_backbone,
            "oracle": each.evaluation.oracle,
            "classifier": each.classifier_of or name,
        }
        for name, each in project.experiments.items()
    }
    assert pipeline["classifiers"] == {
        name: {"dataset": each.dataset.name, "resolution": each.dataset.resolution}
        for name, each in project.experiments.items()
        if each.classifier_of is None
    }


def test_dvc_need_not_know_published_weights():
    """No stage of dvc.yaml has them as a dependency, so no experiment of its suite may ask for them."""
    for experiment in load_project(ROOT, "demo").experiments.values():
        assert experiment.evaluation.frechet_extractors == ["backbone"] and experiment.stylex.perceptual == "backbone"


def test_extended_files_are_parameters_of_the_stages():
    """A file that an experiment extends is a preset, all of which are, or that of the experiment it shares a classifier with."""
    pipeline = yaml.safe_load((ROOT / "config/pipeline.yaml").read_text())
    for name, item in pipeline["experiments"].items():
        extended = yaml.safe_load((ROOT / f"config/experiments/{name}.yaml").read_text())["extends"]
        assert (ROOT / f"config/presets/{extended}.yaml").is_file() or extended == item["classifier"]


def test_stages_have_all_that_snakemake_reads_and_writes(built, tmp_path):
    """Of every file, Snakemake's record says by which rule it was made from which files; dvc.lock has these files too."""
    copy = built.under_git()
    copy.done("dvc", "commit", "--force", "--quiet")
    stages = yaml.safe_load((copy.root / "dvc.lock").read_text())["stages"]
    made = {out["path"] for stage in stages.values() for out in stage["outs"]}
    records = {made_file(path): json.loads(path.read_text()) for path in (copy.root / ".snakemake/metadata").iterdir()}
    for name, stage in stages.items():
        known = {each["path"] for each in stage["deps"] + stage["outs"]} | set(stage.get("params", ()))
        rules = stage["cmd"].split("--allowed-rules ")[1].split(" -- ")[0].split()
        item = name.partition("@")[2]
        mine = [
            record
            for file, record in records.items()
            if record["rule"] in rules and (not item or item in Path(file).parts)
        ]
        assert mine, name
        missing = {(record["rule"], path) for record in mine for path in record["input"] if not covered(path, known)}
        assert not missing, f"{name} lacks dependencies"
    commands = " ".join(stage["cmd"] for stage in stages.values()).split()
    assert {record["rule"] for record in records.values()} <= set(commands)
    written = [path for path in copy.root.glob("results/[!lb]*/**/*") if path.is_file()]
    assert len(written) > 200
    assert not [path for path in written if not covered(path.relative_to(copy.root).as_posix(), made)]


def made_file(record: Path) -> str:
    """The file that a record of Snakemake is about, which the record is named after."""
    return urlsafe_b64decode(record.name).decode()


def covered(path, known):
    return any(path == each or path.startswith(f"{each}/") for each in known)


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_stages_have_the_code_that_their_rules_run(rules):
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        stage = stage.get("do", stage)
        words = stage["cmd"].split(" -- ")[0].split()[1:]
        run = [rule for each, rule in rules.items() if each.split(" ")[0] in words]
        assert run, name
        files = {path for rule in run for module in rule.modules for path in imported(module, rule.without)}
        told = {path.relative_to(ROOT).as_posix() for path in files} - {file_of(module) for module in LEFT_OUT}
        assert not {path for path in told if not covered(path, stage["deps"])}, name


def file_of(module):
    return f"{module.replace('.', '/')}.py"


def test_metrics_show_each_experiment_and_their_difference(clone):
    path = clone.root / SuitePaths(Path(), "demo").metrics("mnist")
    path.write_text(json.dumps({"accuracy": 0.75, "sufficiency": {"stylex": {"k10": 0.5}}}))
    clone.done("dvc", "commit", "--force", "report")
    clone.commit("Numbers")
    path.write_text(json.dumps({"accuracy": 0.75, "sufficiency": {"stylex": {"k10": 0.25}}}))
    names = {name for name in clone.done("dvc", "metrics", "show").split() if name.endswith(".json")}
    assert names == {f"results/demo/metrics/{name}.json" for name in ("mnist", "mnist-without-cst")}
    (difference,) = json.loads(clone.done("dvc", "metrics", "diff", "--json")).items()
    assert difference == (
        "results/demo/metrics/mnist.json",
        {"sufficiency.stylex.k10": {"old": 0.5, "new": 0.25, "diff": -0.25}},
    )


def test_plots_draw_the_sufficiency_of_each_class_and_method(clone):
    rows = [
        {"method": method, "target_class": target, "k": k, "fraction": k / 10}
        for method in ("without_cst", "wu_2021")
        for target in ("3", "*")
        for k in (1, 10)
    ]
    write_rows(clone.root / SUFFICIENCY, rows)
    plot = json.loads(clone.done("dvc", "plots", "show", "--show-vega", str(SUFFICIENCY)))
    values = plot["data"]["values"]
    assert [(each["method"], each["target_class"], each["fraction"]) for each in values] == [
        (row["method"], row["target_class"], str(row["fraction"])) for row in rows
    ]
    fields = {channel: encoding["field"] for channel, encoding in plot["spec"]["encoding"].items()}
    assert fields == {"x": "k", "y": "fraction", "color": "target_class", "strokeDash": "method"}


def test_plots_are_one_page(clone):
    history = clone.root / ExperimentPaths(Path(), "mnist").stylex_history
    write_rows(history, [{"images": 1000 * step, "val_l1": 1 / step} for step in (1, 2)])
    for command in (["show"], ["diff", "HEAD"]):
        page = clone.done("dvc", "plots", *command).strip().removeprefix("file://")
        text = Path(page).read_text()
        assert "val_l1" in text and history.relative_to(clone.root).as_posix() in text
