"""Every stage of the analysis on the simulated device: its files are those of a CPU, its waits those of waits.py."""

from dataclasses import replace

import pandas
import pyarrow.parquet
import pytest
import torch
from torchvision.models import inception_v3

import stylex
from stylex.artifacts import load_tensors, read_table
from stylex.attfind import engine
from stylex.classifiers.formats import Format, Network
from stylex.classifiers.imported import Declaration, ImportedClassifier, ImportedDescription
from stylex.config import experiment_paths
from stylex.evaluation.frechet import InceptionFeatures
from stylex.latents.table import read_latents, write_latents
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis
from tests.builders import configure
from tests.conftest import REPOSITORY
from tests.devices.conftest import EXPERIMENT, STAGES, TINY, experiment_of
from tests.devices.simulated import NAME, MixedDevicesError, simulated_device
from tests.devices.waits import STAGES as WAITS
from tests.devices.waits import beyond

UNFILTERED = {key: value for key, value in EXPERIMENT["attfind"].items() if key != "discriminator_filter"}
# A stage with other options of attfind than the project's.
VARIANTS = {
    "screened": ("effects", UNFILTERED | {"engine": "screened"}),
    "realistic": ("encode", EXPERIMENT["attfind"] | {"min_realism": -1000.0}),
}
SLOW = ("counterfactuals",)


def contents(paths, files):
    """Return what the files hold, without provenance, which names the device."""
    found = []
    for name in files:
        file = getattr(paths, name)
        file = file() if name == "effects" else file
        if file.suffix == ".parquet":
            found.append(pyarrow.parquet.read_table(file).to_pandas())
        elif file.suffix == ".safetensors":
            found.append({name: tensor.numpy() for name, tensor in load_tensors(file)[0].items()})
        else:
            found.append(read_table(file))
    return found


@pytest.mark.parametrize(
    "stage", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in (*STAGES, *VARIANTS)]
)
def test_a_stage_writes_what_it_writes_on_a_cpu_and_waits_as_often_as_stated(project, stage):
    base, attfind = VARIANTS.get(stage, (stage, None))
    (run, files), name = STAGES[base], experiment_of(base)
    paths = experiment_paths(project, name)
    if attfind is not None:
        configure(project, TINY, **EXPERIMENT | {"attfind": attfind})
        run(project, name, "cpu")
    expected = contents(paths, files)
    with simulated_device() as device:
        run(project, name, NAME)
    for ours, theirs in zip(contents(paths, files), expected, strict=True):
        if isinstance(ours, dict):
            assert ours.keys() == theirs.keys()
            for key, value in theirs.items():
                assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-5)
        else:
            pandas.testing.assert_frame_equal(ours, theirs, rtol=1e-3, atol=2e-4)  # a pixel may round to another level
    assert not beyond(device.counts(), WAITS[stage])


def test_inception_sees_images_of_the_device():
    torch.manual_seed(0)
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    images = torch.rand(1, 1, 32, 32) * 2 - 1
    expected = InceptionFeatures(network.state_dict()).features(images)
    with simulated_device() as device:
        features = InceptionFeatures(network.state_dict(), NAME)
        device.waits.clear()
        found = features.features(images.to(NAME))
    assert [wait.kind for wait in device.waits] == ["written", "read"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_classifier_of_the_user_is_asked_without_waiting():
    given = {"classes": ("x", "a", "b"), "output": "logits", "range": "0..1", "channels": 1, "mean": (0.5,)}
    description = ImportedDescription(
        name="own", channels=3, resolution=8, class_names=("b", "a"), declaration=Declaration(**given, sd=(0.2,)),
        format=Format.FUNCTION, file="own:network", files={}, weights_digest="",
    )  # fmt: skip
    torch.manual_seed(0)
    own = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    expected = ImportedClassifier(own, description)(images)
    with simulated_device() as device:
        classifier, sent = ImportedClassifier(own, description).to(NAME), images.to(NAME)
        device.waits.clear()
        found = classifier(sent)
        assert not device.waits
        torch.testing.assert_close(found.cpu(), expected)


def test_an_export_explains_there():
    image = REPOSITORY / "models/mnist/examples/0.png"
    expected = stylex.load(image.parents[1]).explain(image)
    with simulated_device():
        found = stylex.load(image.parents[1], NAME).explain(image)
    assert str(found) == str(expected)


@pytest.mark.parametrize("stage", STAGES)
def test_a_tensor_that_is_made_on_the_cpu_is_caught_in_each_stage(project, monkeypatch, stage):
    finish = Synthesis.finish
    monkeypatch.setattr(Synthesis, "finish", lambda *given: finish(*given) + torch.zeros(1))
    with simulated_device(), pytest.raises(MixedDevicesError):
        STAGES[stage][0](project, experiment_of(stage), NAME)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in SLOW])
def test_a_wait_more_is_caught_in_each_stage(project, monkeypatch, stage):
    finish = Synthesis.finish
    monkeypatch.setattr(Synthesis, "finish", lambda *given: finish(*given) + 0 * finish(*given).detach().sum().item())
    with simulated_device() as device:
        STAGES[stage][0](project, experiment_of(stage), NAME)
    assert {kind for _, kind in beyond(device.counts(), WAITS[stage])} == {"number"}


def test_styles_that_stay_on_the_cpu_are_caught(project, monkeypatch):
    monkeypatch.setattr(StyleVector, "to", lambda self, device: self)
    with simulated_device(), pytest.raises(MixedDevicesError):
        STAGES["sufficiency"][0](project, TINY, NAME)


def test_results_that_stay_on_the_device_are_not_written(project):
    paths = experiment_paths(project, TINY)
    with simulated_device():
        latents = read_latents(paths.latents)
        latents = replace(latents, discriminator=latents.discriminator.to(NAME))
        with pytest.raises((RuntimeError, TypeError)):
            write_latents(paths.latents, latents)


def test_a_wait_more_is_caught(project, monkeypatch):
    measure = engine.Screen._effects_of
    monkeypatch.setattr(
        engine.Screen, "_effects_of", lambda *given: measure(*given) + 0 * given[0].targets[0].sum().item()
    )
    base, attfind = VARIANTS["screened"]
    configure(project, TINY, **EXPERIMENT | {"attfind": attfind})
    with simulated_device() as device:
        STAGES[base][0](project, TINY, NAME)
    assert beyond(device.counts(), WAITS["screened"]) == {("attfind/engine.py:Screen.measure", "number"): 11}
