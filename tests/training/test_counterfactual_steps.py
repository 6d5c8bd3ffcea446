"""Noise steps that show D what an explanation does: another condition for w, moves of single coordinates."""

from dataclasses import replace

import pytest
import torch

from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentPaths, StylexConfig, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.losses.classifier import classifier_divergence
from stylex.training.batches import RealBatches
from stylex.training.judges import Judges
from stylex.training.processes import Processes
from stylex.training.state import initial_state
from stylex.training.step import Step, with_classes_exchanged

COORDINATES = 5
OPTIONS = {
    "networks": {"condition_coordinates": COORDINATES},
    "losses": {"classifier_noise": 0.5},
    "training": {"counterfactuals": 0.5, "mixed_conditions": 1.0, "told": "fake", "style_mixing": 1.0},
}


@pytest.fixture
def step_with(judged_root):
    """A function that returns the first noise step with `OPTIONS` and the training options given."""

    def build(**training):
        config = load_experiment(judged_root, "tiny")
        content = config.stylex.model_dump(mode="json")
        for section, changes in OPTIONS.items():
            content[section] |= changes
        content["training"] |= training
        stylex = StylexConfig.model_validate(content)
        classifier = load_classifier(ExperimentPaths(judged_root, "tiny").classifier.model)
        judges = Judges(classifier, load_backbone(backbone_paths(judged_root, "tiny").model))
        split = load_split(judged_root, config.dataset, "train")
        split = replace(split, labels=split.labels[:40], ids=split.ids[:40], rows=split.rows[:40])
        state = initial_state(stylex, 32, 1, 2, 0, "cpu")
        state.step = 1
        batches = RealBatches(split, judges, stylex, Processes(), "cpu")
        return Step(state, stylex, judges, batches.next(state.random))

    return build


def test_the_decided_class_is_exchanged_with_any_other_and_the_rest_stays():
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]]).repeat(300, 1)
    found = with_classes_exchanged(logits, torch.linspace(0, 0.999, 300))
    decided = found.argmax(dim=1)
    assert set(decided.tolist()) == {1, 2, 3}
    for row, target in zip(found, decided.tolist(), strict=True):
        expected = logits[0].clone()
        expected[[0, target]] = expected[[target, 0]]
        assert torch.equal(row, expected)
    of_two = with_classes_exchanged(torch.tensor([[1.0, 4.0]]), torch.tensor([0.7]))
    assert torch.equal(of_two, torch.tensor([[4.0, 1.0]]))


def test_counterfactuals_are_an_images_own_w_under_the_exchanged_condition(step_with):
    step = step_with(mixed_conditions=0.0)
    (part,) = step.parts
    chosen, networks = part.draws.counterfactual, step.networks
    assert chosen.tolist() == 4 * [False, True]
    fakes, logits = step.generate(part), part.reals.logits
    told = with_classes_exchanged(logits[chosen], part.draws.other[chosen])
    assert torch.equal(fakes.told[~chosen], logits[~chosen]) and torch.equal(fakes.told[chosen], told)
    assert (told.argmax(dim=1) != logits[chosen].argmax(dim=1)).all() and fakes.whole.all()
    styles = networks.synthesis.styles(networks.w_plus(networks.encoder(part.reals.images[chosen]), told))
    expected = networks.synthesis.render(styles, tuple(maps[chosen] for maps in part.draws.noise))
    torch.testing.assert_close(fakes.images[chosen], expected, atol=1e-5, rtol=1e-4)


def test_mixed_conditions_exchange_some_of_the_conditions_coordinates_and_no_other(step_with):
    step = step_with(counterfactuals=0.0)
    (part,) = step.parts
    seen, render = [], step.state.render
    step.state.render = lambda styles, noise: seen.append(styles) or render(styles, noise)
    fakes = step.generate(part)
    synthesis, condition = step.networks.synthesis, step.networks.conditioning
    index, chosen = synthesis.condition_index, part.draws.exchanged
    assert chosen.shape == (8, COORDINATES) and chosen.any() and not chosen.all()
    assert torch.equal(fakes.whole, ~chosen.any(dim=1))
    own = synthesis.condition_affine(condition(part.reals.logits))
    other = synthesis.condition_affine(condition(with_classes_exchanged(part.reals.logits, part.draws.other)))
    assert torch.equal(seen[0].space[:, index], torch.where(chosen, other, own))
    unmixed = step_with(counterfactuals=0.0, mixed_conditions=0.0)
    unmixed.state.render = lambda styles, noise: seen.append(styles) or render(styles, noise)
    unmixed.generate(part)
    rest = torch.ones(synthesis.layout.size, dtype=torch.bool).index_fill(0, index, False)
    assert torch.equal(seen[1].space[:, rest], seen[0].space[:, rest])
    assert torch.equal(seen[1].to_rgb, seen[0].to_rgb)


@pytest.mark.parametrize("told", ["image", "fake"])
def test_d_is_told_what_the_generator_was_told_or_what_the_fake_is(step_with, told):
    step = step_with(told=told)
    (part,) = step.parts
    seen = []
    step.networks.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    step.discriminator_terms(part)
    step.generator_terms(part)
    fakes = step.kept
    expected = fakes.told if told == "image" else step.judges.classifier(fakes.images)
    torch.testing.assert_close(seen[0], torch.cat([part.reals.logits, expected]).softmax(dim=1))
    torch.testing.assert_close(seen[1], expected.softmax(dim=1))
    assert not seen[1].requires_grad


def test_the_divergence_of_noise_steps_is_from_what_was_told_where_that_is_one_answer(step_with):
    step = step_with(mixed_conditions=0.5)
    (part,) = step.parts
    term, fakes = step.generator_terms(part)["classifier_noise"], step.generate(part)
    assert fakes.whole.any() and not fakes.whole.all()
    each = [
        classifier_divergence(step.judges.classifier(image[None]), told[None])
        for image, told, whole in zip(fakes.images, fakes.told, fakes.whole, strict=True)
        if whole
    ]
    torch.testing.assert_close(term, torch.stack(each).sum() / len(fakes.images), atol=1e-5, rtol=1e-4)


def test_a_noise_step_with_counterfactuals_trains_the_encoder_too(step_with):
    for part, trained in ((0.5, True), (0.0, False)):
        step = step_with(counterfactuals=part)
        before = step.state.weights["encoder"].vector.detach().clone()
        step.run()
        assert torch.equal(step.state.weights["encoder"].vector, before) is not trained


def test_nothing_more_is_drawn_where_no_option_asks_for_it(step_with):
    step = step_with(counterfactuals=0.0, mixed_conditions=0.0)
    (part,) = step.parts
    assert part.draws.other.numel() == part.draws.exchanged.numel() == 0 and not part.draws.counterfactual.any()
