"""The effect of every style coordinate on the classifier ([L] 3.3, Delta of Algorithm 1), batched over coordinates.

A coordinate of layer l leaves everything below l unchanged, so the state before layer l is computed once an image and
shared by all moves of that layer. Moves are made in copies of the style tensor: weights and inputs are never touched.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.records import EffectsHeader, effects_writer
from stylex.classifiers import Classifier, load_classifier
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector
from stylex.networks.synthesis import Activations, Synthesis
from stylex.progress import progress


def compute_effects(root: Path, name: str, device: str) -> None:
    """Write the experiment's effects of all coordinates on all analysed images."""
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    latents = read_latents(paths.latents)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    classifier = load_classifier(paths.classifier.model, device)
    size, options = synthesis.layout.size, config.attfind
    if latents.styles.shape[1] != size:
        raise ArtifactError(f"{paths.latents} has {latents.styles.shape[1]} styles, the network {size}; encode again")
    header = _header(latents, synthesis.layout, options, provenance(config.digest(), config.seed, device))
    extremes = torch.stack([latents.minima, latents.maxima]).to(device)
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.precision == "bfloat16")
    with (
        effects_writer(paths.effects(), header) as writer,
        progress(f"effects {name}", len(latents.ids) * 2 * size, "renders") as counter,
    ):
        for row, image in enumerate(latents.ids):
            styles = latents.style_vector(torch.tensor([row])).to(device)
            with autocast:
                base, effect = effects_of(synthesis, classifier, styles, extremes, options.shift, options.batch_size)
            writer.add(image, base.cpu(), effect.cpu())
            counter.advance(2 * size)


def _header(
    latents: Latents, layout: StyleSpaceLayout, options: AttFindConfig, origin: dict[str, str]
) -> EffectsHeader:
    located = [layout.locate(index) for index in range(layout.size)]
    return EffectsHeader(
        class_names=latents.class_names,
        shift=options.shift,
        precision=options.precision,
        minima=latents.minima.tolist(),
        maxima=latents.maxima.tolist(),
        layers=[layer for layer, _ in located],
        channels=[channel for _, channel in located],
        provenance=origin,
    )


@torch.inference_mode()
def effects_of(
    synthesis: Synthesis, classifier: Classifier, styles: StyleVector, extremes: Tensor, shift: float, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Return base logits [classes] and effects [2, K, classes] in logits, float32.

    styles: of one image, space [1, K]; extremes [2, K]: minima, maxima (axis 0 is `Direction`); `batch_size`: renders
    at a time. Effect = C(G(S with s at s + shift * (extreme - s))) - C(G(S)).
    """
    state, moved = synthesis.start(1), []
    for layer, (offset, width) in enumerate(zip(synthesis.layout.offsets, synthesis.layout.widths, strict=True)):
        assert state.layer == layer
        index = torch.arange(offset, offset + width, device=extremes.device)
        target = styles.space[:, index] + shift * (extremes[:, index] - styles.space[:, index])  # [2, width]
        moved.append(_moved_logits(synthesis, classifier, state, styles, index, target, batch_size))
        state = synthesis.advance(state, styles)
    base = classifier(synthesis.finish(state, styles)).float()[0]
    return base, torch.cat(moved, dim=1) - base


def _moved_logits(
    synthesis: Synthesis,
    classifier: Classifier,
    state: Activations,
    styles: StyleVector,
    index: Tensor,
    target: Tensor,
    batch_size: int,
) -> Tensor:
    """Return the logits [2, width, classes] with each coordinate of `index` [width] alone at its `target` [2, width].

    Only the touched layer sees styles of its own for every move; the layers above it share the image's.
    """
    logits = []
    for rows in torch.arange(target.numel(), device=index.device).split(batch_size):
        space = styles.space.repeat(len(rows), 1)
        space[torch.arange(len(rows), device=index.device), index[rows % len(index)]] = target.flatten()[rows]
        touched = synthesis.advance(state, StyleVector(space, styles.to_rgb))
        logits.append(classifier(synthesis.finish(touched, styles)).float())
    return torch.cat(logits).reshape(2, len(index), -1)
