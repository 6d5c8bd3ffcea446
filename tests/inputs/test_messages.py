"""A name that YAML or a command line takes for something else is never another name without a word."""

import pytest
import yaml

from stylex.config import load_dataset_file, load_experiment, load_pipeline, load_suite
from stylex.config.paths import SHARED
from stylex.errors import ConfigError
from stylex.slurm import load_site

HEAD = "extends: cpu-32\ntitle: a\ndomain: a\nstylex: {perceptual_backbone: mnist-32}\n"
TAKEN = {
    "no": "a truth value", "yes": "a truth value", "on": "a truth value", "off": "a truth value",
    "True": "a truth value",
    "010": "another number", "1_000": "another number", "0x1F": "another number", "1:30": "another number",
    "3.0": "a number", "1.5e+3": "a number", ".inf": "a number", ".nan": "a number", "2024-01-01": "a date",
    "2024-01-01 10:00:00": "a date", "null": "nothing", "~": "nothing",
}  # fmt: skip

PLAIN = ["1e3", "-5", "0", "12", "both"]


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("section", ["classes: [NAME, b]", "classes:\n    - b\n    - NAME", "one_vs_rest: NAME"])
def test_a_class_whose_name_yaml_takes_for_something_else_is_to_be_quoted(root, name, section):
    path = root / "config/experiments/own.yaml"
    path.write_text(f"{HEAD}dataset:\n  name: mnist\n  {section.replace('NAME', name)}\n")
    if name in ("null", "~") and section.startswith("one_vs_rest"):
        assert load_experiment(root, "own").dataset.one_vs_rest is None  # the key is switched off
        return
    with pytest.raises(ConfigError) as caught:
        load_experiment(root, "own")
    line = 9 if "- NAME" in section else 7
    expected = f"{path}: line {line}: YAML takes the name {name} for {TAKEN[name]}: quote it, '{name}'"
    assert str(caught.value) == expected


@pytest.mark.parametrize("written", [*(f"'{name}'" for name in (*TAKEN, *PLAIN, "rest")), *PLAIN])
def test_a_quoted_name_and_one_that_yaml_leaves_alone_are_the_name(root, written):
    (root / "config/experiments/own.yaml").write_text(f"{HEAD}dataset:\n  name: mnist\n  classes: [{written}, b]\n")
    assert load_experiment(root, "own").dataset.classes == [written.strip("'"), "b"]


@pytest.mark.parametrize(
    ("file", "text", "load"),
    [
        ("experiments/own", HEAD + "dataset: {name: mnist}\nattfind: {against: no}\n", load_experiment),
        ("experiments/own", HEAD + "dataset: {name: mnist}\nevaluation: {figure_class: 010}\n", load_experiment),
        ("experiments/own", HEAD + "dataset: {name: 2024_01}\n", load_experiment),
        ("experiments/own", HEAD.replace("cpu-32", "2024_01"), load_experiment),
        ("experiments/own", HEAD + "dataset: {name: mnist}\nclassifier_of: 1_0\n", load_experiment),
        ("suites/own", "title: a\nexperiments: [mnist, 010]\ntables: [sufficiency]\n", load_suite),
        ("suites/own", "title: a\nexperiments: [mnist]\ntables: [sufficiency]\nnext: 2024_01\n", load_suite),
        ("datasets/own", "title: a\nlayout: folders\nlicence: a\nfolder: a\nclasses: [on, off]\n", load_dataset_file),
        ("config", "suite: 2024_01\n", lambda root, _: load_pipeline(root)),
        ("site", "account: 007\n", lambda root, _: load_site(root)),
        ("site", "qos: yes\n", lambda root, _: load_site(root)),
    ],
)
def test_names_in_other_places_too(root, file, text, load):
    (root / f"config/{file}.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"own|config/config|config/site") as caught:
        load(root, "own")
    assert "YAML takes the name " in str(caught.value) and "quote it" in str(caught.value)


@pytest.mark.parametrize("value", ["2024", "no", "3.5", "2024-01-01", ""])
def test_a_text_that_is_none_is_to_be_quoted(root, value):
    (root / "config/suites/own.yaml").write_text(f"title: {value}\nexperiments: [mnist]\ntables: [sufficiency]\n")
    quote = ", and YAML takes this for .*: quote it" if value else "$"
    with pytest.raises(ConfigError, match=rf"own\.yaml: title = .*: a text goes here{quote}"):
        load_suite(root, "own")


def suite(root, name):
    content = {"title": "a", "experiments": ["mnist"], "tables": ["sufficiency"]}
    (root / f"config/suites/{name}.yaml").write_text(yaml.safe_dump(content))
    return load_suite(root, name)


@pytest.mark.parametrize("name", ["2024_01", "007", "1e3", "1.10", "nan", "true", "both"])
def test_a_suite_may_be_called_like_a_number(root, name):
    assert suite(root, name).experiments == ["mnist"]


@pytest.mark.parametrize("name", SHARED)
def test_a_suite_is_not_called_like_a_folder_of_all_suites(root, name):
    with pytest.raises(ConfigError, match=rf"{name}\.yaml: results/{name} is a folder of all suites: rename the file"):
        suite(root, name)


@pytest.mark.parametrize("name", ["My suite", "$HOME", "-x", "Ünits", ".hidden"])
def test_a_suite_has_a_name_that_every_command_takes(root, name):
    with pytest.raises(ConfigError, match="use small letters, digits, .* in the name of a suite: rename the file"):
        suite(root, name)
