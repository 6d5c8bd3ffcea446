"""One training step: what it trains, what it shows to whom, and with which weight."""

import copy
from dataclasses import replace

import pytest
import torch

from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.errors import ConfigError
from stylex.networks.layers import learning_gains
from stylex.training.batches import RealBatches
from stylex.training.draws import draw
from stylex.training.judges import Judges, precision
from stylex.training.processes import Processes
from stylex.training.state import AVERAGED, initial_state
from stylex.training.step import GENERATOR, Step, advance, mixed_w
from stylex.training.weights import in_memory_order


@pytest.fixture
def setting(judged_root):
    config = load_experiment(judged_root, "tiny")
    classifier = load_classifier(ExperimentPaths(judged_root, "tiny").classifier.model)
    judges = Judges(classifier, load_backbone(backbone_paths(judged_root, "tiny").model))
    split = load_split(judged_root, config.dataset, "train")
    return config.stylex, judges, first_images(split, 40), initial_state(config.stylex, 32, 1, 2, 0, "cpu")


def first_images(split, count):
    return replace(split, labels=split.labels[:count], ids=split.ids[:count], rows=split.rows[:count])


def batches_of(split, judges, config):
    return RealBatches(split, judges, config, Processes(), "cpu")


def with_losses(config, **changes):
    return config.model_copy(update={"losses": config.losses.model_copy(update=changes)})


def with_training(config, **changes):
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def test_encoder_and_noise_steps_alternate_and_each_trains_its_own_network(setting):
    config, judges, split, state = setting
    config = with_losses(config, path_length=0.0)  # path lengths also train the mapping
    batches = batches_of(split, judges, config)
    for count, (trained, untouched) in enumerate((("encoder", "mapping"), ("mapping", "encoder"))):
        before = {name: copy.deepcopy(getattr(state.networks, name).state_dict()) for name in ("encoder", "mapping")}
        terms = Step(state, config, judges, batches.next(state.random)).run()
        assert ("reconstruction_x" in terms and "classifier" in terms) == (count == 0)
        after = {name: getattr(state.networks, name).state_dict() for name in before}
        assert any(not torch.equal(after[trained][name], value) for name, value in before[trained].items())
        assert all(torch.equal(after[untouched][name], value) for name, value in before[untouched].items())
    assert (state.step, state.images) == (2, 16)


def test_without_alternation_every_step_is_an_encoder_step(setting):
    config, judges, split, state = setting
    config = with_training(config, alternating=False)
    batches = batches_of(split, judges, config)
    for _ in range(2):
        assert "reconstruction_x" in Step(state, config, judges, batches.next(state.random)).run()


def test_the_first_images_train_an_autoencoder_and_nothing_else(setting):
    config, judges, split, state = setting
    config = with_training(with_losses(config, path_length=2.0, path_length_interval=1), autoencoder_images=16)
    batches = batches_of(split, judges, config)
    untouched = ("discriminator", "mapping")
    before = {name: copy.deepcopy(getattr(state.networks, name).state_dict()) for name in untouched}
    losses = {"reconstruction_x", "reconstruction_perceptual", "reconstruction_w", "classifier"}
    for _ in range(2):
        assert Step(state, config, judges, batches.next(state.random)).run().keys() == {"reconstruction_x"}
    for name in untouched:
        now = getattr(state.networks, name).state_dict()
        assert all(torch.equal(now[key], value) for key, value in before[name].items())
    assert (state.step, state.images) == (2, 16)
    adversarial = {"d_adversarial", "g_adversarial", "path_length"}
    assert adversarial | losses <= Step(state, config, judges, batches.next(state.random)).run().keys()
    noise = Step(state, config, judges, batches.next(state.random)).run().keys()
    assert adversarial <= noise and not losses & noise


def test_an_autoencoder_asks_for_no_perceptual_features(setting, monkeypatch):
    config, judges, split, state = setting
    config = with_training(config, autoencoder_images=16, cache_mib=0)
    batches = batches_of(split, judges, config)
    asked = []
    compute = batches._features
    monkeypatch.setattr(batches, "_features", lambda images: asked.append(state.images) or compute(images))
    for _ in range(3):
        advance(state, config, judges, batches, Processes())
    assert asked == [16]


def test_the_mapping_learns_the_distribution_of_w_from_encoder_steps(setting):
    config, judges, split, state = setting
    config = with_losses(config, mapping=1.0, path_length=0.0)
    before = copy.deepcopy(state.networks.mapping.state_dict())
    batches = batches_of(split, judges, config)
    assert "mapping" in Step(state, config, judges, batches.next(state.random)).run()
    after = state.networks.mapping.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert "mapping" not in Step(state, config, judges, batches.next(state.random)).run()


def test_each_step_has_the_rates_of_its_place_in_the_training(setting):
    config, judges, split, state = setting
    config = with_training(
        config,
        learning_rate=0.5,
        encoder_learning_rate=0.25,
        discriminator_learning_rate=0.125,
        images=32,
        warmup_images=16,
        decay=0.5,
    )
    config = with_losses(config, r1_gamma=0.0, path_length=0.0)
    state = initial_state(config, 32, 1, 2, 0, "cpu")
    batches = batches_of(split, judges, config)
    for factor in (0.5, 1.0, 1.0, 0.5):
        Step(state, config, judges, batches.next(state.random)).run()
        assert [group["lr"] for group in state.generator_optimizer.param_groups] == [0.5 * factor, 0.25 * factor]
        assert state.discriminator_optimizer.param_groups[0]["lr"] == 0.125 * factor
    resumed = initial_state(config, 32, 1, 2, 0, "cpu")
    resumed.restore(copy.deepcopy(state.dump()))
    resumed.set_rates(1.0)
    assert resumed.generator_optimizer.param_groups[0]["lr"] == 0.5


def test_the_generator_may_have_a_momentum_of_its_own(setting):
    config = setting[0]
    of_all = with_losses(with_training(config, beta1=0.5), r1_gamma=0.0, path_length=0.0)
    for own, expected in ((None, 0.5), (0.9, 0.9), (0.0, 0.0)):
        state = initial_state(with_training(of_all, generator_beta1=own), 32, 1, 2, 0, "cpu")
        assert [group["betas"][0] for group in state.generator_optimizer.param_groups] == 2 * [expected]
        assert state.discriminator_optimizer.param_groups[0]["betas"][0] == 0.5


def test_terms_of_weight_zero_are_not_computed(setting):
    config, judges, split, state = setting
    weightless = {"reconstruction_perceptual": 0.0, "reconstruction_w": 0.0, "classifier": 0.0, "r1_gamma": 0.0}
    config = with_losses(config, path_length=0.0, **weightless)
    terms = Step(state, config, judges, batches_of(split, judges, config).next(state.random)).run()
    assert terms.keys() == {"d_adversarial", "g_adversarial", "reconstruction_x"}


def test_the_classifier_stays_frozen_and_in_eval_mode(setting):
    config, judges, split, state = setting
    before = copy.deepcopy(judges.classifier.state_dict())
    batches = batches_of(split, judges, config)
    for _ in range(2):
        Step(state, config, judges, batches.next(state.random)).run()
    for classifier in (judges.classifier, judges.training_classifier):
        assert not classifier.train().training
        assert all(torch.equal(classifier.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("max_translation", [0, 2])
def test_reals_carry_their_own_classifier_output_whatever_the_order(setting, max_translation):
    config, judges, split, state = setting
    batches = batches_of(split, judges, with_training(config, max_translation=max_translation))
    reals = batches.next(state.random)
    torch.testing.assert_close(judges.classifier(reals.images), reals.logits, atol=1e-4, rtol=1e-4)
    originals = split.images(batches.order[:8])
    assert torch.equal(reals.images, originals) == (max_translation == 0)


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_cached_features_are_the_computed_ones_in_float32(setting, number_format):
    config, judges, split, _ = setting
    config = with_training(config, precision=config.training.precision.model_copy(update={"cpu": number_format}))
    judges = Judges(judges.classifier, judges.backbone, precision(config.training, "cpu"))
    cached = batches_of(split, judges, with_training(config, cache_mib=512))
    computed = batches_of(split, judges, with_training(config, cache_mib=0))
    assert len(cached.features) == 4 and not computed.features
    tolerance = 1e-5 if number_format == "float32" else 0.02
    for seed in range(2):
        looked_up, new = (each.next(torch.Generator().manual_seed(seed)) for each in (cached, computed))
        assert torch.equal(looked_up.images, new.images)
        for ours, theirs in zip(looked_up.features, new.features, strict=True):
            assert ours.dtype == theirs.dtype == torch.float32
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
        for ours, exact in zip(new.features, judges.backbone.features(new.images), strict=True):
            torch.testing.assert_close(ours, exact, atol=1e-5 if number_format == "float32" else 0.1, rtol=1e-5)


def test_features_are_not_computed_without_a_perceptual_loss(setting):
    config, judges, split, state = setting
    batches = batches_of(split, judges, with_losses(config, reconstruction_perceptual=0.0))
    assert batches.next(state.random).features == []


def test_too_few_images_for_a_batch(setting):
    config, judges, split, _ = setting
    with pytest.raises(ConfigError, match=r"stylex.training.batch_size 8 is more than the 7 training images: lower it"):
        batches_of(first_images(split, 7), judges, config)


def test_an_epoch_shows_every_image_once_and_a_position_is_restored(setting):
    config, judges, split, state = setting
    batches = batches_of(split, judges, config)
    steps = len(split) // 8
    for _ in range(steps):
        batches.next(state.random)
    assert len(set(batches.order[: steps * 8].tolist())) == steps * 8
    saved = copy.deepcopy(batches.state())
    other = batches_of(split, judges, config)
    other.restore(saved)
    random = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert torch.equal(batches.next(random[0]).images, other.next(random[1]).images)


def test_processes_share_a_batch_without_overlap(setting):
    config, judges, split, _ = setting
    whole = batches_of(split, judges, config).next(torch.Generator().manual_seed(1))
    shares = [
        RealBatches(split, judges, config, Processes(rank, 2), "cpu").next(torch.Generator().manual_seed(1))
        for rank in range(2)
    ]
    assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
    torch.testing.assert_close(torch.cat([share.logits for share in shares]), whole.logits)


def test_style_mixing_takes_a_prefix_of_one_w_and_the_rest_of_another(setting):
    *_, state = setting
    draws = draw(state.networks, 16, state.random)
    w = mixed_w(state.networks, replace(draws, mixed=torch.ones(16, 1, dtype=torch.bool)))
    changes = (w[:, 1:] != w[:, :-1]).any(dim=2).sum(dim=1)
    assert changes.tolist() == [1] * 16
    assert (mixed_w(state.networks, replace(draws, mixed=torch.zeros(16, 1, dtype=torch.bool))).diff(dim=1) == 0).all()


def test_a_noise_step_renders_what_mixed_w_says(setting):
    config, judges, split, state = setting
    state.step = 1
    step = Step(state, config, judges, batches_of(split, judges, config).next(state.random))
    (part,) = step.parts
    assert part.draws.from_second().any()
    w, networks = mixed_w(state.networks, part.draws), state.networks
    styles = networks.synthesis.styles(networks.w_plus(w, part.reals.logits))
    expected = networks.synthesis.render(styles, part.draws.noise)
    torch.testing.assert_close(step.generate(part).images, expected, atol=1e-5, rtol=1e-4)


def test_both_paths_see_the_same_conditioning(setting):
    config, judges, split, state = setting
    reals = batches_of(split, judges, config).next(state.random)
    seen = []
    state.networks.synthesis.affine.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    for count in (0, 1):
        state.step = count
        step = Step(state, config, judges, reals)
        assert step.from_encoder == (count == 0)
        step.generate(step.parts[0])
    latent_dim = config.networks.latent_dim
    condition = state.networks.conditioning(reals.logits)
    assert torch.equal(seen[0][:, latent_dim:], condition)
    assert torch.equal(seen[1][:, latent_dim:], condition.repeat_interleave(2, dim=0))  # two latents a sample


def test_ema_reaches_half_way_after_its_half_life(setting):
    *_, state = setting
    with torch.no_grad():
        for flat in state.averages.values():
            flat.vector.zero_()
        for flat in state.weights.values():
            flat.vector.fill_(1)
    for _ in range(10):
        state.update_ema(batch_size=8, half_life=80)
    averaged, gains = state.averaged(), learning_gains(state.ema)
    assert averaged is state.ema
    for name, parameter in averaged.named_parameters():
        share = 0.5 if name.startswith(AVERAGED) else 1.0  # D is not averaged
        torch.testing.assert_close(parameter, torch.full_like(parameter, share * gains[name]), msg=name)


def test_each_weight_belongs_to_the_term_of_its_name(setting):
    # A replication swapped the weights of the pixel and w terms against its own paper.
    config, judges, split, state = setting
    weights = {"reconstruction_x": 2.0, "reconstruction_perceptual": 3.0, "reconstruction_w": 5.0, "classifier": 7.0}
    config = with_losses(config, **weights, path_length=0.0, r1_gamma=0.0)
    state.discriminator_optimizer.param_groups[0]["initial_lr"] = (
        0.0  # D stays what the expected gradient is computed from
    )
    step = Step(state, config, judges, batches_of(split, judges, config).next(state.random))
    terms = step.generator_terms(step.parts[0])
    assert terms.keys() == {"g_adversarial", *weights}
    loss = terms["g_adversarial"] + sum(weight * terms[name] for name, weight in weights.items())
    expected = {}
    for name in ("encoder", "synthesis"):
        flat = state.weights[name]
        gradients = torch.autograd.grad(loss, flat.parameters, retain_graph=True, materialize_grads=True)
        expected[name] = torch.cat([in_memory_order(gradient) for gradient in gradients]) * flat.gains
    minimised = []
    state.generator_optimizer.register_step_pre_hook(
        lambda *_: minimised.append({name: state.weights[name].gradient().clone() for name in expected})
    )
    assert step.run().keys() == {"d_adversarial", *terms}
    (actual,) = minimised
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert scale > 0
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-5 * scale)


def test_a_step_leaves_no_gradient_behind(setting):
    config, judges, split, state = setting
    config = with_losses(config, path_length=2.0)
    Step(state, config, judges, batches_of(split, judges, config).next(state.random)).run()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in state.networks.parameters())
    assert all(flat.vector.grad is None for flat in state.weights.values())
    assert GENERATOR == AVERAGED
