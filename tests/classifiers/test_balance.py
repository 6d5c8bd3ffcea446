"""Classes of unequal size count alike, in the loss or in what is drawn."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from stylex.classifiers import train_network
from stylex.classifiers.balance import class_weights, drawing_weights
from stylex.config import FineTuningConfig
from stylex.errors import DatasetError


def test_weights_by_hand():
    labels = torch.tensor([0, 0, 0, 1])
    assert class_weights(labels, ("a", "b")).tolist() == pytest.approx([4 / 6, 2])
    assert class_weights(labels, ("a", "b"))[labels].mean() == 1
    drawn = drawing_weights(labels, ("a", "b"))
    assert drawn[:3].sum() == drawn[3]


def test_a_class_without_an_image_is_named():
    with pytest.raises(DatasetError, match="class 'b' has no image in the training split: leave it out"):
        class_weights(torch.tensor([0, 2]), ("a", "b", "c"))


@pytest.fixture
def unequal(digits):
    """Sixty 0 and six 1, all in one batch, with a rate at which nothing is learnt."""
    split = digits["train"]
    rows = torch.cat([(split.labels == 0).nonzero()[:60, 0], (split.labels == 1).nonzero()[:6, 0]])
    ids = [split.ids[row] for row in rows.tolist()]
    config = FineTuningConfig(epochs=1, batch_size=66, learning_rate=1e-30, width=0.0625, schedule="constant")
    return replace(split, labels=split.labels[rows], ids=ids, rows=split.rows[rows.numpy()]), config


def test_the_loss_is_weighted(unequal, digits):
    split, config = unequal
    config = config.model_copy(update={"balance": "loss"})
    network, history = train_network(config, split, digits["val"], 3, "cpu", "balanced")
    with torch.no_grad():
        losses = F.cross_entropy(network.train()(split.images()), split.labels, reduction="none")
    expected = (losses[:60].mean() + losses[60:].mean()) / 2
    assert history["train_loss"][0] == pytest.approx(expected.item(), rel=1e-4)


def test_what_is_drawn_is_balanced(unequal, digits):
    split, config = unequal
    config = config.model_copy(update={"balance": "sampling"})
    network, history = train_network(config, split, digits["val"], 3, "cpu", "balanced")
    weights = torch.tensor([1 / 60] * 60 + [1 / 6] * 6)
    order = torch.multinomial(weights, 66, replacement=True, generator=torch.Generator().manual_seed(3))
    assert 20 < split.labels[order].sum() < 46
    with torch.no_grad():
        expected = F.cross_entropy(network.train()(split.images(order)), split.labels[order])
    assert history["train_loss"][0] == pytest.approx(expected.item(), rel=1e-3)
