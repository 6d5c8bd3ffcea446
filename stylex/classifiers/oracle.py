"""The oracle: a classifier of all classes of the dataset, trained apart from everything, that says what an image shows.

A counterfactual that turns the explained classifier may be an adversarial example; another network, which no gradient
and no search has seen, is not turned by it (Jeanneret et al. 2023, ACE, ask one for the same reason).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import load_tensors
from stylex.classifiers.wrapper import FrozenNetwork, load_network
from stylex.config.analysis import REST
from stylex.errors import ArtifactError

NEITHER = -1  # an answer that is no class of the experiment


class Oracle(FrozenNetwork):
    """A frozen network that gives the logits of all classes of its dataset; `class_names` are in their order."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 logits [N, all classes]."""
        return self.network(images).float()


def load_oracle(path: Path, others: Sequence[Path], device: str = "cpu") -> Oracle:
    """Load the oracle of `path`; raise `ArtifactError` when it is missing, damaged, none, or the same as another.

    others: the weights of the networks that it must not be: what is explained, and what the loss has seen.
    """
    oracle = Oracle(*load_network(path, "oracle"))
    for other in others:
        if same_weights(path, other):
            raise ArtifactError(
                f"{path} has the weights of {other}, which has had a part in what it is to judge; train the oracle"
                " with another seed or architecture"
            )
    return oracle.to(device)


def same_weights(path: Path, other: Path) -> bool:
    """Whether two files hold the same tensors, whatever their headers say that these are."""
    ours, theirs = load_tensors(path)[0], load_tensors(other)[0]
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def matched(known: Sequence[str], class_names: Sequence[str], one_vs_rest: str | None) -> Tensor:
    """Return the experiment's class of each class that the oracle knows, by name, [known] int64; `NEITHER`: none.

    one_vs_rest: of such an experiment the one class; all others are its `REST`. Raises `ArtifactError` when the oracle
    does not know a class.
    """
    asked = class_names if one_vs_rest is None else [one_vs_rest]
    for name in asked:
        if name not in known:
            raise ArtifactError(
                f"the oracle does not know '{name}', but {', '.join(known)}; name another in evaluation.oracle"
            )
    others = NEITHER if one_vs_rest is None else list(class_names).index(REST)
    return torch.tensor([list(class_names).index(name) if name in asked else others for name in known])
