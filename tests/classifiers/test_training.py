import pytest
import torch

from stylex.classifiers import train_network
from stylex.classifiers.accuracy import accuracy, predict
from stylex.classifiers.translation import translate
from stylex.config import FineTuningConfig
from stylex.errors import TrainingDivergedError

TINY = FineTuningConfig(
    epochs=2, batch_size=32, learning_rate=0.01, max_translation=1, max_images=96, width=0.0625, label_smoothing=0.1
)  # fmt: skip


def test_translation_against_a_plain_loop():
    images = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    shifts = torch.tensor([[1, -2], [-3, 0]])
    moved = translate(images, shifts)
    for image in range(2):
        for row in range(4):
            for column in range(4):
                source_row = min(max(row - int(shifts[image, 0]), 0), 3)
                source_column = min(max(column - int(shifts[image, 1]), 0), 3)
                expected = images[image, :, source_row, source_column]
                assert torch.equal(moved[image, :, row, column], expected)


def test_no_shift_is_no_change():
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(translate(images, torch.zeros(3, 2, dtype=torch.int64)), images)


def test_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(digits):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first, history = train_network(TINY, digits["train"], digits["val"], 5, "cpu", "first")
    assert torch.equal(torch.rand(1), expected)
    second, _ = train_network(TINY, digits["train"], digits["val"], 5, "cpu", "second")
    other, _ = train_network(TINY, digits["train"], digits["val"], 6, "cpu", "other")
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)
    assert list(history) == [
        "epoch",
        "train_loss",
        "val_loss",
        "val_accuracy",
        "val_balanced_accuracy",
        "images_per_second",
    ]
    assert history["epoch"].tolist() == [1, 2]


def test_the_best_epoch_is_returned(digits):
    network, history = train_network(TINY, digits["train"], digits["val"], 5, "cpu", "best")
    assert not network.training
    assert accuracy(predict(network, digits["val"], "cpu"), digits["val"].labels) == history["val_accuracy"].max()


def test_an_epoch_is_judged_by_no_more_validation_images_than_asked_for(digits):
    val, seed = digits["val"], 5
    few = TINY.model_copy(update={"max_val_images": 7, "epochs": 1})
    network, history = train_network(few, digits["train"], val, seed, "cpu", "few")
    right = predict(network, val, "cpu").argmax(1) == val.labels
    chosen = torch.randperm(len(val), generator=torch.Generator().manual_seed(seed))[:7]
    assert history["val_accuracy"].tolist() == pytest.approx([right[chosen].float().mean().item()])
    assert len(val) > 7


def test_a_loss_that_is_not_finite_stops_with_one_line(digits, monkeypatch):
    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", lambda _, logits, labels: logits.sum() * float("nan"))
    with pytest.raises(TrainingDivergedError, match="tiny: the loss is nan in epoch 1; lower learning_rate"):
        train_network(TINY, digits["train"], digits["val"], 0, "cpu", "tiny")
