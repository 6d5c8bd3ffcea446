"""That a row depends on its own image alone."""

import pytest
import torch
from paper_training import as_papers

from stylex.classifiers import Classifier, FeatureBackbone, build_network
from stylex.classifiers.frozen import NetworkDescription
from stylex.config import load_experiment
from stylex.config.experiments import AttFindConfig
from stylex.latents.encode import analysed, encode_images
from stylex.networks.model import build_networks


def network(kind, classes):
    names = tuple(str(number) for number in range(classes))
    description = NetworkDescription(
        role="backbone" if kind is FeatureBackbone else "classifier",
        name="random",
        architecture="resnet18",
        width=0.125,
        channels=1,
        resolution=32,
        class_names=names,
    )
    return kind(build_network("resnet18", 1, classes, 0.125), description)


@pytest.fixture
def parts(root):
    torch.manual_seed(0)
    config = as_papers(load_experiment(root, "mnist").stylex)
    stylex = build_networks(config, resolution=32, image_channels=1, classes=2, seed=0)
    return stylex.eval().requires_grad_(False), network(Classifier, 2), network(FeatureBackbone, 10)


@pytest.fixture
def images():
    return torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_rows_do_not_depend_on_batch_mates(parts, images):
    together = encode_images(*parts, images)
    alone = [encode_images(*parts, images[row : row + 1]) for row in range(len(images))]
    for name, column in together.items():
        torch.testing.assert_close(column, torch.cat([part[name] for part in alone]), rtol=1e-4, atol=1e-4, msg=name)


def test_columns_hold_what_their_names_say(parts, images):
    stylex, classifier, backbone = parts
    before = images.clone()
    columns = encode_images(*parts, images)
    assert torch.equal(images, before)
    w_plus = torch.cat([stylex.encoder(images), classifier(images)], dim=1)  # conditioned on logits
    reconstruction = stylex.synthesis.render(stylex.synthesis.styles(w_plus))
    torch.testing.assert_close(columns["reconstruction_l1"], (reconstruction - images).abs().flatten(1).mean(1))
    torch.testing.assert_close(columns["reconstruction_logits"], classifier(reconstruction))
    assert columns["styles"].shape == (6, stylex.synthesis.layout.size)
    assert columns["discriminator"].shape == columns["reconstruction_perceptual"].shape == (6,)


def options(**changed):
    return AttFindConfig(**({"images": 60, "shift": 1, "max_attributes": 1, "threshold": 1, "batch_size": 1} | changed))


def test_a_natural_choice_is_drawn_by_the_seed_and_keeps_the_shares_of_the_classes():
    labels, natural = torch.tensor([0] * 9000 + [1] * 1000), options(images=1000, sampling="natural")
    every = torch.arange(len(labels))
    chosen = analysed(labels, every, natural, seed=7)
    assert len(chosen.unique()) == 1000 and torch.equal(chosen, chosen.sort().values)
    assert torch.equal(chosen, analysed(labels, every, natural, seed=7))
    assert 50 < len(set(chosen.tolist()) & set(analysed(labels, every, natural, seed=8).tolist())) < 150
    assert 60 < int(labels[chosen].sum()) < 140, "a tenth, and not half as in the balanced choice"
    assert int(labels[analysed(labels, every, options(images=1000), seed=7)].sum()) == 500
    assert len(analysed(labels, every, options(images=99999, sampling="natural"), seed=7)) == len(labels)


@pytest.mark.parametrize("sampling", ["balanced", "natural"])
def test_only_candidates_are_chosen(sampling):
    labels, candidates = torch.tensor([0, 1] * 500), torch.arange(0, 1000, 3)
    chosen = analysed(labels, candidates, options(sampling=sampling), seed=0)
    assert len(chosen) == 60 and set(chosen.tolist()) < set(candidates.tolist())
    if sampling == "balanced":
        assert labels[chosen].bincount().tolist() == [30, 30]
