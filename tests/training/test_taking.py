"""`stylex train --checkpoint`: going on, on purpose, from a checkpoint of another training."""

import logging
import re
import shutil

import pytest
import torch
import yaml

from stylex.artifacts import load_tensors, read_json, read_table
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.training import train
from stylex.training.checkpoints import take_checkpoint
from stylex.training.processes import Processes
from stylex.training.run import prepare


@pytest.fixture
def taken(tiny_root, experiment, monkeypatch):
    """The project, whose learning rate has changed since, and the last checkpoint before."""
    assert train(tiny_root, "tiny", "cpu")
    (path,) = ExperimentPaths(tiny_root, "tiny").checkpoints.glob("*-0000000096-*.pt")
    experiment(tiny_root, {"learning_rate": 0.001, "images": 160})
    monkeypatch.chdir(tiny_root)
    return tiny_root, path.relative_to(tiny_root)


def refused(capsys, path, *arguments):
    assert main(["train", "tiny", "--device", "cpu", "--checkpoint", str(path), *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_training_goes_on_from_it_with_its_own_rates_and_says_so_in_the_results(taken, caplog):
    root, path = taken
    with caplog.at_level(logging.INFO, "stylex"), pytest.raises(SystemExit, match="0"):
        main(["train", "tiny", "--device", "cpu", "--checkpoint", str(path)])
    assert f"going on from {path} at 96 images, as asked" in caplog.text and "set aside" not in caplog.text
    paths = ExperimentPaths(root, "tiny")
    assert read_table(paths.stylex_history)["images"].tolist() == [48, 96, 144, 160]
    recorded = f"{path.name} at 96 images"
    assert load_tensors(paths.stylex_model)[1]["taken_checkpoint"] == recorded
    assert read_json(paths.stylex_history.with_suffix(".provenance.json"))["taken_checkpoint"] == recorded
    (newest,) = paths.checkpoints.glob("*-0000000160-*.pt")
    content = torch.load(newest, weights_only=True)
    assert content["taken"] == [recorded]
    rates = [group["lr"] for group in content["state"]["generator_optimizer"]["param_groups"]]
    assert rates == pytest.approx([0.001, 0.001 * rates[1] / rates[0]]) and path.is_file()


def test_the_same_command_resumes_and_later_runs_remember_it(taken, caplog):
    root, path = taken
    for _ in range(2):  # a minute is the margin: one step a call
        assert not train(root, "tiny", "cpu", time_limit_minutes=1.0, checkpoint=path)
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(root, "tiny", "cpu")
    assert "resumed at 112 images" in caplog.text
    header = load_tensors(ExperimentPaths(root, "tiny").stylex_model)[1]
    assert header["taken_checkpoint"] == f"{path.name} at 96 images"


def test_all_but_the_loss_sums_goes_on_as_it_was(taken, experiment):
    root, path = taken
    experiment(root, {})
    run, state = prepare(root, "tiny", "cpu", Processes())
    take_checkpoint(run, state, path)
    content = torch.load(path, weights_only=True)
    assert (state.images, state.step, run.sums) == (96, 12, {})
    assert torch.equal(run.batches.order, content["batches"]["order"]) and run.batches.position == 96
    assert torch.equal(state.random.get_state(), content["state"]["random"])
    for name, flat in state.weights.items():
        assert torch.equal(flat.vector, content["state"]["weights"][name])


def test_of_another_number_of_images_the_order_begins_anew(taken):
    root, path = taken
    file = root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(file.read_text())
    content["dataset"] = {"name": "mnist", "one_vs_rest": "9"}
    file.write_text(yaml.safe_dump(content))
    run, state = prepare(root, "tiny", "cpu", Processes())
    take_checkpoint(run, state, path)
    assert (len(run.batches.order), run.batches.position) == (0, 0)


def test_networks_of_other_sizes_are_refused_by_name(taken, capsys):
    root, path = taken
    file = root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(file.read_text())
    content["stylex"]["networks"]["encoder_channels"] = [8, 8, 4, 8]
    file.write_text(yaml.safe_dump(content))
    line = refused(capsys, path)
    assert re.search(rf"{path} does not fit: encoder\.\S+ is \[4, .*\] there and \[8, .*\] here; set", line)
    assert not list(ExperimentPaths(root, "tiny").checkpoints.glob("*-0000000000-*.pt"))


def test_one_beyond_the_budget_is_refused(taken, experiment, capsys):
    root, path = taken
    experiment(root, {"images": 40})
    assert f"{path} has seen 96 images, beyond stylex.training.images 40: raise" in refused(capsys, path)


def test_a_missing_a_renamed_and_a_damaged_one_are_refused(taken, capsys):
    root, path = taken
    assert "nowhere.pt does not exist: give a checkpoint" in refused(capsys, root / "nowhere.pt")
    shutil.copy(path, root / "mine.pt")
    assert "mine.pt is damaged or renamed" in refused(capsys, root / "mine.pt")
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{path} is damaged or renamed" in refused(capsys, path)
