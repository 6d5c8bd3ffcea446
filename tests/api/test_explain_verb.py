"""`stylex explain` on files: real digits, small random networks."""

import json
import os
import shutil

import pytest
import torch
from PIL import Image

from stylex.artifacts import read_json
from stylex.cli import main
from stylex.config import DatasetPaths, ExperimentPaths, load_experiment
from stylex.config.base import Protocol
from stylex.datasets import dataset_spec, load_split
from stylex.datasets.built_in import decode
from stylex.datasets.single import Preparation, read_squares
from stylex.export import read_experiment, read_export
from stylex.figures.explanations import COLUMNS, read_steps
from stylex.latents.table import read_latents

NAME = "mnist"


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def explain(*arguments):
    """Run the verb; return the exit code."""
    try:
        return main(["explain", NAME, *map(str, arguments), "--device", "cpu"])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_file_of_the_dataset_is_read_as_the_analysis_reads_it(project, folder, tmp_path):
    config = load_experiment(project, NAME)
    split = load_split(project, config.dataset, "test")
    (raw,) = decode(dataset_spec(project, "mnist"), DatasetPaths(project, "mnist").raw)
    rows = list(range(0, len(split), 50))
    for row in rows:
        downloaded = raw.images[int(split.ids[row].rpartition("-")[2])]
        Image.fromarray(downloaded).save(tmp_path / f"{row}.png")
    files = [tmp_path / f"{row}.png" for row in rows]
    for source in (read_experiment(project, NAME, "cpu"), read_export(folder, "cpu")):
        assert torch.equal(source.read(files), split.raw(torch.tensor(rows)))


def test_without_its_dataset_the_central_square_of_a_file_is_read(tmp_path):
    Image.new("RGB", (300, 200), (255, 0, 0)).save(tmp_path / "face.png")
    images = read_squares(Preparation(channels=3, resolution=256), [tmp_path / "face.png"])
    assert images.shape == (1, 3, 256, 256) and images.float().mean(dim=(0, 2, 3)).tolist() == [255, 0, 0]


def test_an_analysed_image_is_explained_from_its_file_as_in_the_analysis(here, digit, latents, tmp_path, capsys):
    assert explain(digit, "--output", tmp_path / "out") == 0
    content = read_json(tmp_path / "out/digit.json")
    for key, logits in {
        "probabilities": latents.logits,
        "reconstruction_probabilities": latents.reconstruction_logits,
    }.items():
        expected = dict(zip(("3", "5"), logits[0].softmax(0).tolist(), strict=True))
        assert content[key] == pytest.approx(expected, abs=1e-5)
    decision = int(latents.reconstruction_logits[0].argmax())
    assert content["target_class"] == ("5", "3")[decision]
    assert content["reconstruction_l1"] == pytest.approx(float(latents.reconstruction_l1[0]), abs=1e-5)
    assert 1 <= len(content["steps"]) <= 4
    assert content["provenance"]["config_digest"] == load_experiment(here, NAME).digest()
    with Image.open(tmp_path / "out/digit.png") as figure:
        assert figure.format == "PNG"
    lines = capsys.readouterr().out.splitlines()
    ends = "the decision flips" if content["flipped"] else "the decision does not flip"
    assert lines[0].endswith(f"{('3', '5')[decision]} to {content['target_class']}, subset: {ends}")
    last = content["steps"][-1]
    place = [str(last[key]) for key in ("step", "layer", "channel", "direction")]
    assert lines[-2].split() == [*place, f"{last['probability_after']:.3f}"]
    # The same towards the class that is asked for.
    assert explain(digit, "--target", content["target_class"], "--output", tmp_path / "asked") == 0
    assert read_json(tmp_path / "asked/digit.json") == content


def test_options_and_files_of_any_kind(here, digit, tmp_path, capsys):
    with Image.open(digit) as image:
        image.convert("RGB").resize((70, 50)).save(tmp_path / "colour.jpg", quality=95)
    options = ("--method", "independent", "--attributes", 2, "--output", tmp_path / "out")
    assert explain(digit, tmp_path / "colour.jpg", *options) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}.{suffix}" for name in ("colour", "digit") for suffix in ("json", "png")
    }
    content = json.loads((tmp_path / "out/colour.json").read_text())
    assert content["method"] == "independent" and 1 <= len(content["steps"]) <= 2
    assert content["image"].endswith("colour.jpg")
    before = {step["probability_before"] for step in content["steps"]}
    reconstructed = content["reconstruction_probabilities"][content["target_class"]]
    assert list(before) == [pytest.approx(reconstructed, abs=1e-4)], "each is moved alone on the reconstruction"
    flips = [step["flipped"] for step in content["steps"]]
    assert content["flipped"] == any(flips)
    assert f"{sum(flips)} of {len(flips)} coordinates flip the decision, each moved alone" in capsys.readouterr().out


def test_a_file_explained_beside_others_is_explained_as_alone(here, digit, latents, prepared, tmp_path):
    other = prepared(latents.ids[5], "other.png")
    assert explain(digit, "--output", tmp_path / "alone") == 0
    assert explain(other, digit, "--output", tmp_path / "both") == 0
    alone, both = (read_json(tmp_path / folder / "digit.json") for folder in ("alone", "both"))
    for one, two in zip(alone["steps"], both["steps"], strict=True):
        assert {**one, **{key: pytest.approx(one[key], abs=1e-5) for key in one if "probability" in key}} == two


def test_mistakes_are_one_line_and_leave_nothing(here, digit, latents, tmp_path, capsys, monkeypatch, root):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "sub").mkdir()
    shutil.copy(digit, tmp_path / "sub/digit.png")
    decision = latents.class_names[int(latents.reconstruction_logits[0].argmax())]
    out = ("--output", tmp_path / "out")
    refused = {
        (digit, tmp_path / "text.png", *out): "text.png cannot be read as an image",
        (tmp_path / "none.png", *out): "none.png does not exist",
        (digit, "--target", "55", *out): "target: unknown class '55'; did you mean '5'?",
        (digit, "--target", decision, *out): f"digit.png: the classifier already says '{decision}'; choose another",
        (digit, "--output", tmp_path): "would overwrite an image",
        (digit, tmp_path / "sub/digit.png", *out): "two of the images would be explained in",
        (digit, "--output", digit): "no folder; name another one",
        ("--target", "5"): "need an image file",
    }
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in refused.items():
        assert message in refusal(capsys, *arguments)
    # With so small a shift no float32 coordinate changes.
    monkeypatch.setenv("STYLEX_OVERRIDES", '{"attfind": {"shift": 1e-30}}')
    assert "no style coordinate brings it nearer to" in refusal(capsys, digit, *out)
    monkeypatch.chdir(root)  # not trained
    assert "latents.parquet does not exist; run the stage that makes it first" in refusal(capsys, digit, *out)
    assert sorted(tmp_path.rglob("*")) == before


def refusal(capsys, *arguments):
    """The one line of an error."""
    assert explain(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and captured.out == ""
    return captured.err


def test_what_lies_beside_an_image_stays_and_an_explanation_may_be_replaced(here, digit, tmp_path, capsys):
    photo = tmp_path / "IMG_1.jpg"
    with Image.open(digit) as image:
        image.save(photo)
    theirs = tmp_path / "IMG_1.json"
    theirs.write_text('{"camera": "X100"}')
    line = refusal(capsys, photo, "--output", tmp_path)
    assert "IMG_1.json, which is none itself; change --output" in line and theirs.read_text() == '{"camera": "X100"}'
    theirs.unlink()
    assert explain(photo, "--output", tmp_path) == 0
    assert explain(photo, "--output", tmp_path, "--method", "independent") == 0
    assert read_json(theirs)["method"] == "independent"


def test_long_names_and_names_that_are_no_text_are_explained(here, digit, tmp_path):
    for name in (b"a" * 250, b"caf\xe9"):
        copy = shutil.copy(digit, os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".png"))
        assert explain(copy, "--output", tmp_path / "out") == 0
        assert (tmp_path / "out" / f"{os.fsdecode(name)}.json").is_file()


def test_without_files_the_first_images_of_the_analysis_are_explained(here):
    assert explain() == 0
    paths = ExperimentPaths(here, NAME)
    latents = read_latents(paths.latents).under(Protocol.HELD_OUT)
    rows = zip(latents.ids, latents.labels.tolist(), latents.measured.tolist(), strict=True)
    labels = {name: label for name, label, measured in rows if measured}
    of_each_class = [[name for name in labels if labels[name] == label][:3] for label in (0, 1)]
    first = sorted([*of_each_class[0], *of_each_class[1]], key=latents.ids.index)
    for path in (paths.independent, paths.subset):
        steps = read_steps(path)
        assert list(dict.fromkeys(step["id"] for step in steps)) == first
        assert all(list(step) == list(COLUMNS) and step["step"] <= 4 for step in steps)
        for step in steps:
            decision = int(latents.reconstruction_logits[latents.ids.index(step["id"])].argmax())
            assert step["target_class"] == ("5", "3")[decision]
        origin = read_json(path.with_suffix(".provenance.json"))
        assert origin["shift"] == "2.0" and origin["attributes"] == "at most 4 for each of 6 images"
        decisions = [int(latents.reconstruction_logits[latents.ids.index(name)].argmax()) for name in first]
        assert [origin[f"images towards {name}"] for name in ("5", "3")] == [str(decisions.count(i)) for i in (0, 1)]
    subset = read_steps(paths.subset)
    for step, following in zip(subset, subset[1:], strict=False):
        if step["id"] == following["id"]:
            assert not step["flipped"] and following["step"] == step["step"] + 1
            assert following["probability_before"] == pytest.approx(step["probability_after"])
