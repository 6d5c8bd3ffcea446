"""The key of a training: what decides the weights changes it, and nothing else does."""

import json

import pytest
import torch
import yaml

from stylex.artifacts import load_tensors, save_tensors
from stylex.config import DatasetPaths, ExperimentPaths, TrainingConfig, backbone_paths, load_experiment
from stylex.source import ROOT, imported
from stylex.training.key import CODE, MEASURES, UNDECISIVE, WITHOUT, measurement_key, training_key

NAME = "tiny"
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
    "stylex.training.compile": True,
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
    return lambda device="cpu": training_key(load_experiment(tiny_root, NAME), ExperimentPaths(tiny_root, NAME), device)


def change(root, name, value):
    """Set one key of the experiment, by its dotted name."""
    file = root / f"config/experiments/{NAME}.yaml"
    content = section = yaml.safe_load(file.read_text())
    *sections, last = name.split(".")
    for each in sections:
        section = section.setdefault(each, {})
    section[last] = value
    file.write_text(yaml.safe_dump(content))


def test_what_decides_the_weights_changes_the_key_and_nothing_else_does(tiny_root, key):
    change(tiny_root, "stylex.networks.condition_coordinates", 3)  # which mixed_conditions asks for
    change(tiny_root, "stylex.networks.generator_channels", [8, 4, 2, 1])  # OTHERS has a rule that comes to the same
    file = tiny_root / f"config/experiments/{NAME}.yaml"
    text, before = file.read_text(), key()
    seen = {before}
    for name, value in {**OTHERS, **DECISIVE}.items():
        file.write_text(text)
        change(tiny_root, name, value)
        assert (key() == before) == (name in OTHERS), name
        seen.add(key())
    assert len(seen) == 1 + len(DECISIVE)


def test_the_length_decides_where_the_rates_fall_to_the_end(tiny_root, key):
    change(tiny_root, "stylex.training.decay", 0.5)
    before = key()
    change(tiny_root, "stylex.training.images", 192)
    assert key() != before


def test_every_key_of_the_training_is_said_to_decide_or_not():
    told = {name.removeprefix("stylex.training.") for name in DECISIVE if name.startswith("stylex.training.")}
    assert set(TrainingConfig.model_fields) == UNDECISIVE | {name for name in told if "." not in name}


def test_kinds_of_device_differ_and_cards_of_a_kind_do_not(key):
    assert key("cuda:0") == key("cuda:3") != key("cpu")


@pytest.mark.parametrize("network", ["classifier", "backbone"])
def test_networks_count_by_what_they_are_and_not_by_where_they_come_from(tiny_root, key, network):
    paths = ExperimentPaths(tiny_root, NAME)
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
    paths, config = ExperimentPaths(tiny_root, NAME), load_experiment(tiny_root, NAME)
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
    expected = {f"losses/{name}.py" for name in ("adversarial", "classifier", "reconstruction", "regularization")}
    expected |= {
        f"training/{name}.py" for name in ("step", "state", "batches", "draws", "judges", "weights", "augment")
    }
    expected |= {"networks/synthesis.py", "classifiers/perceptual.py", "classifiers/wrapper.py", "datasets/split.py"}
    assert expected <= code
    left = {f"training/{name}.py" for name in ("loop", "board", "checkpoints", "measure", "launch", "key")}
    left |= {"classifiers/training.py", "pretrained.py", "distances.py", "config/models.py", "datasets/catalog.py"}
    assert not left & code
    assert {"training/measure.py", "distances.py"} <= files(MEASURES, without=WITHOUT)
