"""The fast training step computes what the textbook one does: losses, weights and averages, to 1e-5 in float32."""

import pytest
import torch
from plain import plain_state, plain_step

from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.networks.layers import learning_gains
from stylex.training.batches import RealBatches
from stylex.training.judges import Judges
from stylex.training.processes import Processes
from stylex.training.state import AVERAGED, initial_state
from stylex.training.step import Step

STEPS = 3  # encoder and noise steps; R1 at 0 and path lengths at 0 and 2
VARIANTS = {
    "model2": {},
    "fir": {"networks": {"downsampling": "fir"}},
    "model1": {"conditioning": "logits", "conditional_discriminator": False},
    "hinge, reverse": {"losses": {"adversarial": "hinge", "classifier_divergence": "reverse"}},
    "encoder only": {"training": {"alternating": False}},
    "no noise, last": {"networks": {"noise": False, "to_rgb": "last"}},
}


def variant(config, changes):
    parts = {
        "networks": {"downsampling": "box"},
        "losses": {"path_length": 2.0, "path_length_interval": 2, "r1_interval": 3, "r1_gamma": 1.0},
        "training": {"learning_rate": 0.0002, "encoder_learning_rate": 0.0002},
    }
    content = config.model_dump()
    content |= {"conditioning": "probabilities", "conditional_discriminator": True}
    for key, value in changes.items():
        content |= {key: value} if not isinstance(value, dict) else {}
    for section, values in parts.items():
        content[section] |= values | changes.get(section, {})
    return type(config).model_validate(content)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_fast_step_equals_textbook_step(judged_root, changes):
    experiment = load_experiment(judged_root, "tiny")
    config = variant(experiment.stylex, changes)
    split = load_split(judged_root, experiment.dataset, "train")
    classifier = load_classifier(ExperimentPaths(judged_root, "tiny").classifier.model)
    judges = Judges(classifier, load_backbone(backbone_paths(judged_root, "tiny").model))
    batches = RealBatches(split, judges, config, Processes(), "cpu")
    fast, plain = initial_state(config, 32, 1, 2, 0, "cpu"), plain_state(config, 32, 1, 2, 0)
    for _ in range(STEPS):
        reals = batches.next(fast.random)
        step = Step(fast, config, judges, reals)
        (part,) = step.parts
        expected = plain_step(plain, config, judges, reals.images, part.draws, part.path_draws)
        terms = step.run()
        assert terms.keys() == expected.keys()
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(value, rel=1e-5, abs=1e-5), name
    torch.testing.assert_close(fast.path_length_mean, plain.path_length_mean, rtol=1e-5, atol=1e-5)
    compare(fast.networks, plain.networks)
    averaged = fast.averaged()
    for name in AVERAGED:
        compare(getattr(averaged, name), getattr(plain.ema, name))


def compare(fast, plain):
    gains, values = learning_gains(fast), dict(plain.named_parameters())
    for name, parameter in fast.named_parameters():
        torch.testing.assert_close(parameter, gains[name] * values[name], rtol=1e-5, atol=1e-5, msg=name)
