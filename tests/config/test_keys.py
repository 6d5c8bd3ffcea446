"""Every key is said once: `stylex keys` and the schemas for editors have it from the description of its field."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stylex.cli import main
from stylex.config import load_experiment
from stylex.config.loading import WHOLE
from stylex.project import MODELS, described_keys, schema_texts

ROOT = Path(__file__).parents[2]
SCHEMAS = {path.name.split(".")[0]: json.loads(text) for path, text in schema_texts(ROOT).items()}
SINGLE = {"config": "config.yaml", "site": "site.example.yaml"}


def names(kind: str, wanted: str | None = None) -> set[str]:
    """The dotted names of the keys that are described."""
    return {f"{each.name}.{key.name}".lstrip(".") for each in described_keys(kind, wanted) for key in each.keys}


def paths(content: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict) and value and key not in WHOLE:
            yield from paths(value, f"{before}{key}.")
        else:
            yield before + key


@pytest.mark.parametrize("kind", MODELS)
def test_every_key_and_section_has_a_meaning(kind):
    sections = described_keys(kind)
    meanings = {each.name: each.meaning for each in sections}
    meanings |= {f"{each.name}.{key.name}": key.meaning for each in sections for key in each.keys}
    assert len(meanings) > len(sections)
    assert not [name for name, meaning in meanings.items() if len(meaning) < 5 or not meaning.endswith((".", ")"))]


def test_no_key_of_an_experiment_is_left_out():
    whole = {*names("experiment"), *(each.name for each in described_keys("experiment") if each.form == "optional")}
    assert set(paths(load_experiment(ROOT, "leaves").model_dump())) <= whole
    assert set(yaml.safe_load((ROOT / "config/datasets/celeba-age.yaml").read_text())) <= {
        *names("dataset"), *(each.name for each in described_keys("dataset"))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "key", "values", "given"),
    [
        ("experiment", "adversarial", "logistic | hinge", "default logistic"),
        ("experiment", "stylex.training.images", "integer >= 1", "required"),
        ("experiment", "encoder_channels",
         "[integer >= 1, …] | {capacity, fmap_max} | {channel_base, channel_max}", "required"),
        ("experiment", "protocols", "[held_out | same_images, …]", "default [held_out, same_images]"),
        ("experiment", "min_realism", "number", "optional"),
        ("experiment", "alternating", "true | false", "default true"),
        ("experiment", "extends", "text", "optional"),
        ("dataset", "channels", "1 | 3", "default 3"),
        ("dataset", "files.size", "integer >= 1", "optional"),
        ("backbone", "width", "number > 0, <= 4", "default 1.0"),
        ("site", "stages.*.minutes", "integer >= 1", "optional"),
    ],
)  # fmt: skip
def test_values_and_defaults(kind, key, values, given):
    ((found,),) = (each.keys for each in described_keys(kind, key))
    assert (found.values, found.given) == (values, given)


def test_a_section_is_found_by_the_end_of_its_name_with_those_within_it():
    assert names("experiment", "training") == names("experiment", "stylex.training")
    assert "stylex.training.precision.cuda" in names("experiment", "training")
    assert names("experiment", "ganalyze.batch_size") == {"evaluation.ganalyze.batch_size"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["stylex.lossess"],
            "--file experiment: unknown section or key 'stylex.lossess'; did you mean 'stylex.losses'?",
        ),
        (["r1_gama"], "unknown section or key 'r1_gama'; did you mean 'r1_gamma'?"),
        (
            ["quux"],
            "unknown section or key 'quux'; choose one of dataset, classifier, classifier.inputs, stylex,",
        ),
        (["--file", "pets"], "--file pets: unknown kind of file 'pets'; choose one of experiment, suite, dataset,"),
        (["--file", "suit"], "--file suit: unknown kind of file 'suit'; did you mean 'suite'?"),
    ],
)
def test_what_is_unknown_is_one_line(capsys, arguments, message):
    assert main(["keys", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and message in said.err and said.err.count("\n") == 1


def shown(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["keys", *arguments])
    assert not caught.value.code
    return capsys.readouterr().out


def test_text_is_as_wide_as_the_terminal(capsys, monkeypatch):
    texts = {}
    for columns in (60, 150):
        monkeypatch.setenv("COLUMNS", str(columns))
        texts[columns] = shown(capsys, "stylex.losses")
    wide = max(map(len, texts[150].splitlines()))
    assert max(map(len, texts[60].splitlines())) <= 60 < wide <= 150
    assert texts[60].split() == texts[150].split()
    assert "  r1_gamma: number >= 0; required\n      R1 penalty of the discriminator" in texts[60]
    assert texts[60].endswith("\n[L] Lang et al. 2021\n")


def test_markdown_is_a_table_for_each_section(capsys):
    lines = shown(capsys, "stylex.training", "--markdown").splitlines()
    sections = ["## stylex.training", "## stylex.training.precision", "## stylex.training.acceleration"]
    assert [line for line in lines if line.startswith("#")] == sections
    assert r"| `told` | `image \| fake` | default image | Which answer" in "\n".join(lines)
    rows = [line.replace(r"\|", "") for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5} and len(rows) == 6 + len(names("experiment", "stylex.training"))


@pytest.mark.parametrize("kind", MODELS)
def test_schema_is_valid_and_accepts_every_file_as_it_is_written(kind):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[kind])
    found = [ROOT / "config" / SINGLE[kind]] if kind in SINGLE else sorted((ROOT / f"config/{kind}s").glob("*.yaml"))
    assert found
    for path in found:
        jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMAS[kind])


def test_every_preset_satisfies_the_schema_of_what_extends_it():
    presets = sorted((ROOT / "config/presets").glob("*.yaml"))
    of_networks = {path for path in presets if path.name.startswith(("backbone-", "oracle-"))}
    assert len(presets) > len(of_networks) > 1
    for path in presets:
        kind = "backbone" if path in of_networks else "experiment"
        jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMAS[kind])


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("config", {"suite": "demo", "suites": "demo"}),
        ("experiment", {"extends": "cpu-32", "stylex": {"lossess": {}}}),
        ("experiment", {"stylex": {"losses": {"r1_gamma": -1}}}),
        ("suite", {"title": "No experiments"}),
    ],
)
def test_schema_refuses_what_cannot_be(kind, content):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMAS[kind])
