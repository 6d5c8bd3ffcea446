"""The presets of the papers: each makes a complete experiment, and holds what its paper states."""

from pathlib import Path

import pytest
import torch

from stylex.config import ExperimentConfig, load_experiment
from stylex.datasets.catalog import DATASETS, validate_dataset
from stylex.networks.synthesis import Synthesis

SIDES = {"model1-64": 64, "model2-64": 64, "stylex-256": 256, "mnist-32": 32}


def extending(root: Path, preset: str) -> ExperimentConfig:
    """Load an experiment that adds to the preset no more than a title, a dataset and a backbone."""
    (root / "config/backbones/own.yaml").write_text(
        f"extends: backbone-32\ndataset: mnist-full\nresolution: {SIDES[preset]}\n"
    )
    (root / "config/experiments/own.yaml").write_text(
        f"extends: {preset}\ntitle: MNIST\ndomain: MNIST\n"
        "dataset: {name: mnist-full, classes: ['4', '9']}\nstylex: {perceptual_backbone: own}\n"
    )
    return load_experiment(root, "own")


@pytest.mark.parametrize("preset", SIDES)
def test_a_preset_and_a_dataset_make_an_experiment(root, preset):
    config = extending(root, preset)
    validate_dataset(root, config.dataset)
    assert config.dataset.name in DATASETS and config.dataset.resolution == SIDES[preset]
    assert config.classifier.min_accuracy == 0.95
    losses = config.stylex.losses
    assert (losses.reconstruction_x, losses.reconstruction_perceptual, losses.reconstruction_w) == (0.1, 0.1, 1)
    assert config.stylex.perceptual == "lpips-vgg" and "inception" in config.evaluation.frechet_extractors
    assert losses.adversarial == "logistic" and losses.classifier_divergence == "forward"
    assert config.stylex.networks.edges == "zeros"  # outside of what the generator upsamples, as StyleGAN2


def test_model_1_has_the_widths_and_the_optimiser_of_its_code_and_paper(root):
    stylex = extending(root, "model1-64").stylex
    widths = {name: stylex.networks.widths(name, 64) for name in ("generator", "encoder", "discriminator")}
    assert widths["generator"] == [512, 256, 128, 64, 32]
    assert widths["encoder"] == widths["discriminator"] == [512, 512, 256, 128, 64]
    training = stylex.training
    assert (training.learning_rate, training.encoder_learning_rate) == (2e-4, 1e-5)
    assert (training.beta1, training.beta2) == (0.5, 0.9)
    assert training.images == 150_000 * training.batch_size
    assert stylex.conditioning == "logits" and not stylex.conditional_discriminator


def test_classifiers_are_those_of_the_papers(root):
    first, second, whole = (extending(root, name).classifier for name in ("model1-64", "model2-64", "stylex-256"))
    for classifier in (first, second):
        assert (classifier.pretrained, classifier.optimizer, classifier.schedule) == ("imagenet", "adam", "constant")
        assert (classifier.learning_rate, classifier.batch_size, classifier.weight_decay) == (1e-4, 128, 0)
        assert classifier.epochs > 5 * classifier.epochs_per_stage  # every stage is unfrozen
        assert classifier.stem_at(64) == "published"
    assert (first.architecture, second.architecture) == ("mobilenet_v2", "resnet18")
    assert (whole.architecture, whole.pretrained, whole.stem_at(256)) == ("mobilenet_v1", "none", "published")


def test_which_images_are_analysed_and_how_long_is_trained_is_as_the_papers_say(root):
    training = extending(root, "mnist-32").stylex.training
    assert training.images // training.batch_size == 50_000
    first, second, whole = (extending(root, name).attfind for name in ("model1-64", "model2-64", "stylex-256"))
    assert [(each.images, each.sampling) for each in (first, second)] == [(100, "balanced"), (500, "balanced")]
    assert first.min_realism is not None and second.min_realism is None
    assert (whole.images, whole.sampling, whole.min_realism) == (1000, "natural", None)


def test_the_released_model_is_searched_with_the_settings_of_the_notebook(root):
    config = load_experiment(root, "released-age")
    attfind = config.attfind
    assert config.stylex.networks.edges == "zeros"
    assert (attfind.algorithm, attfind.threshold, attfind.images, attfind.shift) == ("notebook", 1.0, 250, 1.0)
    assert attfind.unstable_filter is not None and attfind.discriminator_filter is None
    assert (attfind.unstable_filter.effect, attfind.unstable_filter.count) == (2.0, 750)


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [("encoder-only", "alternating", (True, False)), ("encoder-rate", "encoder_learning_rate", (1e-5, 2e-4))],
)
def test_what_model_1_is_compared_with_differs_in_one_key_and_reproduces_no_figure(root, name, key, values):
    first, second = (load_experiment(root, each) for each in ("ffhq-gender-64-model1", f"ffhq-gender-64-model1-{name}"))
    one, other = first.model_dump(), second.model_dump()
    assert (one["stylex"]["training"].pop(key), other["stylex"]["training"].pop(key)) == values
    assert second.published_domain is second.published_method is None
    for changed in ("title", "published_domain", "published_method"):
        del one[changed], other[changed]
    assert one == other


def test_model_2_differs_from_model_1_in_the_classifier_the_condition_and_the_analysis_only(root):
    first, second = (extending(root, preset).model_dump() for preset in ("model1-64", "model2-64"))
    for key in ("images", "min_realism"):
        del first["attfind"][key], second["attfind"][key]
    assert second["stylex"].pop("conditioning") == "probabilities" and second["stylex"].pop("conditional_discriminator")
    assert (first["attfind"].pop("shift"), second["attfind"].pop("shift")) == (2, 1)
    first["classifier"].pop("architecture"), second["classifier"].pop("architecture")
    del first["stylex"]["conditioning"], first["stylex"]["conditional_discriminator"]
    assert first == second


def test_stylex_has_the_widths_of_stylegan2_at_256(root):
    networks = extending(root, "stylex-256").stylex.networks
    expected = [min(512, 16384 // side) for side in (4, 8, 16, 32, 64, 128, 256)]
    assert expected[3:] == [512, 256, 128, 64]
    for network in ("generator", "encoder", "discriminator"):
        assert networks.widths(network, 256) == expected
    assert networks.latent_dim == 512 and networks.mapping_layers == 8


@pytest.mark.parametrize(("preset", "k"), [("model1-64", 1952), ("stylex-256", 4928), ("mnist-32", 464)])
def test_k_of_the_presets(root, preset, k):
    """As docs/method-notes.md says; K = 2464 of [V] has a second styled convolution at 4x4, of 512 channels."""
    networks = extending(root, preset).stylex.networks
    with torch.device("meta"):
        synthesis = Synthesis(networks.latent_dim + 2, networks.widths("generator", SIDES[preset]), 3)
    assert synthesis.layout.size == k
    assert preset != "model1-64" or k + 512 == 2464
