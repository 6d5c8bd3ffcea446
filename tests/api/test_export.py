"""`stylex export`: the folder, its card, and what is refused."""

import json
import os
import shutil

import numpy
import pandas
import pytest
import torch
from PIL import Image

import stylex
from stylex.artifacts import load_tensors, read_json, read_table, sha256, write_json, write_table
from stylex.classifiers.imported import ImportedDescription, resolve, save_imported
from stylex.cli import main
from stylex.config import ExperimentPaths, ImportedClassifierConfig, load_experiment
from stylex.datasets import load_split
from stylex.errors import ArtifactError, ConfigError
from stylex.export import EXTREMES, export, read_description
from stylex.names import import_names
from stylex.networks.model import load_stylex

NAME = "mnist"
FILES = {"README.md", "classifier.safetensors", "explainer.json", "stylex.safetensors"}


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return ExperimentPaths(project, NAME)


@pytest.fixture
def copy(folder, tmp_path):
    """An export to damage."""
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def unfinished(project, tmp_path):
    """A copy of the project to take files from."""
    shutil.copytree(project, tmp_path / "project")
    return ExperimentPaths(tmp_path / "project", NAME)


def run(*arguments):
    """Run the verb; return the exit code."""
    try:
        return main(["export", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_verb_writes_the_folder_and_says_how_large_it_is(here, tmp_path, capsys):
    assert run(NAME, "--output", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"examples"}
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: 0.")
    assert run(NAME, "--output", tmp_path / "out") == 0, "an export is replaced"
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


def test_by_default_the_folder_is_the_experiments(unfinished):
    assert export(unfinished.root, NAME) == unfinished.folder / "export"
    assert stylex.load(unfinished.folder / "export").class_names == ("3", "5")


def test_weights_are_those_of_the_experiment_without_the_discriminator(folder, project):
    paths = ExperimentPaths(project, NAME)
    tensors, _ = load_tensors(folder / "stylex.safetensors")
    whole = load_stylex(paths.stylex_model).state_dict()
    expected = {name for name in whole if not name.startswith("discriminator.")}
    assert tensors.keys() == expected | {EXTREMES} and len(expected) < len(whole)
    assert all(torch.equal(tensors[name], whole[name]) for name in expected)
    assert (folder / "classifier.safetensors").read_bytes() == paths.classifier.model.read_bytes()


def test_the_description_says_what_was_measured(folder, project):
    paths, config, content = ExperimentPaths(project, NAME), load_experiment(project, NAME), read_description(folder)
    assert content.config_digest == content.provenance["config_digest"] == config.digest()
    assert content.provenance["stylex_sha256"] == sha256(paths.stylex_model)
    assert content.sha256.classifier == sha256(paths.classifier.model)
    table = pandas.DataFrame([row.model_dump() for row in content.quality])
    accuracy = table[table["measure"] == "classifier_accuracy"].iloc[0]
    assert (accuracy["value"], accuracy["n"]) == (0.75, 100)
    flips = read_table(paths.sufficiency)
    flips = flips[(flips["method"] == "stylex") & (flips["protocol"] == "held_out")]
    rows = table[table["measure"] == "flipped"]
    for ours, theirs in (("value", "fraction"), ("n", "n"), ("k", "k"), ("target_class", "target_class")):
        assert rows[ours].tolist() == flips[theirs].tolist()
    diagnosis = read_table(paths.diagnosis)
    rows = table[table["limit"].notna()]
    assert rows["verdict"].tolist() == diagnosis["verdict"].tolist() and rows["value"].tolist() == [*diagnosis["value"]]
    assert "flipped_and_agreed" not in set(table["measure"]), "no oracle was asked"
    assert (table["seed"] == config.seed).all() and (table["n"] > 0).all()


def test_names_that_people_gave_go_with_an_export(unfinished, tmp_path):
    first = stylex.load(unfinished.folder).attributes.iloc[0]
    entry = {"experiment": "mnist", "model": sha256(unfinished.stylex_model), "style_index": int(first["style_index"])}
    write_json(tmp_path / "names.json", {
        "format": 1, "kind": "stylex attribute names", "attributes": [entry | {"name": "bow", "favourite": False}],
    })  # fmt: skip
    import_names(unfinished.root, tmp_path / "names.json")
    passed_on = stylex.load(export(unfinished.root, "mnist", tmp_path / "export"))
    for explainer in (stylex.load(unfinished.folder), passed_on):
        table = explainer.attributes
        assert set(table.loc[table["style_index"] == first["style_index"], "name"]) == {"bow"}
        assert set(table.loc[table["style_index"] != first["style_index"], "name"]) == {""}


def test_examples_are_the_first_measured_images_of_each_class(folder, project, latents):
    split, content = load_split(project, load_experiment(project, NAME).dataset, "test"), read_description(folder)
    measured = latents.under("held_out").measured
    assert [each.label for each in content.examples].count("3") == 4 and len(content.examples) == 8
    for example in content.examples:
        row = latents.ids.index(example.id)
        assert measured[row] and latents.class_names[int(latents.labels[row])] == example.label
        with Image.open(folder / example.file) as image:
            assert numpy.array_equal(image, split.raw(torch.tensor([split.ids.index(example.id)]))[0, 0].numpy())


def test_the_card_has_the_numbers_the_licence_and_the_limits(folder):
    card, content = (folder / "README.md").read_text(), read_description(folder)
    assert content.data.licence in card and content.title in card and content.sha256.stylex in card
    assert "| 75.0 % | 100 |" in card
    pooled = [row for row in content.quality if (row.measure, row.target_class, row.k) == ("flipped", "*", 1)]
    assert f"| \\* | {100 * pooled[0].value:.1f} %".replace("\\", "") in card
    assert "## Limits" in card and "weak classifier" in card


def test_the_answers_of_an_oracle_are_in_the_card(unfinished, tmp_path):
    columns = {"method": "stylex", "protocol": "held_out", "target_class": "*", "n": 12, "agreement": 0.25, "seed": 0}
    columns |= {"agreement_low": 0.1, "agreement_high": 0.5}
    other = columns | {"method": "random", "agreement": 0.5}
    write_table(unfinished.counterfactuals, pandas.DataFrame([columns, other]), {})
    card = (export(unfinished.root, NAME, tmp_path / "out") / "README.md").read_text()
    assert "an independent classifier gives to the target class, too | * | 25.0 % (10.0 to 50.0) | 12 |" in card


def test_what_is_missing_is_named_with_what_makes_it(unfinished, monkeypatch, capsys):
    monkeypatch.chdir(unfinished.root)
    for path, verbs in (
        (unfinished.sufficiency, ["sufficiency"]),
        (unfinished.attributes, ["attributes"]),
        (unfinished.effects(), ["effects"]),
        (unfinished.stylex_model, ["train"]),
    ):
        path.unlink()
        assert all(f"`stylex {verb} mnist`" in refusal(capsys, NAME) for verb in verbs)
    assert "unknown experiment 'mnits'; did you mean 'mnist'?" in refusal(capsys, "mnits")
    assert not (unfinished.folder / "export").exists()


def refusal(capsys, *arguments):
    """The one line of an error."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and captured.out == ""
    return captured.err


def test_nothing_else_is_overwritten(here, copy, tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    shutil.copy(copy / "examples/0.png", copy / "mine.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "something is there that is no export" in refusal(capsys, NAME, "--output", tmp_path / "notes")
    assert "something is there that is no export" in refusal(capsys, NAME, "--output", tmp_path / "file")
    assert "mine.png is no part of the export" in refusal(capsys, NAME, "--output", copy)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_failure_leaves_the_earlier_export(project, copy, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    before = sha256(copy / "README.md")
    monkeypatch.setattr("stylex.export.card", full)
    with pytest.raises(Exception, match="free some space"):
        export(project, NAME, copy)
    assert sha256(copy / "README.md") == before and [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_released_model_is_not_exported(root, add_released):
    add_released(root)
    with pytest.raises(ConfigError, match="'tiny' is a released model"):
        export(root, "tiny")


def damage(path, text):
    """Replace the JSON by text, or keys of it."""
    content = text if isinstance(text, str) else json.dumps(read_json(path) | text)
    path.write_text(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"format": 2}, "of format 2, this version of stylex reads 1; install a newer one"),
        ({"format": "x"}, "is damaged (format: "),
        ({"class_names": None}, "is damaged (class_names: "),
        ({"surprise": 1}, "is damaged (surprise: "),
        ("{", "is damaged (Expecting"),
        ("[]", "is damaged (content: "),
    ],
)
def test_a_damaged_or_newer_description_is_one_line(copy, digit, capsys, text, message):
    damage(copy / "explainer.json", text)
    assert main(["explain", str(copy), str(digit), "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize("name", ["stylex.safetensors", "classifier.safetensors"])
def test_other_weights_are_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is not the file that explainer.json names"):
        stylex.load(copy)
    os.remove(copy / name)
    with pytest.raises(ArtifactError, match=f"{name} is missing; export it again"):
        stylex.load(copy)


def test_a_folder_without_images_or_description_is_named(copy, digit, tmp_path, capsys):
    assert main(["explain", str(copy)]) == 2
    assert "name the image files to explain" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "models/none"), str(digit), "--device", "cpu"]) == 2
    assert "is no export, as it has no explainer.json" in capsys.readouterr().err


def as_function(path):
    """Write a classifier's file that names Python code."""
    config = ImportedClassifierConfig.model_validate(
        {"file": "os:abort", "classes": ["3", "5"], "output": "logits", "inputs": {"range": "0..1"}}
    )
    resolved = resolve(config, path.parent)
    description = ImportedDescription(
        name="x", channels=1, resolution=32, class_names=("3", "5"), declaration=resolved.declaration,
        format=resolved.source.format, files={}, file="os:abort", weights_digest="00" * 32,
    )  # fmt: skip
    save_imported(path, resolved.source, description, {})


def test_an_export_runs_no_code_that_it_names(copy, unfinished, tmp_path):
    as_function(copy / "classifier.safetensors")
    content = read_json(copy / "explainer.json")
    content["sha256"]["classifier"] = sha256(copy / "classifier.safetensors")
    (copy / "explainer.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="names Python code in place of a network, and is not opened"):
        stylex.load(copy)
    as_function(unfinished.classifier.model)
    with pytest.raises(ConfigError, match=r"save the network with torch\.export"):
        export(tmp_path / "project", NAME, tmp_path / "out")
    assert not (tmp_path / "out").exists()
