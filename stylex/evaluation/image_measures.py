"""What is measured on each counterfactual: whether it flips, what an oracle calls it, and what was changed.

Proximity: the mean |x' - x| of pixels in [-1, 1], and the perceptual distance; x is the reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylex.classifiers import Oracle, perceptual_distance
from stylex.classifiers.oracle import NEITHER, matched
from stylex.evaluation.cout import transition_areas
from stylex.evaluation.extractors import Extractor
from stylex.evaluation.realism import Features
from stylex.evaluation.turning import Model, Turned
from stylex.latents.table import Latents

IMAGE_COLUMNS = (
    "id", "method", "protocol", "target_class", "draw", "first_k", "flipped", "oracle", "agreed", "neither", "l1",
    "perceptual", "cout_target", "cout_source", "cout", "diversity",
)  # fmt: skip
Record = dict[str, Any]


@dataclass(frozen=True)
class Judge:
    """The networks that look at counterfactuals."""

    model: Model
    oracle: Oracle | None
    extractor: Extractor

    def records(self, latents: Latents, turned: Turned, target: str, draw: int) -> list[Record]:
        """Return what is measured on each image, by column of counterfactual_images.csv."""
        size, count, label = self.model.batch_size, len(turned.rows), latents.class_names.index(target)
        source = latents.reconstruction_logits[turned.rows].argmax(dim=1)
        before = self.model.images(latents.style_vector(turned.rows))
        batches = torch.arange(count).split(size) if count else ()
        parts = [self._measured(before[rows], turned.images[rows], source[rows], label) for rows in batches]
        measured = {key: torch.cat([part[key] for part in parts]).tolist() for key in (parts[0] if parts else ())}
        told = self._told(measured.pop("answer", []), latents.class_names, label)
        moves = [None] * count if turned.moves is None else turned.moves.tolist()
        spread = [None] * count if turned.diversity is None else turned.diversity.tolist()
        return [
            {"id": latents.ids[row], "target_class": target, "draw": draw, "diversity": spread[place]}
            | {"first_k": (moves[place] or None) if measured["flipped"][place] else None}
            | {key: values[place] for key, values in (measured | told).items()}
            for place, row in enumerate(turned.rows.tolist())
        ]

    @torch.inference_mode()
    def _measured(self, before: Tensor, after: Tensor, source: Tensor, label: int) -> dict[str, Tensor]:
        """Return what is measured on a batch of images [n, C, H, W]; source [n]: the classes that they leave."""
        model = self.model
        before, after = before.to(model.device), after.to(model.device)
        areas = transition_areas(model.classifier, before, after).cpu()
        left = areas.gather(1, source[:, None])[:, 0]
        features = (model.perceptual.features(images) for images in (before, after))
        measured = {
            "flipped": model.classifier(after).argmax(dim=1).cpu() == label,
            "l1": (after - before).abs().mean((1, 2, 3)).cpu(),
            "perceptual": perceptual_distance(*features).cpu(),
            "cout_target": areas[:, label],
            "cout_source": left,
            "cout": areas[:, label] - left,
        }
        return measured | ({} if self.oracle is None else {"answer": self.oracle(after).argmax(dim=1).cpu()})

    def _told(self, answers: list[int], class_names: tuple[str, ...], label: int) -> dict[str, list[Any]]:
        """Return the oracle's answers by its own names, and what they are to the experiment."""
        if self.oracle is None:
            return {}
        known = self.oracle.class_names
        classes = matched(known, class_names, self.model.config.dataset.one_vs_rest).tolist()
        return {
            "oracle": [known[answer] for answer in answers],
            "agreed": [classes[answer] == label for answer in answers],
            "neither": [classes[answer] == NEITHER for answer in answers],
        }

    def features(self, batches: Iterable[Tensor], ids: list[str]) -> Features:
        """Return the features of images that come in batches [N, C, H, W] in [-1, 1]; ids: of all of them."""
        parts = [self.extractor.features(images) for images in batches if len(images)]
        return Features(ids, torch.cat(parts) if parts else torch.zeros(0, 1, dtype=torch.float64))
