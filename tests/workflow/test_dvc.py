"""dvc.yaml names what the rules of Snakemake read and write, and DVC shows numbers, options and curves."""

import csv
import json
import os
import re
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
import yaml

from stylex.config import ExperimentPaths, SuitePaths
from stylex.project import load_project

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
PUBLISHED = yaml.safe_load((ROOT / "results/cpu/dvc.yaml").read_text())
SUFFICIENCY = ExperimentPaths(Path(), "mnist").sufficiency


def test_stages_have_all_that_snakemake_reads_and_writes(recorded):
    """Of every file, Snakemake's record says from which files it was made; dvc.lock has both."""
    root = recorded.project.root
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    made = {out["path"] for stage in stages.values() for out in stage["outs"]}
    known = made | {each["path"] for stage in stages.values() for each in stage["deps"]}
    records = {made_file(path): json.loads(path.read_text()) for path in (root / ".snakemake/metadata").iterdir()}
    assert len(records) > 100
    assert not [file for file in records if not covered(file, made)]
    assert not {path for record in records.values() for path in record["input"] if not covered(path, known)}


def made_file(record: Path) -> str:
    """The file that a record of Snakemake is about, which the record is named after."""
    return urlsafe_b64decode(record.name).decode()


def covered(path, known):
    return any(path == each or path.startswith(f"{each}/") for each in known)


@pytest.mark.parametrize("suite", [PIPELINE["vars"][0]["suite"], "cpu"])
def test_the_stage_data_keeps_what_belongs_to_no_single_experiment(standing_in, suite):
    """Of what Snakemake makes for the suite, all that is not below results/experiments or the suite's own folder."""
    summary = standing_in.done("snakemake", "--summary", "--config", f"suite={suite}").splitlines()
    made = {line.split("\t")[0] for line in summary[summary[0].startswith("output_file") :]}
    shared = {path for path in made if not path.startswith(("results/experiments/", f"results/{suite}/"))}
    stages = [each["stages"]["data"] for each in ((PIPELINE, PUBLISHED) if suite == "cpu" else (PIPELINE,))]
    kept = {path for stage in stages for out in stage["outs"] for path in out if not path.startswith(".snakemake/")}
    assert {path for path in shared if not covered(path, kept)} == set()
    assert {path for path in kept if not any(covered(each, {path}) for each in shared)} == set()


def test_the_pipeline_of_the_committed_results_has_every_run_of_its_suite():
    listed = stage_list("results/cpu/dvc.yaml")
    suite = load_project(ROOT, "cpu").suite
    assert set(re.findall(r"results/experiments/([^,\s]+)", listed)) == set(suite.runs)
    assert PUBLISHED["stages"]["experiment"]["matrix"]["seed"][1:] == [f"-seed{seed}" for seed in range(1, suite.seeds)]


def test_a_plain_push_or_pull_does_not_ask_for_the_committed_results():
    listed = stage_list("--all")
    assert "experiment@mnist" in listed and "results/cpu" not in listed


def stage_list(*which: str) -> str:
    command = [sys.executable, "-m", "dvc", "stage", "list", *which]
    wide = os.environ | {"COLUMNS": "1000"}  # else long lines are cut off
    return subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, check=True, text=True).stdout


def test_plots_are_of_the_experiments_of_the_suite():
    suite = PIPELINE["vars"][0]["suite"]
    drawn = {Path(path).parts[2] for plot in PIPELINE["plots"] for path in plot}
    assert drawn == set(load_project(ROOT, suite).suite.experiments)
    assert f"suite={suite} " in PIPELINE["vars"][0]["snakemake"]


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


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
