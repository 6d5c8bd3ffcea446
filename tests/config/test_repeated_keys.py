"""A key that stands twice in a mapping of any YAML file is one line that names the file and both lines of it."""

import ast
import subprocess
from pathlib import Path

import pytest
import yaml

from stylex.config import load_experiment, load_site, load_suite
from stylex.config.loading import (
    UniqueKeys,
    load_backbone_config,
    load_dataset_file,
    load_pipeline,
    load_regressor_config,
)
from stylex.errors import ConfigError

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
def test_every_kind_of_file(root, name):
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


def test_every_yaml_file_of_the_package_is_read_there():
    importing = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "stylex").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {"yaml", "ruamel"}
        & {name.partition(".")[0] for name in [getattr(node, "module", None) or node.names[0].name]}
    ]
    assert importing == ["stylex/config/loading.py"]
    rules = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    assert not [path for path in rules for word in ("import yaml", "configfile") if word in path.read_text()]


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


@pytest.mark.parametrize("text", REPEATED)
def test_wherever_it_stands_and_however_it_is_written(text):
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.load(text, UniqueKeys)
    assert str(caught.value) == f"{REPEATED[text]} already; remove one"


ONCE = {
    "a: {b: 1}\nc: {b: 1}": {"a": {"b": 1}, "c": {"b": 1}},
    "- b: 1\n- b: 2": [{"b": 1}, {"b": 2}],
    "a: &a {b: 1}\nc: *a\nd: {<<: *a, b: 2}": {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}},
    "<<: [{a: 1, b: 1}, {b: 2, c: 2}]\nc: 3": {"a": 1, "b": 1, "c": 3},
    # `on` and `a` are read before `inner`, in which `<<` is replaced for their sake.
    "a: {inner: &b {<<: {x: 0}, x: 1}}\non: {<<: *b, x: 2}": {"a": {"inner": {"x": 1}}, True: {"x": 2}},
    "3: 1\n'0x3': 2": {3: 1, "0x3": 2},
}


@pytest.mark.parametrize("text", ONCE)
def test_what_is_no_repetition(text):
    assert yaml.load(text, UniqueKeys) == ONCE[text]


@pytest.mark.parametrize(("text", "reason"), [("? [a]\n: 1", "unhashable key"), ("a: 2021-13-45", "month must be")])
def test_what_cannot_be_constructed_is_one_line(root, text, reason):
    (root / "config/config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml is not valid YAML: .*{reason}") as caught:
        load_pipeline(root)
    assert "\n" not in str(caught.value)
