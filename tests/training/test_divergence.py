"""NaN or infinity: back to the last good checkpoint in another order, or one clear line and the evidence."""

import itertools
import json
import re
import shutil
import signal

import pytest
import torch

from stylex.artifacts import read_table, sha256
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.networks.model import load_stylex
from stylex.training import train
from stylex.training.step import Step


def newest(paths):
    """Return the content of the newest checkpoint."""
    path = max(paths.checkpoints.glob("*-*.pt"), key=lambda path: path.stat().st_mtime_ns)
    return torch.load(path, weights_only=True)["state"]


def finite(paths):
    return all(value.isfinite().all() for value in load_stylex(paths.stylex_model).state_dict().values())


@pytest.fixture
def record(monkeypatch):
    """Replace the loop's step by one that keeps (images before it, batch), and can spoil or stop the training after the
    steps that begin at certain (rollbacks, images).
    """

    class Recorded(Step):
        seen: list = []
        poison_at, stop_at = (), ()

        def run(self):
            at = self.state.rollbacks, self.state.images
            self.seen.append((at[1], self.parts[0].reals.images))
            terms = super().run()
            if at in self.poison_at:
                with torch.no_grad():
                    self.state.weights["encoder"].vector[0] = torch.nan
            if at in self.stop_at:
                signal.raise_signal(signal.SIGTERM)
            return terms

    monkeypatch.setattr("stylex.training.step.Step", Recorded)
    return Recorded


@pytest.fixture
def failing(tiny_root, monkeypatch, capsys):
    """A function that trains by the command line and returns the one line of its error."""
    monkeypatch.chdir(tiny_root)

    def run():
        assert main(["train", "tiny", "--device", "cpu"]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    return run


def test_divergence_is_one_clear_line_and_keeps_what_was_there(tiny_root, experiment, failing, caplog):
    assert train(tiny_root, "tiny", "cpu")
    paths = ExperimentPaths(tiny_root, "tiny")
    before = {path: sha256(path) for path in paths.folder.rglob("*") if path.is_file()}
    experiment(tiny_root, {"images": 192}, {"reconstruction_x": 1e39, "r1_gamma": 0.1})
    line = failing()
    assert re.search(
        r"training of 'tiny' diverged near image 32 as before, though in another order: .* is not finite;"
        r" lower stylex\.training\.learning_rate \(0\.002\) or the weight of that loss",
        line,
    )
    assert str(paths.checkpoints.relative_to(tiny_root) / "diverged.json") in line
    assert caplog.text.count("back to image 0, new order") == 1
    assert {path: sha256(path) for path in before} == before


@pytest.mark.parametrize("change", ["configuration", "checkpoint", "evidence"])
def test_the_evidence_says_what_and_when_and_the_same_is_not_tried_again(
    tiny_root, experiment, record, failing, change
):
    experiment(tiny_root, {}, {"reconstruction_x": 1e39})
    line, folder = failing(), ExperimentPaths(tiny_root, "tiny").checkpoints
    facts = json.loads((folder / "diverged.json").read_text(), parse_constant=pytest.fail)
    # The first checkpoint is due at image 32; by then the encoder of the first step is spoilt and so are the losses.
    assert (facts["images"], facts["step"], facts["rollbacks"], facts["history"]) == (32, 4, 1, [])
    assert {"encoder", "synthesis", "reconstruction_x"} <= set(facts["not_finite"])
    assert facts["mean_losses"]["reconstruction_x"] == "nan"
    evidence = torch.load(folder / "diverged.pt", weights_only=True)
    assert evidence["state"]["counters"] == {"step": 4, "images": 32, "rollbacks": 1, "diverged_at": 32}
    assert evidence["state"]["weights"]["encoder"].isnan().any()
    (sound,) = folder.glob("*-*.pt")
    assert sound.name.startswith(f"{evidence['training_key']}-0000000000-")
    assert failing() == line and len(record.seen) == 8
    if change == "configuration":
        experiment(tiny_root, {}, {"reconstruction_x": 2e39})
    else:
        (sound if change == "checkpoint" else folder / "diverged.json").unlink()
    failing()
    assert len(record.seen) > 8


def test_a_gradient_whose_square_overflows_is_noticed(tiny_root, experiment, failing):
    # Losses and weights stay finite: Adam divides by infinity, and nothing would move any more.
    experiment(tiny_root, {}, {"reconstruction_x": 1e25})
    assert "Adam's second moment of the encoder" in failing()


def test_one_nan_is_rolled_back_and_training_finishes_in_another_order(tiny_root, record, caplog):
    record.poison_at = [(0, 56)]  # the checkpoint is at 32; the next look at the values is at 64
    assert train(tiny_root, "tiny", "cpu")
    assert "diverged near image 64: encoder" in caplog.text
    assert "back to image 32, new order" in caplog.text
    assert [images for images, _ in record.seen] == [0, 8, 16, 24, 32, 40, 48, 56, 32, 40, 48, 56, 64, 72, 80, 88]
    for (_, first), (_, second) in zip(record.seen[4:8], record.seen[8:12], strict=True):
        assert not torch.equal(first, second)
    paths = ExperimentPaths(tiny_root, "tiny")
    assert newest(paths)["counters"] == {"step": 12, "images": 96, "rollbacks": 1, "diverged_at": 64}
    history = read_table(paths.stylex_history)
    assert finite(paths) and history["images"].tolist() == [48, 96]
    assert history.drop(columns="r1").notna().all().all()
    assert not (paths.checkpoints / "diverged.json").exists()


def test_every_return_takes_another_order(tiny_root, record, experiment):
    experiment(tiny_root, {"checkpoint_interval": 64})  # looks at 48, 64 and 96 images
    record.poison_at = [(0, 40), (1, 56)]
    assert train(tiny_root, "tiny", "cpu")
    assert [images for images, _ in record.seen] == [*range(0, 48, 8), *range(0, 64, 8), *range(0, 96, 8)]
    tries = [record.seen[start : start + 6] for start in (0, 6, 14)]
    for a, b in itertools.combinations(tries, 2):
        assert not any(torch.equal(first, second) for (_, first), (_, second) in zip(a, b, strict=True))
    assert newest(ExperimentPaths(tiny_root, "tiny"))["counters"]["rollbacks"] == 2


def test_what_diverges_again_before_it_comes_further_is_given_up_at_once(record, failing):
    record.poison_at = [(0, 56), (1, 48)]
    assert "diverged near image 64 as before, though in another order: encoder is not finite" in failing()
    assert [images for images, _ in record.seen] == [*range(0, 64, 8), *range(32, 64, 8)]


def test_who_comes_further_each_time_is_given_up_after_three_returns(tiny_root, record, experiment, failing):
    experiment(tiny_root, {"checkpoint_interval": 8})
    record.poison_at = [(rollbacks, 8 + 16 * rollbacks) for rollbacks in range(4)]
    assert "diverged near image 64 after 3 returns to a checkpoint: encoder is not finite" in failing()


def test_nothing_spoilt_is_saved_when_a_signal_comes_first(tiny_root, record, caplog):
    record.poison_at = record.stop_at = [(0, 40)]
    assert not train(tiny_root, "tiny", "cpu")
    assert "back to image 32" in caplog.text
    paths = ExperimentPaths(tiny_root, "tiny")
    assert all(vector.isfinite().all() for vector in newest(paths)["weights"].values())
    assert train(tiny_root, "tiny", "cpu") and finite(paths)


@pytest.mark.parametrize("stop_at", [32, 40, 72], ids=["at once", "before a checkpoint", "after a checkpoint"])
def test_a_rolled_back_run_that_is_interrupted_and_resumed_equals_one_that_is_not(tiny_root, tmp_path, record, stop_at):
    other = shutil.copytree(tiny_root, tmp_path / "other")
    record.poison_at = [(0, 56)]
    assert train(tiny_root, "tiny", "cpu")
    record.stop_at = [(1, stop_at)]
    assert not train(other, "tiny", "cpu")
    assert newest(ExperimentPaths(other, "tiny"))["counters"]["rollbacks"] == 1
    assert train(other, "tiny", "cpu")
    models = [ExperimentPaths(root, "tiny").stylex_model.read_bytes() for root in (tiny_root, other)]
    assert models[0] == models[1]


def test_a_run_without_any_checkpoint_left_fails_clearly(tiny_root, record, failing):
    folder, run = ExperimentPaths(tiny_root, "tiny").checkpoints, record.run

    def lose_all(step):
        for path in folder.glob("*.pt"):
            path.unlink()
        return run(step)

    record.poison_at, record.run = [(0, 8)], lose_all
    assert "after 0 returns to a checkpoint" in failing()
    assert (folder / "diverged.json").is_file()
