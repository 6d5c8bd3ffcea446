"""Training on the simulated device: the numbers are those of a CPU, and a step never waits but where it is said."""

import io
from typing import NamedTuple

import pandas
import pytest
import torch
from torchvision import models

from stylex.artifacts import load_tensors, read_table
from stylex.classifiers import Classifier, FeatureBackbone, LpipsFeatures, build_network, fine_tune
from stylex.config import StylexConfig, experiment_paths, load_experiment
from stylex.datasets import ImageSplit
from stylex.training import losses, run, step
from stylex.training.checkpoint import training_key
from stylex.training.distributed import Processes
from stylex.training.loop import train
from stylex.training.metrics import Validation
from stylex.training.sampler import BatchSampler, FrozenNetworks
from stylex.training.state import initial_state, training_dtype
from tests.builders import configure, describe
from tests.conftest import REPOSITORY
from tests.devices.conftest import EXPERIMENT, TINY
from tests.devices.simulated import NAME, MixedDevicesError, simulated_device
from tests.devices.waits import BATCH, CLASSIFIER, DIAGNOSIS, EPOCH, MIXED, STEP, TRAINING, VALIDATION, beyond

IMAGES = 24
LOW = {"precision": {"cpu": "bfloat16", "cuda": "bfloat16"}}
MIXING = {"training": {"mixed_conditions": 0.5, "counterfactuals": 0.25}, "networks": {"condition_coordinates": 3}}


class Case(NamedTuple):
    """Steps of an experiment whose networks are made narrow, with some options changed."""

    experiment: str
    options: dict = {}  # noqa: RUF012
    steps: int = 2
    autoencoder: bool = False
    allowed: dict = STEP
    lpips: bool = False


CASES = {
    "cpu-32": Case("mnist"),
    "cpu-32, autoencoder": Case("mnist", steps=1, autoencoder=True),
    "cpu-32, half of them counterfactuals": Case("mnist", {"training": {"counterfactuals": 0.5}}),
    "cpu-32, mixed conditions": Case("mnist", MIXING, allowed=MIXED),
    "cpu-32, without cache, shifted": Case("mnist", {"training": {"cache_mib": 0, "max_translation": 2}}),
    "cpu-32, bfloat16": Case("mnist", {"training": LOW}),
    "model1-64": Case("ffhq-gender-64-model1", lpips=True),
    "model1-64, accumulated": Case("ffhq-gender-64-model1", {"training": {"accumulation": 2}}),
    "model1-64, bfloat16": Case("ffhq-gender-64-model1", {"training": LOW}, lpips=True),
    "model2-64": Case("ffhq-gender-64-model2"),
    "stylex-256": Case("ffhq-age-256", {"training": {"batch_size": 2}, "networks": {"minibatch_stddev_group": 2}}),
}


def random_alexnet():
    with torch.device("meta"):
        empty = models.alexnet(weights=None).state_dict()
    random = torch.Generator().manual_seed(0)
    unused = torch.zeros(1)  # of layers behind the features
    return {
        key: 0.05 * torch.randn(value.shape, generator=random) if "features" in key else unused.expand(value.shape)
        for key, value in empty.items()
    }


class Training:
    """A training on random images, of which every second is of the other class."""

    def __init__(self, case, device):
        experiment = load_experiment(REPOSITORY, case.experiment)
        side, content = experiment.dataset.resolution, experiment.stylex.model_dump(mode="json")
        widths = [8] * (side.bit_length() - 3) + [4]
        narrow = {f"{kind}_channels": widths for kind in ("generator", "encoder", "discriminator")}
        content["networks"] |= narrow | {"latent_dim": 8, "mapping_layers": 2} | case.options.get("networks", {})
        float32 = {"batch_size": 8, "precision": {"cpu": "float32", "cuda": "float32"}}
        content["training"] |= float32 | case.options.get("training", {})
        self.config = StylexConfig.model_validate(content)
        pixels = torch.randint(0, 256, (IMAGES, 3, side, side), generator=torch.Generator().manual_seed(5))
        labels, ids, rows = torch.arange(IMAGES) % 2, [str(row) for row in range(IMAGES)], torch.arange(IMAGES).numpy()
        self.split = ImageSplit(labels, ids, ("a", "b"), 3, side, pixels.byte().numpy(), rows)
        torch.manual_seed(1)
        classifier, backbone = (
            kind(build_network("resnet18", 3, 2, 0.125), describe(role, ("a", "b"), 3, side)).to(device)
            for kind, role in ((Classifier, "classifier"), (FeatureBackbone, "backbone"))
        )
        perceptual = LpipsFeatures("lpips-alex", random_alexnet()).to(device) if case.lpips else None
        self.frozen = FrozenNetworks(classifier, backbone, training_dtype(self.config.training, device), perceptual)
        self.state = initial_state(self.config, side, 3, 2, 0, device)
        self.state.images = 0 if case.autoencoder else self.config.training.autoencoder_images
        self.sampler = BatchSampler(self.split, self.frozen, self.config, Processes(), device)

    def advance(self):
        return step.advance(self.state, self.config, self.frozen, self.sampler, Processes())

    def weights(self):
        return {name: flat.vector.detach().cpu() for name, flat in self.state.weights.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_step_gives_the_numbers_of_a_cpu_and_waits_as_often_as_stated(case):
    here, low = Training(case, "cpu"), case.options.get("training", {}).get("precision") is not None
    expected = [here.advance() for _ in range(case.steps)]
    parts = here.config.training.accumulation
    with simulated_device() as device:
        there, found = Training(case, NAME), []
        for number in range(case.steps):
            device.waits.clear()
            found.append(there.advance())
            epoch = EPOCH if number == 0 else {}
            allowed = {key: count * parts for key, count in case.allowed.items()}
            assert not beyond(device.counts(), BATCH, epoch, allowed)
        weights = there.weights()
        assert all(value.device.type == NAME for terms in found for value in terms.values())
        found = [{name: value.cpu() for name, value in terms.items()} for terms in found]
    assert [terms.keys() for terms in found] == [terms.keys() for terms in expected]
    close = {"rtol": 0.1, "atol": 0.01} if low else {"rtol": 1e-5, "atol": 1e-6}
    for name in found[0]:
        torch.testing.assert_close(found[0][name], expected[0][name], **close, msg=name)
    if not low:  # there Adam, whose moments are new, divides a rounded gradient by its own size
        for name, vector in here.weights().items():
            torch.testing.assert_close(weights[name], vector, rtol=1e-4, atol=1e-5, msg=name)


def test_path_lengths_r1_and_both_kinds_of_steps_are_among_these():
    with simulated_device():
        training = Training(CASES["model1-64"], NAME)
        terms = [training.advance().keys() for _ in range(2)]
    assert {"r1", "path_length", "reconstruction_w"} <= terms[0] and "reconstruction_w" not in terms[1]


def test_a_state_from_the_device_is_restored_there():
    with simulated_device():
        training = Training(CASES["cpu-32"], NAME)
        training.advance()
        file = io.BytesIO()
        torch.save(training.state.dump(), file)
        file.seek(0)
        other, position = Training(CASES["cpu-32"], NAME), training.sampler.state()
        other.state.restore(torch.load(file, weights_only=True))
        other.sampler.restore(position)
        assert {name: float(value) for name, value in training.advance().items()} == {
            name: float(value) for name, value in other.advance().items()
        }


def test_validation_gives_the_numbers_of_a_cpu():
    found = {}
    for place in ("cpu", NAME):
        with simulated_device() as device:
            training = Training(CASES["cpu-32"], place)
            validation = Validation(training.split, training.frozen, place)
            device.waits.clear()
            found[place] = validation.measure(training.state.averaged())
            assert place == "cpu" or not beyond(device.counts(), VALIDATION)
    assert found[NAME] == pytest.approx(found["cpu"], rel=1e-5)


def test_a_whole_training_with_its_files(project, monkeypatch):
    """Batches, checks, checkpoints, history, samples, weights and diagnosis; the key knows CPUs and CUDA only."""
    monkeypatch.setattr(run, "training_key", lambda config, paths, device: training_key(config, paths, "cpu"))
    paths, written = experiment_paths(project, TINY), {}
    for place in ("cpu", NAME):
        for file in paths.checkpoints.glob("*") if paths.checkpoints.exists() else ():
            file.unlink()
        with simulated_device() as device:
            assert train(project, TINY, place)
        written[place] = load_tensors(paths.stylex_model)[0], read_table(paths.stylex_history)
    (weights, history), (expected, rows) = written[NAME], written["cpu"]
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5, msg=name)
    same = [name for name in rows if name not in ("seconds", "images_per_second")]
    pandas.testing.assert_frame_equal(history[same], rows[same], rtol=1e-4)
    assert not beyond(device.counts(), TRAINING, DIAGNOSIS)


def test_the_training_of_a_classifier(project):
    """An epoch reads its losses once; a step sends its images."""
    configure(project, TINY, **EXPERIMENT | {"classifier": {"epochs": 1, "min_accuracy": 0.0, "batch_size": 8}})
    paths, written = experiment_paths(project, TINY).classifier, {}
    for place in ("cpu", NAME):
        paths.model.unlink()
        with simulated_device() as device:
            fine_tune(project, TINY, place)
        written[place] = load_tensors(paths.model)[0]
    for name, value in written["cpu"].items():
        torch.testing.assert_close(written[NAME][name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert not beyond(device.counts(), CLASSIFIER)


def on_the_cpu(images, *_):
    return images + torch.zeros(images.shape)


def read_by_python(scores, hinge=False):
    return losses.generator_loss(scores, hinge) + 0 * float(scores.detach().sum())


def test_a_tensor_that_is_made_on_the_cpu_is_caught(monkeypatch):
    with simulated_device():
        training = Training(CASES["cpu-32"], NAME)
        monkeypatch.setattr(step, "augment", on_the_cpu)
        with pytest.raises(MixedDevicesError, match=r"training/step.py:Step._scores"):
            training.advance()


def test_a_generator_of_the_cpu_is_caught():
    with simulated_device():
        training = Training(CASES["cpu-32"], NAME)
        training.state.random = torch.Generator()
        with pytest.raises(MixedDevicesError):
            training.advance()


def test_a_number_that_python_reads_is_caught(monkeypatch):
    with simulated_device() as device:
        training = Training(CASES["cpu-32"], NAME)
        monkeypatch.setattr(step, "generator_loss", read_by_python)
        device.waits.clear()
        training.advance()
        assert beyond(device.counts(), BATCH, EPOCH) == {("training/step.py:Step.generator_terms", "number"): 1}
