"""A whole training: what it writes and logs, that it resumes and repeats itself, and what it measures."""

import dataclasses
import sys

import numpy
import pandas
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.models import alexnet

from stylex.artifacts import read_table, sha256
from stylex.config import ExperimentPaths, weights_path
from stylex.datasets import load_split
from stylex.errors import ConfigError
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.pretrained import WEIGHTS
from stylex.quantization import to_uint8
from stylex.training import train
from stylex.training.distributed import Processes
from stylex.training.metrics import GRID_COLUMNS, VALIDATION_IMAGES, Validation
from stylex.training.run import prepare
from stylex.training.state import FlatWeights

LOSSES = ["d_adversarial", "r1", "g_adversarial", "reconstruction_x", "reconstruction_perceptual", "reconstruction_w"]
RATES = ["learning_rate", "encoder_learning_rate", "discriminator_learning_rate"]
MEASURED = [*RATES, "val_l1", "val_class_kept", "val_frechet_distance"]
CLOCK = ["seconds", "images_per_second"]


@pytest.fixture
def undisturbed(tiny_root):
    assert train(tiny_root, "tiny", "cpu")
    return load_stylex(ExperimentPaths(tiny_root, "tiny").stylex_model).state_dict()


def start_anew(paths):
    for file in (*paths.checkpoints.iterdir(), paths.stylex_model, paths.stylex_history):
        file.unlink()


def test_training_writes_model_history_and_samples(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    assert history.columns.tolist() == ["images", *CLOCK, *LOSSES, "classifier", *MEASURED]
    assert history["images"].tolist() == [48, 96]
    assert history.drop(columns="r1").notna().all().all()
    assert history["r1"].notna().tolist() == [True, False]  # computed at the first step only (r1_interval 16)
    speed = history["images"].diff().fillna(history["images"]) / history["seconds"].diff().fillna(history["seconds"])
    assert history["images_per_second"].tolist() == pytest.approx(speed.tolist())
    assert paths.stylex_samples.read_bytes().startswith(b"\x89PNG")
    # The model is the averaged one: a replication analysed the raw generator.
    newest = max(paths.checkpoints.glob("*.pt"), key=lambda path: int(path.stem.split("-")[1]))
    state, networks = torch.load(newest, weights_only=True)["state"], load_stylex(paths.stylex_model)
    for name in ("synthesis", "mapping", "encoder"):
        written = FlatWeights(getattr(networks, name), torch.float32).vector
        torch.testing.assert_close(written, state["averages"][name], rtol=1e-5, atol=1e-6)
        assert (written - state["weights"][name]).abs().max() > 1e-4
    written = FlatWeights(networks.discriminator, torch.float32).vector  # D as it is now
    torch.testing.assert_close(written, state["weights"]["discriminator"], rtol=1e-5, atol=1e-6)


def test_the_history_has_the_rates_of_the_last_step(tiny_root, experiment):
    experiment(tiny_root, {"decay": 0.5, "discriminator_learning_rate": 0.001})
    assert train(tiny_root, "tiny", "cpu")
    history = read_table(ExperimentPaths(tiny_root, "tiny").stylex_history)
    # Rows after 48 and 96 images of 96, steps of 8: the last step follows 88, of which the second half falls.
    assert history["learning_rate"].tolist() == pytest.approx([0.002, 0.002 * 8 / 48])
    assert history["discriminator_learning_rate"].tolist() == pytest.approx([0.001, 0.001 * 8 / 48])


def test_interrupted_twice_and_resumed_equals_undisturbed_bit_for_bit(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    start_anew(paths)
    for _ in range(2):
        assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)  # a minute is the margin: one step a call
    assert train(tiny_root, "tiny", "cpu")
    resumed = load_stylex(paths.stylex_model).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in undisturbed.items())
    # The means of a row include the steps before the interruption.
    again = read_table(paths.stylex_history)
    pandas.testing.assert_frame_equal(again.drop(columns=CLOCK), history.drop(columns=CLOCK), check_exact=True)


def test_the_same_seed_gives_the_same_bytes_and_another_other_weights(tiny_root, undisturbed, experiment):
    paths = ExperimentPaths(tiny_root, "tiny")
    artifacts = (paths.stylex_model, paths.stylex_samples)
    first = [path.read_bytes() for path in artifacts]
    start_anew(paths)
    torch.manual_seed(1)  # which has no say in it
    assert train(tiny_root, "tiny", "cpu")
    assert [path.read_bytes() for path in artifacts] == first
    experiment(tiny_root, {}, seed=1)
    assert train(tiny_root, "tiny", "cpu")
    name = "synthesis.layers.3.weight"
    assert not torch.equal(load_stylex(paths.stylex_model).state_dict()[name], undisturbed[name])


def test_tensorboard_gets_each_column_as_a_curve_over_the_images(tiny_root, monkeypatch):
    assert train(tiny_root, "tiny", "cpu", tensorboard=True)
    paths = ExperimentPaths(tiny_root, "tiny")
    history, events = read_table(paths.stylex_history), EventAccumulator(str(paths.tensorboard))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(history) - {"images"}
    assert [event.step for event in events.Scalars("val_l1")] == [48, 96]
    assert [event.value for event in events.Scalars("val_l1")] == pytest.approx(history["val_l1"].tolist())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        train(tiny_root, "tiny", "cpu", tensorboard=True)


def test_training_and_encoding_take_lpips_from_the_weights_file(tiny_root, experiment, monkeypatch):
    path = weights_path(tiny_root, "alexnet")
    path.parent.mkdir(parents=True)
    state = alexnet(weights=None).state_dict()
    unused = {key: torch.zeros(1).expand(value.shape) for key, value in state.items() if key.startswith("classifier")}
    torch.save(state | unused, path)
    published = dataclasses.replace(WEIGHTS["alexnet"].file, sha256=sha256(path))
    monkeypatch.setitem(WEIGHTS, "alexnet", dataclasses.replace(WEIGHTS["alexnet"], file=published))
    training = {"images": 32, "sample_interval": 16, "precision": {"cpu": "bfloat16"}}
    experiment(tiny_root, training, perceptual="lpips-alex", attfind={"images": 6})

    assert train(tiny_root, "tiny", "cpu")
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    assert (history["reconstruction_perceptual"] > 0).all() and history["val_frechet_distance"].notna().all()
    encode(tiny_root, "tiny", "cpu")
    latents = read_latents(paths.latents)
    assert latents.provenance["perceptual"] == "lpips-alex"
    assert (latents.reconstruction_perceptual > 0).all()


def test_validation_and_samples_show_all_classes_of_a_split_sorted_by_class(trained_root, tmp_path):
    run, state = prepare(trained_root, "tiny", "cpu", Processes())
    split = load_split(trained_root, run.config.dataset, "train")
    order = split.labels.argsort(stable=True)
    in_folders = split.part(order)
    assert split.labels.bincount().min() > VALIDATION_IMAGES, "the first ones would be of one class"
    label_of = {
        to_uint8(image).numpy().tobytes(): int(label)
        for image, label in zip(in_folders.images(), in_folders.labels, strict=True)
    }

    def counted(images):
        return numpy.bincount([label_of[image.tobytes()] for image in images], minlength=2).tolist()

    validation = Validation(in_folders, run.frozen, "cpu")
    assert counted(to_uint8(validation.images).numpy()) == [VALIDATION_IMAGES // 2] * 2
    validation.write_samples(tmp_path / "samples.png", state.averaged(), 0)
    grid, side = numpy.array(Image.open(tmp_path / "samples.png")), split.resolution
    originals = [grid[:side, side * column : side * (column + 1)] for column in range(GRID_COLUMNS)]
    assert counted(originals) == [GRID_COLUMNS // 2] * 2
