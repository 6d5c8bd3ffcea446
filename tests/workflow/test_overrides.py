"""`--config experiment=…` gives keys of the experiments other values for one run; so does STYLEX_OVERRIDES."""

import json

import pytest

from stylex.config import ExperimentPaths
from tests.workflow.test_plan import AFTER_ATTRIBUTES, AFTER_TRAIN

LONGER = {"stylex": {"training": {"images": 64000}}}


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("{stylex: {training: {images: 64000}}}", AFTER_TRAIN),
        ("{stylex.training.images: 64000}", AFTER_TRAIN),
        ("{attfind.threshold: 1.5, attfind: {tolerance: 0.2}}", AFTER_ATTRIBUTES),
        ("{evaluation.oracle: null}", {"counterfactuals", "maps", "figures", "frames", "gallery", "tables", "report"}),
        ("{}", set()),
    ],
)
def test_another_value_plans_what_depends_on_it(built, text, rules):
    assert set(built.planned("--config", f"experiment={text}")) == rules


def test_a_sweep_runs_records_its_values_and_goes_back(built):
    sweep = "experiment={stylex.training.images: 64000}"
    (built.root / "sweep.yaml").write_text(json.dumps({"experiment": LONGER}))
    for arguments in (["--config", sweep], ["--configfile", "sweep.yaml"]):
        assert built.planned(*arguments)["train"] == 3
    built.compute("--config", sweep, "suite=demo")
    model = ExperimentPaths(built.root, "mnist").stylex_model
    assert json.loads(model.read_text())["training"]["images"] == 64000
    assert built.planned("--configfile", "sweep.yaml") == {}
    built.environment["STYLEX_OVERRIDES"] = json.dumps(LONGER)
    assert built.planned() == {}
    del built.environment["STYLEX_OVERRIDES"]
    assert built.planned()["train"] == 3
