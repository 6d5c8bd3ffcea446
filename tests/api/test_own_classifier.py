"""From images and a classifier of the user's own to an explanation: what is printed is what that classifier says."""

import own_classifiers as own
import pytest
import torch
import yaml

import stylex
from stylex.attfind.effects import compute_effects
from stylex.attfind.selection import select
from stylex.classifiers import train_backbone
from stylex.classifiers.checks import import_classifier
from stylex.config import ExperimentPaths, load_experiment
from stylex.latents.encode import encode
from stylex.training.loop import train

CHANNELS = dict.fromkeys(("generator_channels", "encoder_channels", "discriminator_channels"), [8, 8, 8, 4])
TRAINING = {
    "images": 640, "autoencoder_images": 320, "checkpoint_interval": 320, "sample_interval": 320,
    "precision": {"cpu": "float32"},
}  # fmt: skip


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A project that has trained a tiny StylEx of a TorchScript classifier, and searched its attributes."""
    root = own.prepared_project(tmp_path_factory.mktemp("own"))
    own.write_config(root, "backbones/tiny.yaml", {"extends": "backbone-32", "dataset": "discs", "epochs": 1})
    own.save_torchscript(root / "own.pt", own.trained())
    own.write_experiment(root, {"file": "own.pt", **own.DECLARED})
    path = root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(path.read_text())
    content["stylex"] |= {"networks": {**CHANNELS, "latent_dim": 8, "mapping_layers": 2}, "training": TRAINING}
    content["attfind"] = {"images": 24, "threshold_margins": 2.0, "precision": "float32", "protocols": ["held_out"]}
    path.write_text(yaml.safe_dump(content))
    import_classifier(root, "tiny", load_experiment(root, "tiny"))
    train_backbone(root, "tiny")
    assert train(root, "tiny")
    encode(root, "tiny", "cpu")
    compute_effects(root, "tiny", "cpu")
    select(root, "tiny")
    return root


@pytest.mark.slow
def test_printed_probabilities_are_those_of_the_users_network_on_the_written_png(chain, tmp_path):
    explainer = stylex.load(ExperimentPaths(chain, "tiny").folder)
    explanation = explainer.explain(next((chain / "images").rglob("*.png")))
    paths = [tmp_path / f"{number}.png" for number in range(len(explanation.images))]
    for path, image in zip(paths, explanation.images, strict=True):
        image.save(path)
        assert image.mode == "RGB"
    with torch.no_grad():
        theirs = own.trained()(own.normalised(own.read_bytes(paths))).softmax(dim=1)
    ours = torch.tensor(explanation.probabilities[list(own.CLASSES)].to_numpy())
    assert len(ours) == len(paths) >= 3  # the image, its reconstruction, and a step
    torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=0.01)
    target = explanation.probabilities[explanation.target].iloc[-1]
    assert explanation.steps["probability_after"].iloc[-1] == pytest.approx(target, abs=1e-3)
    explanation.save(tmp_path / "explained.png")
    assert (tmp_path / "explained.json").is_file()
