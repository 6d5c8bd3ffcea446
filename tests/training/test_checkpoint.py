"""Checkpoints: what they hold, which one a training goes on from, and the key that says which training it is."""

import copy
import json
import logging
import os
import random
import re
import shutil

import numpy
import pandas
import pytest
import torch
import yaml

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors
from stylex.cli import main
from stylex.config import DatasetPaths, ExperimentPaths, TrainingConfig, backbone_paths, load_experiment
from stylex.source import ROOT, imported
from stylex.training import train
from stylex.training.checkpoint import (
    CHECKPOINT_FORMAT,
    CODE,
    MEASURES,
    UNDECISIVE,
    WITHOUT,
    adopt_checkpoint,
    measurement_key,
    restore_checkpoint,
    save_checkpoint,
    training_key,
)
from stylex.training.distributed import Processes
from stylex.training.run import prepare
from stylex.training.step import advance
from tests.builders import checkpoints

# Whatever has a state of its own: shifted images, R1, path lengths, both kinds of step.
CHANGES = {"max_translation": 2}
LOSSES = {"r1_interval": 2, "path_length": 2.0, "path_length_interval": 3}


def prepared(root):
    return prepare(root, "tiny", "cpu", Processes())


def take(run, state, steps):
    for _ in range(steps):
        terms = advance(state, run.config.stylex, run.frozen, run.sampler, run.processes)
        run.sums = {name: run.sums.get(name, 0) + value for name, value in terms.items()}
        run.counts = {name: run.counts.get(name, 0) + 1 for name in terms}


def everything(run, state):
    content = {"format": CHECKPOINT_FORMAT, "shapes": state.shapes(), "taken": [], "origin": run.origin}
    content |= {"measured": run.measurement_key, "state": state.dump(), "batches": run.sampler.state()}
    return content | {"sums": run.sums, "counts": run.counts}


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


def train_again(root, caplog, **options):
    """Train to the end; return what was logged, and the warnings alone."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "stylex"):
        assert train(root, "tiny", "cpu", **options)
    return caplog.text, [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.fixture
def trained(tiny_root):
    """The paths of a finished training, and its checkpoints, the newest first."""
    assert train(tiny_root, "tiny", "cpu")
    paths = ExperimentPaths(tiny_root, "tiny")
    assert checkpoints(paths.checkpoints) == [32, 64, 96]
    return paths, sorted(paths.checkpoints.glob("*.pt"), reverse=True)


# At step 0 a resumed run computes with weights that went through a checkpoint: they must still be the initial ones.
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_restored_state_continues_as_the_saved_one_does_bit_for_bit(tiny_root, experiment, steps):
    experiment(tiny_root, CHANGES, LOSSES)
    run, state = prepared(tiny_root)
    take(run, state, steps)
    save_checkpoint(run, state)
    # The one generator of the state is all the random state that there is.
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    take(run, state, 4)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before[1:]
    fresh_run, fresh_state = prepared(tiny_root)
    torch.manual_seed(5)
    take(fresh_run, fresh_state, 2)  # nothing of what was there may shine through
    assert restore_checkpoint(fresh_run, fresh_state)
    assert (fresh_state.step, fresh_state.images) == (steps, 8 * steps)
    take(fresh_run, fresh_state, 4)
    assert_same(everything(fresh_run, fresh_state), everything(run, state))
    assert_same(dict(fresh_state.networks.state_dict()), dict(state.networks.state_dict()), "networks")
    assert_same(dict(fresh_state.averaged().state_dict()), dict(state.averaged().state_dict()), "averages")


def test_a_checkpoint_holds_networks_averages_optimisers_random_state_position_and_counters(tiny_root, experiment):
    experiment(tiny_root, CHANGES, LOSSES)
    run, state = prepared(tiny_root)
    take(run, state, 3)
    save_checkpoint(run, state)
    (path,) = run.paths.checkpoints.glob("*.pt")
    assert re.fullmatch(rf"{run.key}-0000000024-[0-9a-f]{{16}}\.pt", path.name)
    content = torch.load(path, weights_only=True)
    assert_same(content, everything(run, state))
    # M has its first update at the path lengths of step 0.
    moments = [content["state"][f"{kind}_optimizer"]["state"] for kind in ("generator", "discriminator")]
    assert [len(each) for each in moments] == [3, 1]
    assert content["state"]["counters"] == {"step": 3, "images": 24, "rollbacks": 0, "diverged_at": 0}
    assert content["batches"]["position"] == 24


def flipped_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda content: content[:5000], lambda _: b"", flipped_bit])
def test_training_goes_on_behind_damaged_checkpoints_to_the_same_bytes(tiny_root, trained, caplog, damage):
    paths, (newest, *_) = trained
    model = paths.stylex_model.read_bytes()
    newest.write_bytes(damage(newest.read_bytes()))
    paths.stylex_model.unlink()
    text, _ = train_again(tiny_root, caplog)
    assert f"skipping the damaged checkpoint {newest}" in text and "resumed at 64 images" in text
    assert paths.stylex_model.read_bytes() == model
    for path in set(paths.checkpoints.glob("*.pt")) - {newest}:
        path.write_bytes(damage(path.read_bytes()))
    text, _ = train_again(tiny_root, caplog)
    assert text.count("skipping the damaged checkpoint") == 3 and "resumed" not in text


def test_checkpoints_of_others_are_set_aside_stay_and_may_go(tiny_root, experiment, trained, caplog):
    paths, (newest, *_) = trained
    experiment(tiny_root, {"learning_rate": 0.001})
    text, warnings = train_again(tiny_root, caplog)
    assert warnings == [
        "3 checkpoints of another configuration, code or data set aside, the newest of 96 images; to go on from it"
        f" nevertheless: stylex train tiny --checkpoint {newest}"
    ]
    assert f"3 checkpoints of other configurations, code or data in {paths.checkpoints}: no longer needed" in text
    assert checkpoints(paths.checkpoints) == [32, 32, 64, 64, 96, 96]


def test_the_newest_three_are_kept(tiny_root, experiment):
    experiment(tiny_root, {"checkpoint_interval": 8})
    paths, seen = ExperimentPaths(tiny_root, "tiny"), []
    leftovers = [paths.checkpoints / ".a.pt.123.tmp", paths.stylex_model.with_name(".model.safetensors.123.tmp")]
    paths.checkpoints.mkdir(parents=True)
    for path in leftovers:
        path.write_bytes(b"what a killed process was writing")
    for _ in range(5):
        assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)  # one step a call
        seen.append(checkpoints(paths.checkpoints))
    assert seen == [[0, 8], [0, 8, 16], [8, 16, 24], [16, 24, 32], [24, 32, 40]]
    assert not any(path.exists() for path in leftovers)


def test_the_newest_is_the_last_one_written_not_the_one_with_most_images(tiny_root, trained):
    os.utime(trained[1][-1])
    run, state = prepared(tiny_root)
    assert restore_checkpoint(run, state)
    assert state.images == 32


@pytest.mark.parametrize("change", [{"cache_mib": 0}, {"checkpoint_interval": 16}, {"sample_interval": 24}])
def test_what_decides_no_weight_trains_nothing_again(tiny_root, experiment, trained, caplog, change):
    paths, files = trained
    model = load_tensors(paths.stylex_model)
    experiment(tiny_root, change)
    text, warnings = train_again(tiny_root, caplog)
    assert "resumed at 96 images" in text and not warnings
    assert sorted(paths.checkpoints.glob("*.pt"), reverse=True) == files
    again = load_tensors(paths.stylex_model)
    assert_same(again[0], model[0])
    # The rest of the header says where the weights come from, and they come from there still.
    assert {name for name, value in again[1].items() if value != model[1][name]} == {"stylex_config"}


def test_a_finished_training_that_is_found_keeps_its_origin(tiny_root, trained, monkeypatch):
    paths, files = trained[0], ("stylex_model", "stylex_history")
    before = [getattr(paths, name).read_bytes() for name in files]
    monkeypatch.setattr("stylex.artifacts._git", lambda *_: "another commit")
    assert train(tiny_root, "tiny", "cpu")
    assert [getattr(paths, name).read_bytes() for name in files] == before


@pytest.mark.parametrize(
    ("budget", "resumed", "written", "rows", "warnings"),
    [
        (160, 96, [32, 64, 96, 128, 160], [48, 96, 144, 160], []),
        (52, 32, [32, 56, 64, 96], [48, 56], ["2 checkpoints beyond stylex.training.images 52, the newest of 96"]),
        (32, 32, [32, 64, 96], [32], ["2 checkpoints beyond stylex.training.images 32, the newest of 96"]),
    ],
)
def test_another_budget_goes_on_and_ends_as_a_run_of_that_length(
    tiny_root, experiment, trained, tmp_path, caplog, budget, resumed, written, rows, warnings
):
    paths = trained[0]
    experiment(tiny_root, {"images": budget})
    text, warned = train_again(tiny_root, caplog)
    assert f"resumed at {resumed} images" in text
    assert warned == [f"{each} images: not used" for each in warnings]
    assert checkpoints(paths.checkpoints) == (written[-3:] if budget > 96 else written)
    ignored = shutil.ignore_patterns("checkpoints", "model.safetensors.*")
    other = shutil.copytree(tiny_root, tmp_path / "anew", ignore=ignored)
    assert train(other, "tiny", "cpu")
    anew = ExperimentPaths(other, "tiny")
    assert_same(load_tensors(paths.stylex_model)[0], load_tensors(anew.stylex_model)[0])
    clock = ["seconds", "images_per_second"]
    one, two = (read_table(each.stylex_history).drop(columns=clock) for each in (paths, anew))
    pandas.testing.assert_frame_equal(one, two, check_exact=True)
    assert one["images"].tolist() == rows


def test_what_was_measured_otherwise_is_not_written_under_the_new_measure(tiny_root, trained, monkeypatch, caplog):
    before = read_table(trained[0].stylex_history)
    monkeypatch.setattr("stylex.training.metrics.VALIDATION_IMAGES", 32)
    monkeypatch.setattr("stylex.training.run.measurement_key", lambda *_: "as of an edit of that number")
    text, _ = train_again(tiny_root, caplog)
    assert "columns val_* up to image 96 are left empty" in text
    after = read_table(trained[0].stylex_history)
    measured = [name for name in after if name.startswith("val_")]
    assert len(measured) == 3 and after.loc[0, measured].isna().all()
    assert after.loc[1, measured].notna().all() and after.loc[1, "val_l1"] != before.loc[1, "val_l1"]
    pandas.testing.assert_frame_equal(after.drop(columns=measured), before.drop(columns=measured))


@pytest.fixture
def foreign(tiny_root, experiment, trained, monkeypatch):
    """The project, whose learning rate has changed since, and the last checkpoint before."""
    experiment(tiny_root, {"learning_rate": 0.001, "images": 160})
    monkeypatch.chdir(tiny_root)
    return tiny_root, trained[1][0].relative_to(tiny_root)


def test_a_foreign_checkpoint_is_gone_on_from_once_with_the_own_rates_and_recorded(foreign, caplog):
    root, path = foreign
    caplog.set_level(logging.INFO, "stylex")
    assert not train(root, "tiny", "cpu", time_limit_minutes=1.0, checkpoint=path)  # a minute is the margin: one step
    assert f"going on from {path} at 96 images, as asked" in caplog.text and "set aside" not in caplog.text
    caplog.clear()
    with pytest.raises(SystemExit, match="0"):
        main(["train", "tiny", "--device", "cpu", "--checkpoint", str(path)])
    assert "resumed at 104 images" in caplog.text and path.is_file()
    paths, recorded = ExperimentPaths(root, "tiny"), f"{path.name} at 96 images"
    assert read_table(paths.stylex_history)["images"].tolist() == [48, 96, 144, 160]
    assert load_tensors(paths.stylex_model)[1]["taken_checkpoint"] == recorded
    assert read_json(paths.stylex_history.with_suffix(".provenance.json"))["taken_checkpoint"] == recorded
    (newest,) = paths.checkpoints.glob("*-0000000160-*.pt")
    content = torch.load(newest, weights_only=True)
    assert content["taken"] == [recorded]
    rates = [group["lr"] for group in content["state"]["generator_optimizer"]["param_groups"]]
    assert rates == pytest.approx([0.001, 0.001 * rates[1] / rates[0]])


def test_all_but_the_loss_sums_goes_on_as_it_was(foreign, experiment):
    root, path = foreign
    run, state = prepared(root)
    adopt_checkpoint(run, state, path)
    content = torch.load(path, weights_only=True)
    assert (state.images, state.step, run.sums) == (96, 12, {})
    assert torch.equal(run.sampler.order, content["batches"]["order"]) and run.sampler.position == 96
    assert torch.equal(state.random.get_state(), content["state"]["random"])
    assert_same({name: flat.vector.detach() for name, flat in state.weights.items()}, content["state"]["weights"])
    experiment(root, {}, dataset={"name": "mnist", "one_vs_rest": "9"})
    run, state = prepared(root)
    adopt_checkpoint(run, state, path)
    assert (len(run.sampler.order), run.sampler.position) == (0, 0)  # of another number of images it begins anew


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("sizes", r"{path} does not fit: encoder\.\S+ is \[4, .*\] there and \[8, .*\] here; set stylex.networks"),
        ("budget", r"{path} has seen 96 images, beyond stylex.training.images 40: raise that"),
        ("missing", r"{path} does not exist: give a checkpoint"),
        ("renamed", r"{path} is damaged or renamed"),
        ("damaged", r"{path} is damaged or renamed"),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_from_is_one_line(foreign, experiment, capsys, case, message):
    root, path = foreign
    if case == "sizes":
        experiment(root, {}, networks={"encoder_channels": [8, 8, 4, 8]})
    elif case == "budget":
        experiment(root, {"images": 40})
    elif case == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        whole, path = path, root / "mine.pt"
        if case == "renamed":
            shutil.copy(whole, path)
    assert main(["train", "tiny", "--device", "cpu", "--checkpoint", str(path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(message.format(path=path), line)


DECISIVE = {  # of stylex.training: a value that is not that of the test
    "batch_size": 16,
    "learning_rate": 0.003,
    "encoder_learning_rate": 0.003,
    "discriminator_learning_rate": 0.001,
    "beta1": 0.25,
    "beta2": 0.75,
    "warmup_images": 16,
    "decay": 0.5,
    "ema_half_life": 7,
    "style_mixing": 0.125,
    "alternating": False,
    "autoencoder_images": 16,
    "generator_beta1": 0.5,
    "counterfactuals": 0.5,
    "mixed_conditions": 0.5,
    "told": "fake",
    "augment": ["cutout"],
    "max_translation": 3,
}
OTHERS = {
    "title": "another",
    "domain": "another",
    "attfind.images": 5,
    "stylex.training.images": 192,
    "stylex.training.accumulation": 2,
    "stylex.training.cache_mib": 0,
    "stylex.training.acceleration": {"readers": 2, "recompute": True, "compile": True, "fused_adam": False},
    "stylex.training.checkpoint_interval": 8,
    "stylex.training.sample_interval": 8,
    "stylex.training.precision.cuda": "bfloat16",
    "stylex.lpips_weights": "elsewhere.pth",
    "stylex.networks.generator_channels": {"channel_base": 32, "channel_max": 8},
}
DECISIVE = {f"stylex.training.{name}": value for name, value in DECISIVE.items()} | {
    "seed": 1,
    "dataset.classes": ["9", "4"],
    "stylex.training.precision.cpu": "bfloat16",
    "stylex.conditioning": "probabilities",
    "stylex.conditional_discriminator": False,
    "stylex.losses.classifier_divergence": "reverse",
    "stylex.losses.r1_gamma": 3.0,
    "stylex.losses.mapping": 1.0,
    "stylex.networks.mapping_layers": 3,
    "stylex.networks.clamped": True,
    "stylex.networks.condition_coordinates": 2,
    "stylex.networks.encoder_channels": [8, 8, 8, 8],
    "stylex.perceptual": "lpips-alex",
}


@pytest.fixture
def key(tiny_root):
    """Return the key of the tiny experiment as it is now, on a kind of device."""
    paths = ExperimentPaths(tiny_root, "tiny")
    return lambda device="cpu": training_key(load_experiment(tiny_root, "tiny"), paths, device)


def test_what_decides_the_weights_changes_the_key_and_nothing_else_does(tiny_root, experiment, key):
    # Which mixed_conditions asks for, and widths for which OTHERS has a rule that comes to the same.
    experiment(tiny_root, {}, networks={"condition_coordinates": 3, "generator_channels": [8, 4, 2, 1]})
    file, before = tiny_root / "config/experiments/tiny.yaml", key()
    original, seen = yaml.safe_load(file.read_text()), {before}

    def change(content, name, value):
        *sections, last = name.split(".")
        section = content = copy.deepcopy(content)
        for each in sections:
            section = section.setdefault(each, {})
        section[last] = value
        file.write_text(yaml.safe_dump(content))
        return content

    for name, value in {**OTHERS, **DECISIVE}.items():
        change(original, name, value)
        assert (key() == before) == (name in OTHERS), name
        seen.add(key())
    assert len(seen) == 1 + len(DECISIVE)
    # The length decides where the rates fall to the end.
    falling = change(original, "stylex.training.decay", 0.5)
    before = key()
    change(falling, "stylex.training.images", 192)
    assert key() != before
    listed = {name.removeprefix("stylex.training.") for name in DECISIVE if name.startswith("stylex.training.")}
    assert set(TrainingConfig.model_fields) == UNDECISIVE | {name for name in listed if "." not in name}
    assert key("cuda:0") == key("cuda:3") != key("cpu")


@pytest.mark.parametrize("network", ["classifier", "backbone"])
def test_networks_count_by_what_they_are_and_not_by_where_they_come_from(tiny_root, key, network):
    paths = ExperimentPaths(tiny_root, "tiny")
    file = paths.classifier.model if network == "classifier" else backbone_paths(tiny_root, "tiny").model
    (tensors, header), before = load_tensors(file), key()
    save_tensors(file, tensors, header | {"commit": "another", "seed": "7"})
    assert key() == before
    name = next(name for name, value in tensors.items() if value.dim() == 4)
    save_tensors(file, tensors | {name: torch.nextafter(tensors[name], torch.tensor(9.0))}, header)
    assert key() != before
    save_tensors(file, tensors, header | {"network": header["network"].replace("resnet18", "mobilenet_v2")})
    assert key() != before


def test_images_count_by_the_content_of_their_split(tiny_root, key):
    paths, config = ExperimentPaths(tiny_root, "tiny"), load_experiment(tiny_root, "tiny")
    file = DatasetPaths(tiny_root, "mnist").manifest(32)
    manifest = json.loads(file.read_text())
    before, measured = key(), measurement_key(config, paths)
    manifest["shards"]["val"][0]["sha256"] = "of other images"
    file.write_text(json.dumps(manifest | {"title": "another"}))
    assert key() == before and measurement_key(config, paths) != measured
    manifest["shards"]["train"][0]["sha256"] = "of other images"
    file.write_text(json.dumps(manifest))
    assert key() != before


def test_the_code_is_that_of_steps_and_not_of_what_shows_stores_or_measures():
    def files(*modules, without):
        found = {path for module in modules for path in imported(module, without)}
        return {path.relative_to(ROOT / "stylex").as_posix() for path in found}

    code = files(*CODE, without=(*WITHOUT, MEASURES))
    expected = {f"training/{name}.py" for name in ("run", "step", "losses", "state", "sampler", "distributed")}
    expected |= {"networks/synthesis.py", "datasets/split.py"}
    expected |= {f"classifiers/{name}.py" for name in ("perceptual", "frozen", "networks")}
    assert expected <= code
    left = {f"training/{name}.py" for name in ("loop", "checkpoint", "metrics", "launch")} | {"classifiers/training.py"}
    left |= {"pretrained.py", "distances.py", "config/models.py", "datasets/catalog.py"}
    assert not left & code
    assert {"training/metrics.py", "distances.py"} <= files(MEASURES, without=WITHOUT)
