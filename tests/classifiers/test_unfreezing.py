"""The head learns first, then stage after stage from the top; what is frozen stays as it was, statistics included."""

import pytest
import torch

from stylex.classifiers import train_network
from stylex.classifiers.initial_weights import InitialWeights, published_name
from stylex.classifiers.networks import build_network
from stylex.classifiers.unfreezing import Unfreezing
from stylex.config import FineTuningConfig

CONFIG = FineTuningConfig(
    architecture="mobilenet_v1", width=0.125, pretrained="given.pth", epochs=2, epochs_per_stage=1, batch_size=32,
    max_images=64, learning_rate=0.001, optimizer="adam", schedule="constant",
)  # fmt: skip


@pytest.fixture
def initial() -> InitialWeights:
    torch.manual_seed(0)
    state = build_network("mobilenet_v1", 3, 2, 0.125, "published").state_dict()
    named = {published_name("mobilenet_v1", name): value for name, value in state.items() if "head" not in name}
    return InitialWeights("given.pth", named)


def test_stages_follow_from_the_top(random_network):
    unfreezing = Unfreezing(random_network(), 2, 30)
    assert [unfreezing.learning(epoch) for epoch in range(1, 15)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]
    assert unfreezing.last == 10
    assert Unfreezing(random_network(), 2, 6).last == 4  # only two stages are ever reached
    assert Unfreezing(random_network(), None, 6).learning(1) == 5


def test_frozen_stages_are_in_eval_mode_and_take_no_gradient(random_network):
    network = random_network().train()
    unfreezing = Unfreezing(network, 1, 9)
    for epoch in (1, 3, 9):
        unfreezing.apply(epoch)
        learning = [index >= 5 - min(epoch - 1, 5) for index in range(5)]
        assert [stage.training for stage in network.stages] == learning
        assert [all(value.requires_grad for value in stage.parameters()) for stage in network.stages] == learning
        assert all(module.training == stage.training for stage in network.stages for module in stage.modules())
        assert network.head.training and network.head.weight.requires_grad


@pytest.mark.parametrize("epochs", [1, 2])
def test_what_is_frozen_is_what_was_given(digits, initial, epochs):
    config = CONFIG.model_copy(update={"epochs": epochs})
    network, _ = train_network(config, digits["train"], digits["val"], 0, "cpu", "frozen", initial)
    same = {name for name, value in network.state_dict().items() if torch.equal(value, given(initial, name))}
    frozen = {name for name in network.state_dict() if name.startswith(tuple(f"stages.{n}." for n in range(4)))}
    assert frozen <= same and "head.weight" not in same
    assert epochs == 2 or all(
        f"stages.4.{name}" in same for name in ("conv_pw_13.weight", "conv_pw_13_bn.running_mean")
    )


def given(initial: InitialWeights, name: str) -> torch.Tensor:
    return initial.state.get(published_name("mobilenet_v1", name), torch.empty(0))


def test_training_ends_when_nothing_improves(digits, initial):
    config = CONFIG.model_copy(update={"epochs": 9, "epochs_per_stage": 9, "learning_rate": 1e-30, "patience": 2})
    _, history = train_network(config, digits["train"], digits["val"], 0, "cpu", "patient", initial)
    assert history["epoch"].tolist() == [1, 2, 3]  # the head alone, at a rate of nothing: the first epoch is the best


def test_patience_waits_for_the_last_stage_to_be_unfrozen(digits, initial):
    config = CONFIG.model_copy(update={"epochs": 9, "epochs_per_stage": 4, "learning_rate": 1e-30, "patience": 1})
    _, history = train_network(config, digits["train"], digits["val"], 0, "cpu", "patient", initial)
    assert len(history) == 9  # two stages are reached, the second in epoch 9
