import logging
import re

import pytest
import torch

from stylex.artifacts import read_table, sha256
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.networks.model import load_stylex
from stylex.training import train


@pytest.fixture
def undisturbed(tiny_root):
    assert train(tiny_root, "tiny", "cpu")
    return load_stylex(ExperimentPaths(tiny_root, "tiny").stylex_model).state_dict()


def test_training_writes_model_history_samples_and_moves_the_weights(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    assert history["images"].tolist() == [48, 96]
    finite = {"d_adversarial", "g_adversarial", "reconstruction_x", "reconstruction_perceptual", "reconstruction_w"}
    assert history[[*finite, "classifier", "val_l1", "val_class_kept"]].notna().all().all()
    assert paths.stylex_samples.read_bytes().startswith(b"\x89PNG")
    assert len(list(paths.checkpoints.glob("*.pt"))) == 2
    assert undisturbed["synthesis.layers.3.weight"].std() != 1


def test_interrupted_twice_and_resumed_equals_undisturbed_bit_for_bit(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    for file in paths.checkpoints.iterdir():
        file.unlink()
    paths.stylex_model.unlink()
    for _ in range(2):
        assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)  # a minute is the margin: one step a call
    assert train(tiny_root, "tiny", "cpu")
    resumed = load_stylex(paths.stylex_model).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in undisturbed.items())


def test_torn_and_foreign_checkpoints_are_named_and_skipped(tiny_root, experiment, undisturbed, caplog):
    paths = ExperimentPaths(tiny_root, "tiny")
    newest, older = sorted(paths.checkpoints.glob("*.pt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:5000])
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert f"skipping the damaged checkpoint {newest}" in caplog.text
    assert f"resumed from {older}" in caplog.text
    caplog.clear()
    experiment(tiny_root, {"learning_rate": 0.001})
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert "belongs to another configuration" in caplog.text
    assert "resumed" not in caplog.text
    assert older.is_file()


def test_divergence_is_one_clear_line_exit_code_2_and_keeps_what_was_there(
    tiny_root, experiment, undisturbed, monkeypatch, capsys
):
    paths = ExperimentPaths(tiny_root, "tiny")
    before = {path: sha256(path) for path in paths.folder.rglob("*") if path.is_file()}
    experiment(tiny_root, {"images": 192}, {"reconstruction_x": 1e39, "r1_gamma": 0.1})
    monkeypatch.chdir(tiny_root)
    assert main(["train", "tiny", "--device", "cpu"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(r"training of 'tiny' diverged near image \d+: .* is not finite; lower stylex.training", line)
    assert {path: sha256(path) for path in before} == before
