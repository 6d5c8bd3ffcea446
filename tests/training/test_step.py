"""One training step: what it trains, what it shows to whom, with which weight; and that it is the textbook's."""

import copy

import pytest
import torch
from plain import plain_state, plain_step

from stylex.networks.layers import learning_gains
from stylex.training.distributed import Processes
from stylex.training.footprint import Footprint
from stylex.training.losses import classifier_divergence
from stylex.training.state import AVERAGED
from stylex.training.step import GENERATOR, advance, with_classes_exchanged

L_REC = {"reconstruction_x", "reconstruction_perceptual", "reconstruction_w", "classifier"}
COORDINATES = 5
EXPLAINING = {"counterfactuals": 0.5, "mixed_conditions": 1.0, "told": "fake", "style_mixing": 1.0}
TEXTBOOK = {
    "networks": {"downsampling": "box"},
    "losses": {"path_length": 2.0, "path_length_interval": 2, "r1_interval": 3, "r1_gamma": 1.0},
    "training": {"learning_rate": 0.0002, "encoder_learning_rate": 0.0002},
    "conditioning": "probabilities",
    "conditional_discriminator": True,
}
VARIANTS = {
    "model2": {},
    "fir": {"networks": {"downsampling": "fir"}},
    "model1": {"conditioning": "logits", "conditional_discriminator": False},
    "hinge, reverse": {"losses": {"adversarial": "hinge", "classifier_divergence": "reverse"}},
    "encoder only": {"training": {"alternating": False}},
    "no noise, last": {"networks": {"noise": False, "to_rgb": "last"}},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_fast_step_is_the_textbook_step(setting, changes):
    """Losses, weights and averages, to 1e-5 in float32; encoder and noise steps, R1 at 0, path lengths at 0 and 2."""
    options = {key: TEXTBOOK[key] | value if isinstance(value, dict) else value for key, value in changes.items()}
    tiny = setting(**TEXTBOOK | options)
    fast, plain = tiny.state, plain_state(tiny.config, 32, 1, 2, 0)
    for _ in range(3):
        step = tiny.step()
        (part,) = step.parts
        expected = plain_step(plain, tiny.config, tiny.frozen, part.reals.images, part.random, part.path_random)
        terms = step.run()
        assert terms.keys() == expected.keys()
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(value, rel=1e-5, abs=1e-5), name
    torch.testing.assert_close(fast.path_length_mean, plain.path_length_mean, rtol=1e-5, atol=1e-5)
    pairs = [(fast.networks, plain.networks), *((getattr(fast.averaged(), n), getattr(plain.ema, n)) for n in AVERAGED)]
    for ours, theirs in pairs:
        gains, values = learning_gains(ours), dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            torch.testing.assert_close(parameter, gains[name] * values[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("training", [{}, {"accumulation": 2}, {"precision": {"cpu": "bfloat16"}}])
def test_a_step_that_computes_activations_again_is_the_same_and_keeps_less(setting, training):
    """Encoder and noise steps, R1 and path lengths, which differentiate twice: all bits of weights and averages."""
    peaks, states = [], []
    for recompute in (False, True):
        options = {key: value for key, value in TEXTBOOK.items() if key != "training"}
        tiny = setting(**options, training=training | {"acceleration": {"recompute": recompute}})
        with Footprint() as memory:
            advance(tiny.state, tiny.config, tiny.frozen, tiny.sampler, Processes())
        peaks.append(memory.peak)
        for _ in range(3):
            advance(tiny.state, tiny.config, tiny.frozen, tiny.sampler, Processes())
        states.append(tiny.state)
    for kind in ("weights", "averages"):
        ours, theirs = (getattr(state, kind) for state in states)
        assert all(torch.equal(ours[name].vector, theirs[name].vector) for name in ours)
    assert peaks[1] < 0.85 * peaks[0], peaks


def weights(state, *names):
    return {name: state.weights[name].vector.detach().clone() for name in names}


def changed(state, before):
    return {name for name, vector in before.items() if not torch.equal(state.weights[name].vector, vector)}


def test_the_first_images_train_an_autoencoder_and_nothing_else(setting, monkeypatch):
    options = {"path_length": 2.0, "path_length_interval": 1}
    tiny = setting(losses=options, training={"autoencoder_images": 16, "cache_mib": 0})
    before, asked, compute = weights(tiny.state, "discriminator", "mapping"), [], tiny.sampler._features
    monkeypatch.setattr(tiny.sampler, "_features", lambda images: asked.append(tiny.state.images) or compute(images))

    def terms():
        return advance(tiny.state, tiny.config, tiny.frozen, tiny.sampler, Processes()).keys()

    assert terms() == terms() == {"reconstruction_x"}
    assert not changed(tiny.state, before) and asked == []
    adversarial = {"d_adversarial", "g_adversarial", "path_length"}
    assert adversarial | L_REC <= terms() and asked == [16]
    noise = terms()
    assert adversarial <= noise and not L_REC & noise


def test_the_mapping_learns_the_distribution_of_w_from_encoder_steps(setting):
    tiny = setting(losses={"mapping": 1.0, "path_length": 0.0})
    before = weights(tiny.state, "mapping")
    assert "mapping" in tiny.step().run() and changed(tiny.state, before)
    assert "mapping" not in tiny.step().run()


def test_terms_of_weight_zero_are_not_computed(setting):
    weightless = dict.fromkeys(("reconstruction_perceptual", "reconstruction_w", "classifier", "r1_gamma"), 0.0)
    terms = setting(losses=weightless | {"path_length": 0.0}).step().run()
    assert terms.keys() == {"d_adversarial", "g_adversarial", "reconstruction_x"}


def test_the_classifier_stays_frozen_and_in_eval_mode_and_no_gradient_is_left_behind(setting):
    tiny = setting(losses={"path_length": 2.0})
    before = copy.deepcopy(tiny.frozen.classifier.state_dict())
    for _ in range(2):
        tiny.step().run()
    assert not tiny.frozen.classifier.train().training
    assert all(torch.equal(tiny.frozen.classifier.state_dict()[name], value) for name, value in before.items())
    assert all(each.grad is None and each.requires_grad for each in tiny.state.networks.parameters())
    assert all(flat.vector.grad is None for flat in tiny.state.weights.values())
    assert GENERATOR == AVERAGED


@pytest.fixture
def noise_step(setting):
    """A function that returns the first noise step that shows D explanations, with some options changed."""

    def build(**training):
        options = {"networks": {"condition_coordinates": COORDINATES}, "losses": {"classifier_noise": 0.5}}
        tiny = setting(**options, training=EXPLAINING | training)
        tiny.state.step = 1
        return tiny.step()

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
    assert with_classes_exchanged(torch.tensor([[1.0, 4.0]]), torch.tensor([0.7])).tolist() == [[4.0, 1.0]]


def test_counterfactuals_are_an_images_own_w_under_the_exchanged_condition(noise_step):
    step = noise_step(mixed_conditions=0.0)
    (part,), networks = step.parts, step.networks
    chosen, logits, fakes = part.random.counterfactual, part.reals.logits, step.generate(part)
    assert chosen.tolist() == 4 * [False, True]
    exchanged = with_classes_exchanged(logits[chosen], part.random.other[chosen])
    assert torch.equal(fakes.logits[~chosen], logits[~chosen]) and torch.equal(fakes.logits[chosen], exchanged)
    assert (exchanged.argmax(dim=1) != logits[chosen].argmax(dim=1)).all() and fakes.unmixed is None
    styles = networks.synthesis.styles(networks.w_plus(networks.encoder(part.reals.images[chosen]), exchanged))
    expected = networks.synthesis.render(styles, tuple(maps[chosen] for maps in part.random.noise))
    torch.testing.assert_close(fakes.images[chosen], expected, atol=1e-5, rtol=1e-4)


def test_mixed_conditions_exchange_some_of_the_conditions_coordinates_and_no_other(noise_step):
    seen = []
    for mixed in (1.0, 0.0):
        step = noise_step(counterfactuals=0.0, mixed_conditions=mixed)
        render = step.state.render
        step.state.render = lambda styles, noise, render=render: seen.append(styles) or render(styles, noise)
        fakes = step.generate(step.parts[0])
        if mixed:
            part, unmixed = step.parts[0], fakes.unmixed
    synthesis, condition = step.networks.synthesis, step.networks.conditioning
    index, chosen = synthesis.condition_index, part.random.exchanged
    assert chosen.shape == (8, COORDINATES) and chosen.any() and not chosen.all()
    assert torch.equal(unmixed, ~chosen.any(dim=1))
    own = synthesis.condition_affine(condition(part.reals.logits))
    other = synthesis.condition_affine(condition(with_classes_exchanged(part.reals.logits, part.random.other)))
    assert torch.equal(seen[0].space[:, index], torch.where(chosen, other, own))
    rest = torch.ones(synthesis.layout.size, dtype=torch.bool).index_fill(0, index, False)
    assert torch.equal(seen[1].space[:, rest], seen[0].space[:, rest])
    assert torch.equal(seen[1].to_rgb, seen[0].to_rgb)


@pytest.mark.parametrize("told", ["image", "fake"])
def test_the_condition_of_d_is_that_of_the_generator_or_of_the_fake(noise_step, told):
    step, seen = noise_step(told=told), []
    (part,) = step.parts
    step.networks.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    step.discriminator_terms(part)
    step.generator_terms(part)
    expected = step.fakes.logits if told == "image" else step.frozen.classifier(step.fakes.images)
    torch.testing.assert_close(seen[0], torch.cat([part.reals.logits, expected]).softmax(dim=1))
    torch.testing.assert_close(seen[1], expected.softmax(dim=1))
    assert not seen[1].requires_grad


def test_the_divergence_of_noise_steps_is_from_the_condition_where_that_is_one(noise_step):
    step = noise_step(mixed_conditions=0.5)
    (part,) = step.parts
    term, fakes = step.generator_terms(part)["classifier_noise"], step.generate(part)
    assert fakes.unmixed.any() and not fakes.unmixed.all()
    each = [
        classifier_divergence(step.frozen.classifier(image[None]), logits[None])
        for image, logits, unmixed in zip(fakes.images, fakes.logits, fakes.unmixed, strict=True)
        if unmixed
    ]
    torch.testing.assert_close(term, torch.stack(each).sum() / len(fakes.images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("part", "trained"), [(0.5, {"encoder"}), (0.0, set())])
def test_a_noise_step_with_counterfactuals_trains_the_encoder_too(noise_step, part, trained):
    step = noise_step(counterfactuals=part)
    before = weights(step.state, "encoder")
    step.run()
    assert changed(step.state, before) == trained
