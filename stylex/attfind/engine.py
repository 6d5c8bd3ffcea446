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
    at_once = max(1, options.batch_size // (2 * max(synthesis.layout.widths)))
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.precision == "bfloat16")
    with (
        effects_writer(paths.effects(), header) as writer,
        progress(f"effects {name}", len(latents.ids) * 2 * size, "renders") as counter,
    ):
        for rows in torch.arange(len(latents.ids)).split(at_once):
            styles = latents.style_vector(rows).to(device)
            with autocast:
                base, effect = effects_of(synthesis, classifier, styles, extremes, options.shift, options.batch_size)
            for row, base_logits, change in zip(rows.tolist(), base.cpu(), effect.cpu(), strict=True):
                writer.add(latents.ids[row], base_logits, change)
            counter.advance(len(rows) * 2 * size)


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
    """Return base logits [N, classes] and effects [N, 2, K, classes] in logits, float32.

    styles: of N images; extremes [2, K]: minima and maxima (axis 0 is `Direction`); `batch_size`: renders at a time.
    Effect = C(G(S with s at s + shift * (extreme - s))) - C(G(S)).
    """
    state, moved = synthesis.start(len(styles.space)), []
    for layer, (offset, width) in enumerate(zip(synthesis.layout.offsets, synthesis.layout.widths, strict=True)):
        assert state.layer == layer
        index = torch.arange(offset, offset + width, device=extremes.device)
        moved.append(_moved_logits(synthesis, classifier, state, styles, index, extremes, shift, batch_size))
        state = synthesis.advance(state, styles)
    base = classifier(synthesis.finish(state, styles)).float()
    return base, torch.cat(moved, dim=2) - base[:, None, None]


def _moved_logits(
    synthesis: Synthesis,
    classifier: Classifier,
    state: Activations,
    styles: StyleVector,
    index: Tensor,
    extremes: Tensor,
    shift: float,
    batch_size: int,
) -> Tensor:
    """Return the logits [N, 2, width, classes] with each coordinate of `index` [width] moved alone, both ways."""
    count, width, logits = len(styles.space), len(index), []
    for rows in torch.arange(count * 2 * width, device=index.device).split(batch_size):
        image, direction, coordinate = rows // (2 * width), rows // width % 2, index[rows % width]
        space, each = styles.space[image], torch.arange(len(rows), device=rows.device)
        current = space[each, coordinate]
        space[each, coordinate] = current + shift * (extremes[direction, coordinate] - current)
        images = synthesis.finish(_gather(state, image), StyleVector(space, styles.to_rgb[image]))
        logits.append(classifier(images).float())
    return torch.cat(logits).reshape(count, 2, width, -1)


def _gather(state: Activations, image: Tensor) -> Activations:
    """Return the state of the samples `image` [rows], with repetition."""
    return Activations(state.layer, state.features[image], None if state.image is None else state.image[image])
