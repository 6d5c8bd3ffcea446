"""Random numbers are drawn for the global batch: the same rows however it is divided."""

from dataclasses import fields, replace

import pytest
import torch

from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.losses.regularization import path_lengths
from stylex.networks.model import build_networks
from stylex.training.augment import augment
from stylex.training.batches import RealBatches
from stylex.training.draws import VIEWS, draw
from stylex.training.judges import Judges
from stylex.training.processes import Processes
from stylex.training.state import initial_state
from stylex.training.step import Step, mixed_w


@pytest.fixture(scope="module")
def stylex_config(judged_root):
    config = load_experiment(judged_root, "tiny").stylex
    losses = {"path_length": 2.0, "path_length_interval": 1, "r1_gamma": 1.0, "r1_interval": 1}
    return config.model_copy(update={"losses": config.losses.model_copy(update=losses)})


@pytest.fixture(scope="module")
def judges(judged_root):
    classifier = load_classifier(ExperimentPaths(judged_root, "tiny").classifier.model)
    return Judges(classifier, load_backbone(backbone_paths(judged_root, "tiny").model))


@pytest.fixture(scope="module")
def reals(judged_root, stylex_config, judges):
    split = load_split(judged_root, load_experiment(judged_root, "tiny").dataset, "train")
    few = replace(split, labels=split.labels[:8], ids=split.ids[:8], rows=split.rows[:8])
    return RealBatches(few, judges, stylex_config, Processes(), "cpu").next(torch.Generator().manual_seed(0))


@pytest.fixture
def networks(stylex_config):
    return build_networks(stylex_config, 32, 1, 2, seed=0)


def tensors(draws):
    """All tensors of some draws, by name."""
    named = {field.name: getattr(draws, field.name) for field in fields(draws)}
    noise = named.pop("noise")
    return named | {f"noise {layer}": maps for layer, maps in enumerate(noise)}


def joined(parts):
    return {name: torch.cat([tensors(part)[name] for part in parts]) for name in tensors(parts[0])}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert not [name for name, value in one.items() if not torch.equal(value, other[name])]


def test_rows_of_the_parts_are_the_rows_of_the_whole(networks):
    whole = draw(networks, 12, torch.Generator().manual_seed(0), direction=True)
    for size in (1, 3, 4, 12):
        parts = [whole.rows(slice(start, start + size)) for start in range(0, 12, size)]
        assert_same(joined(parts), tensors(whole))
    again = draw(networks, 12, torch.Generator().manual_seed(0), direction=True)
    assert_same(tensors(again), tensors(whole))
    # A direction is drawn last: with it or without, the rest is the same.
    without = tensors(draw(networks, 12, torch.Generator().manual_seed(0)))
    assert without.pop("direction").shape == (12, 0)
    assert_same(without, {name: value for name, value in tensors(whole).items() if name != "direction"})


def test_draws_have_the_distributions_they_say(networks):
    config = networks.config.training.model_copy(update={"style_mixing": 0.3})
    networks.config = networks.config.model_copy(update={"training": config})
    draws = draw(networks, 2000, torch.Generator().manual_seed(0))
    assert draws.z.shape == (2000, 2, 8)
    assert [tuple(maps.shape) for maps in draws.noise] == [(2000, 1, s, s) for s in (4, 8, 8, 16, 16, 32, 32)]
    for normal in (draws.z, *draws.noise):
        assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03
    assert draws.views.shape == (2000, len(VIEWS), 4)
    assert draws.views.min() >= 0 and draws.views.max() < 1 and abs(draws.views.mean() - 0.5) < 0.02
    # Layer 0 is always of the first latent and the last of the second; each crossover between is as frequent.
    first = (~draws.crossover).sum(dim=1)
    assert (first.bincount(minlength=7)[1:] - 2000 / 6).abs().max() < 70
    assert torch.equal(draws.crossover, torch.arange(7) >= first[:, None])
    assert draws.mixed.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(draws.from_second().any(dim=1), draws.mixed[:, 0])


def test_no_noise_maps_for_a_generator_without_noise(stylex_config):
    sizes = stylex_config.networks.model_copy(update={"noise": False})
    networks = build_networks(stylex_config.model_copy(update={"networks": sizes}), 32, 1, 2, seed=0)
    assert draw(networks, 4, torch.Generator()).noise == ()


def divided(config, judges, reals, accumulation, processes):
    """The steps of all processes at step 0, from equal states."""
    training = config.training.model_copy(update={"accumulation": accumulation})
    config = config.model_copy(update={"training": training})
    for rank in range(processes):
        own = Processes(rank, processes)
        state = initial_state(config, 32, 1, 2, 0, "cpu")
        yield Step(state, config, judges, reals.rows(own.share(config.training.batch_size)), own)


@pytest.mark.parametrize(("accumulation", "processes"), [(2, 1), (1, 2), (2, 2), (1, 4)])
def test_parts_and_processes_take_their_rows_of_the_same_draws(stylex_config, judges, reals, accumulation, processes):
    (alone,) = divided(stylex_config, judges, reals, 1, 1)
    (whole,) = alone.parts
    steps = list(divided(stylex_config, judges, reals, accumulation, processes))
    parts = [part for step in steps for part in step.parts]
    assert len(parts) == accumulation * processes
    assert torch.equal(torch.cat([part.reals.images for part in parts]), whole.reals.images)
    assert_same(joined([part.draws for part in parts]), tensors(whole.draws))
    assert_same(joined([part.path_draws for part in parts]), tensors(whole.path_draws))
    # The generator is left in the same state everywhere: the next step agrees as well.
    assert all(torch.equal(step.state.random.get_state(), alone.state.random.get_state()) for step in steps)


def gradients(optimizer):
    vectors = [vector.grad for group in optimizer.param_groups for vector in group["params"]]
    return torch.cat([gradient.clone() for gradient in vectors if gradient is not None])


@pytest.mark.parametrize("count", [0, 1], ids=["encoder step", "noise step"])
def test_losses_and_gradients_are_the_same_however_a_batch_is_divided(stylex_config, judges, reals, count):
    results = []
    for accumulation in (1, 2):
        training = stylex_config.training.model_copy(update={"accumulation": accumulation})
        config = stylex_config.model_copy(update={"training": training})
        state = initial_state(config, 32, 1, 2, 0, "cpu")
        state.step, seen = count, []
        for optimizer in (state.discriminator_optimizer, state.generator_optimizer):
            optimizer.register_step_pre_hook(lambda each, *_, seen=seen: seen.append(gradients(each)))
        results.append((Step(state, config, judges, reals).run(), state, seen))
    (whole, state, updates), (parts, other, same_updates) = results
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(other.path_length_mean, state.path_length_mean, rtol=1e-4, atol=1e-6)
    assert len(updates) == len(same_updates) == 4  # D, R1, G, path lengths
    # Adam does not see the scale of a gradient, so look at what it is given.
    for ours, theirs in zip(updates, same_updates, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-4 * float(ours.abs().max()))


def test_path_lengths_use_their_own_draws_on_every_second_sample(stylex_config, judges, reals):
    (step,) = divided(stylex_config, judges, reals, 1, 1)
    (part,) = step.parts
    half = part.path_draws.rows(slice(None, None, 2))
    assert half.direction.shape == (4, 1, 32, 32)
    networks = step.networks
    w = mixed_w(networks, half)
    styles = networks.synthesis.styles(networks.w_plus(w, part.reals.logits[::2]))
    lengths = path_lengths(networks.synthesis.render(styles, half.noise), w, half.direction)
    terms = step.path_length_terms(part)
    torch.testing.assert_close(terms["path_length_mean"], lengths.mean())
    torch.testing.assert_close(terms["path_length"], lengths.square().mean())  # the running mean starts at 0
    opposite = replace(part.path_draws, direction=part.path_draws.direction.flip(0))
    assert step.path_length_terms(replace(part, path_draws=opposite))["path_length"] != terms["path_length"]
    unrelated = replace(part, draws=part.draws.rows(slice(0, 0)))
    assert step.path_length_terms(unrelated)["path_length"] == terms["path_length"]


def test_what_d_sees_is_augmented_by_the_draws_of_each_view(stylex_config, judges, reals):
    (step,) = divided(stylex_config, judges, reals, 1, 1)
    (part,) = step.parts
    fake, policies, draws = step.generate(part).images.detach(), stylex_config.training.augment, part.draws
    assert policies == ["translation", "cutout"]
    seen = []
    step.networks.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    step.run()
    views = {
        "real": augment(reals.images, policies, draws.view("real")),
        "fake": augment(fake, policies, draws.view("fake")),
        "real_r1": augment(reals.images, policies, draws.view("real_r1")),
        "fake_generator": augment(fake, policies, draws.view("fake_generator")),
    }
    assert set(views) == set(VIEWS)
    expected = [torch.cat([views["real"], views["fake"]]), views["real_r1"], views["fake_generator"]]
    for ours, theirs in zip(seen, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert not torch.equal(views["real"], views["real_r1"])
