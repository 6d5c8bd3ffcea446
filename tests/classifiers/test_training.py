"""Trainings of classifiers: seeds, the best epoch, balance of the classes, gradual unfreezing."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from stylex.classifiers import Classifier, load_classifier, train_network
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.classifiers.initial_weights import InitialWeights, published_name
from stylex.classifiers.metrics import accuracy, predict
from stylex.classifiers.networks import build_network
from stylex.classifiers.training import Unfreezing, class_weights
from stylex.config import FineTuningConfig
from stylex.errors import DatasetError, TrainingDivergedError

TINY = FineTuningConfig(
    epochs=2, batch_size=32, learning_rate=0.01, max_translation=1, max_images=96, width=0.0625, label_smoothing=0.1
)  # fmt: skip
UNFREEZING = FineTuningConfig(
    architecture="mobilenet_v1", width=0.125, pretrained="given.pth", epochs=2, epochs_per_stage=1, batch_size=32,
    max_images=64, learning_rate=0.001, optimizer="adam", schedule="constant",
)  # fmt: skip


@pytest.fixture
def trained(digits):
    """A function that trains on the digits and returns network and history."""

    def run(config, seed=5, initial=None, train=None):
        return train_network(config, train or digits["train"], digits["val"], seed, "cpu", "tiny", initial)

    return run


def test_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(trained):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first, history = trained(TINY)
    assert torch.equal(torch.rand(1), expected)
    second, other = trained(TINY)[0], trained(TINY, seed=6)[0]
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)
    columns = ["epoch", "train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "images_per_second"]
    assert list(history) == columns and history["epoch"].tolist() == [1, 2]


def test_the_best_epoch_is_returned_by_no_more_validation_images_than_asked_for(trained, digits):
    network, history = trained(TINY)
    assert not network.training
    assert accuracy(predict(network, digits["val"], "cpu"), digits["val"].labels) == history["val_accuracy"].max()
    network, history = trained(TINY.model_copy(update={"max_val_images": 7, "epochs": 1}))
    right = predict(network, digits["val"], "cpu").argmax(1) == digits["val"].labels
    chosen = torch.randperm(len(right), generator=torch.Generator().manual_seed(5))[:7]
    assert len(right) > 7
    assert history["val_accuracy"].tolist() == pytest.approx([right[chosen].float().mean().item()])


def test_a_loss_that_is_not_finite_stops_with_one_line(trained, monkeypatch):
    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", lambda _, logits, labels: logits.sum() * float("nan"))
    with pytest.raises(TrainingDivergedError, match="tiny: the loss is nan in epoch 1; lower learning_rate"):
        trained(TINY)


def test_a_model_of_timm_is_trained_saved_and_loaded(trained, digits, tmp_path):
    changes = {"architecture": "timm:test_efficientnet", "epochs": 1, "max_images": 64, "width": 1.0, "stem": "auto"}
    config = TINY.model_copy(update=changes)
    network, _ = trained(config)
    description = NetworkDescription.of("classifier", "tiny", config, 1, 32, ("0", "1"))
    save_network(tmp_path / "model.safetensors", network, description, {})
    images = digits["val"].images(torch.arange(4))
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(load_classifier(tmp_path / "model.safetensors")(images), expected)
        torch.testing.assert_close(Classifier(network, description)(images), expected)


def test_class_weights_by_hand_and_a_class_without_an_image():
    labels = torch.tensor([0, 0, 0, 1])
    assert class_weights(labels, ("a", "b")).tolist() == pytest.approx([4 / 6, 2])
    assert class_weights(labels, ("a", "b"))[labels].mean() == 1
    with pytest.raises(DatasetError, match="class 'b' has no image in the training split: leave it out"):
        class_weights(torch.tensor([0, 2]), ("a", "b", "c"))


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_classes_of_unequal_size_count_alike_in_the_loss_or_in_what_is_drawn(trained, digits, balance):
    """Sixty 0 and six 1, all in one batch, with a rate at which nothing is learnt."""
    split = digits["train"]
    rows = torch.cat([(split.labels == 0).nonzero()[:60, 0], (split.labels == 1).nonzero()[:6, 0]])
    split = replace(split, labels=split.labels[rows], ids=[split.ids[row] for row in rows], rows=split.rows[rows])
    config = FineTuningConfig(
        epochs=1, batch_size=66, learning_rate=1e-30, width=0.0625, schedule="constant", balance=balance
    )
    network, history = trained(config, seed=3, train=split)
    network.train()
    with torch.no_grad():
        if balance == "loss":
            losses = F.cross_entropy(network(split.images()), split.labels, reduction="none")
            expected = (losses[:60].mean() + losses[60:].mean()) / 2
        else:
            weights = torch.tensor([1 / 60] * 60 + [1 / 6] * 6)
            order = torch.multinomial(weights, 66, replacement=True, generator=torch.Generator().manual_seed(3))
            assert 20 < split.labels[order].sum() < 46
            expected = F.cross_entropy(network(split.images(order)), split.labels[order])
    assert history["train_loss"][0] == pytest.approx(expected.item(), rel=1e-3)


def test_stages_learn_from_the_top_and_frozen_ones_are_in_eval_mode(random_network):
    network = random_network().train()
    unfreezing = Unfreezing(network, 2, 30)
    assert [unfreezing.learning(epoch) for epoch in range(1, 15)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]
    assert unfreezing.last == 10
    assert Unfreezing(network, 2, 6).last == 4  # only two stages are ever reached
    assert Unfreezing(network, None, 6).learning(1) == 5
    unfreezing = Unfreezing(network, 1, 9)
    for epoch in (1, 3, 9):
        unfreezing.apply(epoch)
        learning = [index >= 5 - min(epoch - 1, 5) for index in range(5)]
        assert [stage.training for stage in network.stages] == learning
        assert [all(value.requires_grad for value in stage.parameters()) for stage in network.stages] == learning
        assert all(module.training == stage.training for stage in network.stages for module in stage.modules())
        assert network.head.training and network.head.weight.requires_grad


@pytest.fixture
def initial() -> InitialWeights:
    torch.manual_seed(0)
    state = build_network("mobilenet_v1", 3, 2, 0.125, "published").state_dict()
    named = {published_name("mobilenet_v1", name): value for name, value in state.items() if "head" not in name}
    return InitialWeights("given.pth", named)


@pytest.mark.parametrize("epochs", [1, 2])
def test_what_is_frozen_is_what_was_given(trained, initial, epochs):
    network, _ = trained(UNFREEZING.model_copy(update={"epochs": epochs}), 0, initial)
    given = {name: initial.state.get(published_name("mobilenet_v1", name)) for name in network.state_dict()}
    same = {
        name for name, value in network.state_dict().items() if given[name] is not None and value.equal(given[name])
    }
    frozen = {name for name in network.state_dict() if name.startswith(tuple(f"stages.{n}." for n in range(4)))}
    assert frozen <= same and "head.weight" not in same
    last = {f"stages.4.{name}" for name in ("conv_pw_13.weight", "conv_pw_13_bn.running_mean")}
    assert epochs == 2 or last <= same


@pytest.mark.parametrize(
    ("epochs_per_stage", "patience", "expected"),
    # The head alone, at a rate of nothing: the first epoch is the best. Or two stages are reached, one in epoch 9.
    [(9, 2, 3), (4, 1, 9)],
)
def test_training_ends_when_nothing_improves_with_all_stages(trained, initial, epochs_per_stage, patience, expected):
    changes = {"epochs": 9, "epochs_per_stage": epochs_per_stage, "learning_rate": 1e-30, "patience": patience}
    _, history = trained(UNFREEZING.model_copy(update=changes), 0, initial)
    assert len(history) == expected
