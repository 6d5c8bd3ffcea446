import copy

import pytest
import torch

from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.training import step
from stylex.training.batches import RealBatches
from stylex.training.state import initial_state
from stylex.training.step import Judges, generate, mixed_w, train_step


@pytest.fixture
def setting(judged_root):
    config = load_experiment(judged_root, "tiny")
    classifier = load_classifier(ExperimentPaths(judged_root, "tiny").classifier.model)
    judges = Judges(classifier, load_backbone(backbone_paths(judged_root, "tiny").model))
    split = load_split(judged_root, config.dataset, "train")
    return config.stylex, judges, split, initial_state(config.stylex, 1, 2, 0, "cpu")


def test_encoder_and_noise_steps_alternate_and_each_trains_its_own_network(setting):
    config, judges, split, state = setting
    batches = RealBatches(split, judges.classifier, 8, 0, "cpu")
    for count, (trained, untouched) in enumerate((("encoder", "mapping"), ("mapping", "encoder"))):
        before = {name: copy.deepcopy(getattr(state.networks, name).state_dict()) for name in ("encoder", "mapping")}
        # Path lengths also train the mapping: leave them out of this step.
        losses = config.losses.model_copy(update={"path_length": 0.0})
        terms = train_step(state, config.model_copy(update={"losses": losses}), judges, *batches.next(state.random))
        assert ("reconstruction_x" in terms and "classifier" in terms) == (count == 0)
        after = {name: getattr(state.networks, name).state_dict() for name in before}
        assert any(not torch.equal(after[trained][name], value) for name, value in before[trained].items())
        assert all(torch.equal(after[untouched][name], value) for name, value in before[untouched].items())


def test_the_classifier_stays_frozen_and_in_eval_mode(setting):
    config, judges, split, state = setting
    before = copy.deepcopy(judges.classifier.state_dict())
    batches = RealBatches(split, judges.classifier, 8, 0, "cpu")
    for _ in range(2):
        train_step(state, config, judges, *batches.next(state.random))
    assert not judges.classifier.train().training
    assert all(torch.equal(judges.classifier.state_dict()[name], value) for name, value in before.items())


def test_reals_carry_their_own_classifier_output_whatever_the_order(setting):
    _, judges, split, state = setting
    cached = RealBatches(split, judges.classifier, 8, 0, "cpu")
    shifted = RealBatches(split, judges.classifier, 8, 2, "cpu")
    for batches in (cached, shifted):
        images, logits = batches.next(state.random)
        torch.testing.assert_close(judges.classifier(images), logits, atol=1e-4, rtol=1e-4)


def test_an_epoch_shows_every_image_once_and_a_position_is_restored(setting):
    _, judges, split, state = setting
    batches = RealBatches(split, judges.classifier, 8, 0, "cpu")
    steps = len(split) // 8
    for _ in range(steps):
        batches.next(state.random)
    assert len(set(batches.order[: steps * 8].tolist())) == steps * 8
    saved = copy.deepcopy(batches.state())
    other = RealBatches(split, judges.classifier, 8, 0, "cpu")
    other.restore(saved)
    random = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert torch.equal(batches.next(random[0])[0], other.next(random[1])[0])


def test_style_mixing_takes_a_prefix_of_one_w_and_the_rest_of_another(setting):
    _, _, _, state = setting
    w = mixed_w(state.networks, 16, 1.0, state.random)
    changes = (w[:, 1:] != w[:, :-1]).any(dim=2).sum(dim=1)
    assert changes.tolist() == [1] * 16
    assert (mixed_w(state.networks, 4, 0.0, state.random).diff(dim=1) == 0).all()


def test_both_paths_see_the_same_conditioning(setting):
    config, judges, split, state = setting
    images = split.images(torch.arange(4))
    logits = judges.classifier(images)
    seen = []
    state.networks.synthesis.styles = lambda w_plus: (
        seen.append(w_plus) or type(state.networks.synthesis).styles(state.networks.synthesis, w_plus)
    )
    for count in (0, 1):
        state.step = count
        assert generate(state, config, images, logits).from_encoder == (count == 0)
    latent_dim = config.networks.latent_dim
    assert torch.equal(seen[0][:, latent_dim:], seen[1][:, 0, latent_dim:])


def test_ema_reaches_half_way_after_its_half_life(setting):
    *_, state = setting
    with torch.no_grad():
        for parameter in state.ema.parameters():
            parameter.zero_()
        for parameter in state.networks.parameters():
            parameter.fill_(1)
    for _ in range(10):
        state.update_ema(batch_size=8, half_life=80)
    torch.testing.assert_close(state.ema.synthesis.constant, torch.full_like(state.ema.synthesis.constant, 0.5))


def test_each_weight_belongs_to_the_term_of_its_name(setting, monkeypatch):
    # A replication swapped the weights of the pixel and w terms against its own paper.
    config, judges, split, state = setting
    weights = {"reconstruction_x": 2.0, "reconstruction_perceptual": 3.0, "reconstruction_w": 5.0, "classifier": 7.0}
    losses = config.losses.model_copy(update=weights | {"path_length": 0.0, "r1_gamma": 0.0})
    minimised = []
    monkeypatch.setattr(step, "_update", lambda optimizer, loss: minimised.append(loss.detach()))
    batch = RealBatches(split, judges.classifier, 8, 0, "cpu").next(state.random)
    terms = train_step(state, config.model_copy(update={"losses": losses}), judges, *batch)
    expected = terms["g_adversarial"] + sum(weight * terms[name] for name, weight in weights.items())
    torch.testing.assert_close(minimised[-1], expected)
