"""Reading files and overrides: a repeated key, an unquoted name and an unknown key are one line that names it."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from stylex.cli import main
from stylex.config import load_experiment, load_pipeline, load_suite
from stylex.config.loading import (
    OVERRIDES,
    UniqueKeys,
    load_backbone_config,
    load_dataset_file,
    load_regressor_config,
    parse_overrides,
)
from stylex.errors import ConfigError
from stylex.slurm import load_site

ROOT = Path(__file__).parents[2]

# File, what a repetition is added to, and who reads it.
FILES = {
    "config.yaml": ("suite: demo", load_pipeline),
    "site.yaml": ("stages: {train: {minutes: 60}}", load_site),
    "suites/demo.yaml": ("title: again", lambda root: load_suite(root, "demo")),
    "experiments/mnist.yaml": ("seed: 3", lambda root: load_experiment(root, "mnist")),
    "presets/cpu-32.yaml": ("extends: base", lambda root: load_experiment(root, "mnist")),
    "backbones/mnist-32.yaml": ("dataset: mnist", lambda root: load_backbone_config(root, "mnist-32")),
    "regressors/leaves-32.yaml": ("dataset: leaves", lambda root: load_regressor_config(root, "leaves-32")),
    "datasets/afhq-wild.yaml": ("layout: afhq", lambda root: load_dataset_file(root, "afhq-wild")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_repeated_key_in_every_kind_of_file(root, name):
    again, load = FILES[name]
    path, key = root / "config" / name, again.partition(":")[0]
    lines = path.read_text().splitlines() if path.is_file() else [again]
    first = next((number for number, line in enumerate(lines, 1) if line.startswith(f"{key}:")), None)
    if first is None:  # this file leaves it to what it extends
        lines = [*lines, again]
        first = len(lines)
    path.write_text("\n".join([*lines, "# a comment", again, ""]))
    with pytest.raises(ConfigError) as caught:
        load(root)
    second = len(lines) + 2
    assert str(caught.value) == (
        f"{path} is not valid YAML: line {second}: the key '{key}' stands in line {first} already; remove one"
    )


def test_no_file_of_the_repository_repeats_a_key():
    listed = subprocess.run(
        ["git", "ls-files", "*.yaml", "*.yml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = listed.stdout.split()
    assert "config/config.yaml" in files and "profiles/slurm/config.yaml" in files
    for file in files:
        yaml.load((ROOT / file).read_text(), UniqueKeys)


REPEATED = {
    "a: 1\nb: {c: 1,\n  c: 2}": "line 3: the key 'c' stands in line 2",
    "a: {b: 1, b: 2}": "line 1: the key 'b' stands in line 1",
    "a:\n- b: 1\n- b: 1\n  c: 2\n  b: 3": "line 5: the key 'b' stands in line 3",
    "'3': 1\n3: 2": "line 2: the key '3' stands in line 1",
    'a: 1\n"a": 2': "line 2: the key 'a' stands in line 1",
    "8: 1\n0x8: 2": "line 2: the key '0x8' stands in line 1",
    "true: 1\nyes: 2": "line 2: the key 'yes' stands in line 1",
    "a: {b: 1}\n<<: {c: 1,\n  c: 2}": "line 3: the key 'c' stands in line 2",
    "a:\n  <<: [{b: 1}, {b: 2,\n    b: 3}]": "line 3: the key 'b' stands in line 2",
    "a: &a {b: 1}\nc: &c {d: 1}\ne:\n  <<: *a\n  <<: *c": "line 5: the key '<<' stands in line 4",
    "? {a: 1,\n  a: 2}\n: 1": "line 2: the key 'a' stands in line 1",
}
ONCE = {
    "a: {b: 1}\nc: {b: 1}": {"a": {"b": 1}, "c": {"b": 1}},
    "- b: 1\n- b: 2": [{"b": 1}, {"b": 2}],
    "a: &a {b: 1}\nc: *a\nd: {<<: *a, b: 2}": {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}},
    "<<: [{a: 1, b: 1}, {b: 2, c: 2}]\nc: 3": {"a": 1, "b": 1, "c": 3},
    # `on` and `a` are read before `inner`, in which `<<` is replaced for their sake.
    "a: {inner: &b {<<: {x: 0}, x: 1}}\non: {<<: *b, x: 2}": {"a": {"inner": {"x": 1}}, True: {"x": 2}},
    "3: 1\n'0x3': 2": {3: 1, "0x3": 2},
}


@pytest.mark.parametrize("text", REPEATED)
def test_a_repeated_key_wherever_it_stands_and_however_it_is_written(text):
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.load(text, UniqueKeys)
    assert str(caught.value) == f"{REPEATED[text]} already; remove one"


@pytest.mark.parametrize("text", ONCE)
def test_what_is_no_repetition(text):
    assert yaml.load(text, UniqueKeys) == ONCE[text]


@pytest.mark.parametrize(("text", "reason"), [("? [a]\n: 1", "unhashable key"), ("a: 2021-13-45", "month must be")])
def test_what_cannot_be_constructed_is_one_line(root, text, reason):
    (root / "config/config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml is not valid YAML: .*{reason}") as caught:
        load_pipeline(root)
    assert "\n" not in str(caught.value)


def test_overrides_are_merged_over_each_experiment_and_change_its_digest(root, monkeypatch):
    before = load_experiment(root, "mnist")
    first = ["experiment.stylex.training.images=12000", "experiment.evaluation.sufficiency_k=[1, 2]"]
    monkeypatch.setenv(OVERRIDES, parse_overrides(first))
    monkeypatch.setenv(OVERRIDES, parse_overrides(["experiment.attfind={split: val}", "experiment.seed=7"]))
    expected = before.model_dump(mode="json")
    expected["stylex"]["training"]["images"] = 12000
    expected["evaluation"]["sufficiency_k"] = [1, 2]
    expected["attfind"]["split"] = "val"
    expected["seed"] = 7
    after = load_experiment(root, "mnist")
    assert after.model_dump(mode="json") == expected and after.digest() != before.digest()
    assert load_experiment(root, "mnist-without-cst").seed == 7
    assert load_experiment(root, "mnist", overrides={}) == before


def test_channels_are_replaced_whole_by_an_override(root, monkeypatch):
    text = "experiment.stylex.networks.generator_channels={channel_base: 64, channel_max: 12}"
    monkeypatch.setenv(OVERRIDES, parse_overrides([text]))
    assert load_experiment(root, "mnist").stylex.networks.widths("generator", 32) == [12, 8, 4, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "experiment.stylex.trainig.images=3",
            "override experiment.stylex.trainig: unknown key 'trainig'; did you mean",
        ),
        ("experiment.seeds=3", "override experiment.seeds: unknown key 'seeds'; did you mean 'seed'?"),
        ("experiment.seed.more=3", "override experiment.seed.more: unknown key 'more'"),
        ("experiment.stylex={3: 4}", "override experiment.stylex.3: unknown key '3'"),
        ("experiment.=3", "--set experiment.=3: while parsing"),
        ("experiment.seed", "--set experiment.seed: give a key and a value, as experiment.stylex.training.images=1000"),
        ("experiment=3", "--set experiment=3: give a key and a value"),
        ("suite=demo", "--set suite=demo: give a key and a value"),
        ("experiment.title=[", "--set experiment.title=[: while parsing"),
        ("experiment.dataset.classes=[no, a]", "YAML takes the name no for a truth value: quote it, 'no'"),
        ("experiment.seed=many", "mnist.yaml: seed = 'many': Input should be a valid integer"),
    ],
)
def test_an_override_that_cannot_be(root, monkeypatch, capsys, text, message):
    monkeypatch.chdir(root)
    monkeypatch.setenv(OVERRIDES, "{}")  # restored afterwards
    assert main(["--set", text, "validate"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and message in line and line.count("\n") == 1
    assert "seed=many" not in text or 'with STYLEX_OVERRIDES {"seed": "many"}' in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": 3', "STYLEX_OVERRIDES is not valid JSON"),
        ("[3]", "STYLEX_OVERRIDES must hold an object of an experiment's keys, not [3]"),
        (json.dumps({"stylex": {"lossess": {}}}), "override experiment.stylex.lossess: unknown key 'lossess'"),
    ],
)
def test_a_variable_that_holds_no_overrides(root, monkeypatch, text, message):
    monkeypatch.setenv(OVERRIDES, text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(root, "mnist")
    assert message in str(caught.value)
