import logging
import os
import random
import re
import shutil

import numpy
import pandas
import pytest
import torch

from stylex.artifacts import load_tensors, read_table
from stylex.config import ExperimentPaths
from stylex.training import train
from stylex.training.checkpoints import restore_checkpoint, save_checkpoint
from stylex.training.key import CHECKPOINT_FORMAT
from stylex.training.processes import Processes
from stylex.training.run import prepare
from stylex.training.step import Step

# Whatever has a state of its own: shifted images, R1, path lengths, both kinds of step.
CHANGES = {"max_translation": 2}
LOSSES = {"r1_interval": 2, "path_length": 2.0, "path_length_interval": 3}


def prepared(root):
    return prepare(root, "tiny", "cpu", Processes())


def take(run, state, steps):
    for _ in range(steps):
        reals = run.batches.next(state.random)
        terms = Step(state, run.config.stylex, run.judges, reals, run.processes).run()
        run.sums = {name: run.sums.get(name, 0) + value for name, value in terms.items()}
        run.counts = {name: run.counts.get(name, 0) + 1 for name in terms}


def everything(run, state):
    told = {"format": CHECKPOINT_FORMAT, "shapes": state.shapes(), "taken": [], "measured": run.measurement_key}
    told |= {"origin": run.origin}
    return told | {"state": state.dump(), "batches": run.batches.state(), "sums": run.sums, "counts": run.counts}


def assert_same(a, b, where="checkpoint"):
    """Compare two structures of tensors and plain values, bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}.{index}")
    else:
        assert a == b, where


def images_of(paths):
    return sorted(int(path.name.split("-")[1]) for path in paths.checkpoints.glob("*-*.pt"))


@pytest.fixture
def trained(tiny_root):
    """The paths of a finished training, and its checkpoints, the newest first."""
    assert train(tiny_root, "tiny", "cpu")
    paths = ExperimentPaths(tiny_root, "tiny")
    assert images_of(paths) == [32, 64, 96]
    return paths, sorted(paths.checkpoints.glob("*.pt"), reverse=True)


# At step 0 a resumed run computes with weights that went through a checkpoint: they must still be the initial ones.
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_restored_state_continues_as_the_saved_one_does_bit_for_bit(tiny_root, experiment, steps):
    experiment(tiny_root, CHANGES, LOSSES)
    run, state = prepared(tiny_root)
    take(run, state, steps)
    save_checkpoint(run, state)
    take(run, state, 4)
    fresh_run, fresh_state = prepared(tiny_root)
    torch.manual_seed(5)
    take(fresh_run, fresh_state, 2)  # nothing of what was there may shine through
    assert restore_checkpoint(fresh_run, fresh_state)
    assert (fresh_state.step, fresh_state.images) == (steps, 8 * steps)
    take(fresh_run, fresh_state, 4)
    assert_same(everything(fresh_run, fresh_state), everything(run, state))
    assert_same(dict(fresh_state.networks.state_dict()), dict(state.networks.state_dict()), "networks")
    assert_same(dict(fresh_state.averaged().state_dict()), dict(state.averaged().state_dict()), "averages")


def test_steps_leave_the_global_generators_alone(tiny_root, experiment):
    # So the one generator of the state is all the random state that there is.
    experiment(tiny_root, CHANGES, LOSSES)
    run, state = prepared(tiny_root)
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    own = state.random.get_state()
    take(run, state, 4)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before[1:]
    assert not torch.equal(state.random.get_state(), own)


def test_a_checkpoint_holds_networks_averages_optimisers_random_state_position_and_counters(tiny_root, experiment):
    experiment(tiny_root, CHANGES, LOSSES)
    run, state = prepared(tiny_root)
    take(run, state, 3)
    save_checkpoint(run, state)
    (path,) = run.paths.checkpoints.glob("*.pt")
    assert re.fullmatch(rf"{run.key}-0000000024-[0-9a-f]{{16}}\.pt", path.name)
    content = torch.load(path, weights_only=True)
    assert_same(content, everything(run, state))
    assert content["state"]["weights"].keys() == {"encoder", "mapping", "synthesis", "discriminator"}
    assert content["state"]["averages"].keys() >= {"encoder", "mapping", "synthesis"}
    # M has its first update at the path lengths of step 0.
    for kind, networks in (("generator", 3), ("discriminator", 1)):
        moments = content["state"][f"{kind}_optimizer"]["state"]
        assert len(moments) == networks
        assert all(each["exp_avg"].any() and each["exp_avg_sq"].any() and each["step"] for each in moments.values())
    assert torch.equal(content["state"]["random"], state.random.get_state())
    assert content["state"]["counters"] == {"step": 3, "images": 24, "rollbacks": 0, "diverged_at": 0}
    assert content["batches"]["position"] == 24
    assert sorted(content["batches"]["order"].tolist()) == list(range(len(run.batches.split)))


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit])
def test_a_damaged_checkpoint_is_named_and_skipped_and_the_one_before_is_used(tiny_root, trained, caplog, damage):
    _, (newest, *_) = trained
    damage(newest)
    run, state = prepared(tiny_root)
    assert restore_checkpoint(run, state)
    assert state.images == 64
    assert f"skipping the damaged checkpoint {newest}" in caplog.text


def test_training_goes_on_behind_a_damaged_checkpoint_to_the_same_bytes(tiny_root, trained, caplog):
    paths, (newest, middle, _) = trained
    model = paths.stylex_model.read_bytes()
    truncate(newest)
    flip_a_bit(middle)
    paths.stylex_model.unlink()
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert "resumed at 32 images" in caplog.text
    assert paths.stylex_model.read_bytes() == model


def test_with_no_sound_checkpoint_training_starts_from_the_beginning(tiny_root, trained, caplog):
    _, checkpoints = trained
    for path in checkpoints:
        truncate(path)
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert caplog.text.count("skipping the damaged checkpoint") == 3
    assert "resumed" not in caplog.text


def test_checkpoints_of_another_configuration_are_set_aside_in_one_line(tiny_root, experiment, trained, caplog):
    paths, (newest, *_) = trained
    experiment(tiny_root, {"learning_rate": 0.001})
    caplog.clear()
    assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)
    line = (
        "3 checkpoints of another configuration, code or data set aside, the newest of 96 images; to go on from it"
        f" nevertheless: stylex train tiny --checkpoint {newest}"
    )
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [line]
    assert images_of(paths) == [0, 8, 32, 64, 96]


def test_the_newest_three_are_kept(tiny_root, experiment):
    experiment(tiny_root, {"checkpoint_interval": 8})
    paths, seen = ExperimentPaths(tiny_root, "tiny"), []
    for _ in range(5):
        assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)  # one step a call
        seen.append(images_of(paths))
    assert seen == [[0, 8], [0, 8, 16], [8, 16, 24], [16, 24, 32], [24, 32, 40]]
    assert train(tiny_root, "tiny", "cpu")
    assert images_of(paths) == [80, 88, 96]


def test_the_newest_is_the_last_one_written_not_the_one_with_most_images(tiny_root, trained):
    _, checkpoints = trained
    os.utime(checkpoints[-1])
    run, state = prepared(tiny_root)
    assert restore_checkpoint(run, state)
    assert state.images == 32


def test_checkpoints_of_others_stay_and_the_end_says_that_they_may_go(tiny_root, experiment, trained, caplog):
    paths, foreign = trained
    experiment(tiny_root, {"learning_rate": 0.001})
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert all(path.is_file() for path in foreign)
    assert images_of(paths) == [32, 32, 64, 64, 96, 96]
    line = f"3 checkpoints of other configurations, code or data in {paths.checkpoints}: no longer needed"
    assert any(record.getMessage().startswith(line) for record in caplog.records)


@pytest.mark.parametrize("change", [{"cache_mib": 0}, {"checkpoint_interval": 16}, {"sample_interval": 24}])
def test_what_decides_no_weight_trains_nothing_again(tiny_root, experiment, trained, caplog, change):
    paths, checkpoints = trained
    model = load_tensors(paths.stylex_model)
    experiment(tiny_root, change)
    caplog.clear()
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert "resumed at 96 images" in caplog.text and "WARNING" not in caplog.text
    assert sorted(paths.checkpoints.glob("*.pt"), reverse=True) == checkpoints
    again = load_tensors(paths.stylex_model)
    assert_same(again[0], model[0])
    changed = {"stylex_config"}  # the rest says where the weights come from, and they come from there still
    assert {name for name, value in again[1].items() if value != model[1][name]} == changed


def test_a_finished_training_that_is_found_keeps_its_origin(tiny_root, trained, monkeypatch):
    paths, files = trained[0], ("stylex_model", "stylex_history")
    before = [getattr(paths, name).read_bytes() for name in files]
    monkeypatch.setattr("stylex.artifacts._git", lambda *_: "another commit")
    assert train(tiny_root, "tiny", "cpu")
    assert [getattr(paths, name).read_bytes() for name in files] == before


def anew(root, tmp_path):
    """Train the same in a project without checkpoints; return its weights."""
    ignored = shutil.ignore_patterns("checkpoints", "model.safetensors.*")
    other = shutil.copytree(root, tmp_path / "anew", ignore=ignored)
    assert train(other, "tiny", "cpu")
    return load_tensors(ExperimentPaths(other, "tiny").stylex_model)[0]


def test_a_larger_budget_goes_on_and_ends_with_the_bits_of_a_run_of_that_length(
    tiny_root, experiment, trained, tmp_path, caplog
):
    experiment(tiny_root, {"images": 160})
    caplog.clear()
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    assert "resumed at 96 images" in caplog.text and "WARNING" not in caplog.text
    assert_same(load_tensors(trained[0].stylex_model)[0], anew(tiny_root, tmp_path))
    assert read_table(trained[0].stylex_history)["images"].tolist() == [48, 96, 144, 160]


def test_a_smaller_budget_takes_the_newest_that_is_not_beyond_it(tiny_root, experiment, trained, tmp_path, caplog):
    paths, checkpoints = trained
    experiment(tiny_root, {"images": 52})
    caplog.clear()
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(tiny_root, "tiny", "cpu")
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["2 checkpoints beyond stylex.training.images 52, the newest of 96 images: not used"]
    assert "resumed at 32 images" in caplog.text
    assert all(path.is_file() for path in checkpoints) and images_of(paths) == [32, 56, 64, 96]
    assert_same(load_tensors(paths.stylex_model)[0], anew(tiny_root, tmp_path))


def test_a_budget_that_a_checkpoint_meets_has_the_history_of_a_run_of_that_length(
    tiny_root, experiment, trained, tmp_path
):
    experiment(tiny_root, {"images": 32})
    assert train(tiny_root, "tiny", "cpu")
    expected = anew(tiny_root, tmp_path)
    paths, other = trained[0], ExperimentPaths(tmp_path / "anew", "tiny")
    assert_same(load_tensors(paths.stylex_model)[0], expected)
    clock = ["seconds", "images_per_second"]
    one, two = (read_table(each.stylex_history).drop(columns=clock) for each in (paths, other))
    pandas.testing.assert_frame_equal(one, two, check_exact=True)
    assert one["images"].tolist() == [32]


def test_what_was_measured_otherwise_is_not_written_under_the_new_measure(tiny_root, trained, monkeypatch, caplog):
    before = read_table(trained[0].stylex_history)
    monkeypatch.setattr("stylex.training.measure.VALIDATION_IMAGES", 32)
    monkeypatch.setattr("stylex.training.run.measurement_key", lambda *_: "as of an edit of that number")
    assert train(tiny_root, "tiny", "cpu")
    assert "columns val_* up to image 96 are left empty" in caplog.text
    after = read_table(trained[0].stylex_history)
    measured = [name for name in after if name.startswith("val_")]
    assert len(measured) == 3 and after.loc[0, measured].isna().all()
    assert after.loc[1, measured].notna().all() and after.loc[1, "val_l1"] != before.loc[1, "val_l1"]
    pandas.testing.assert_frame_equal(after.drop(columns=measured), before.drop(columns=measured))


def test_what_a_killed_process_was_writing_is_removed_at_the_start(tiny_root, experiment):
    paths = ExperimentPaths(tiny_root, "tiny")
    paths.checkpoints.mkdir(parents=True)
    leftovers = [paths.checkpoints / ".a.pt.123.tmp", paths.stylex_model.with_name(".model.safetensors.123.tmp")]
    for path in leftovers:
        path.write_bytes(b"half a file")
    assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)
    assert not any(path.exists() for path in leftovers)
