"""The stage `effects`: every move of every searched image, streamed to a file a shard, resumable after a kill.

Images are measured in groups of about a batch of moves. A finished group is a part file beside the shard; the parts
become the shard, in order, when all are there. Shards hold whole groups, so that a group is the same computation, bit
for bit, however many shards there are.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import content_digest, load_tensors, provenance, save_tensors
from stylex.attfind.algorithms import Limits
from stylex.attfind.engine import every_move, logits_of_moves, targets_of
from stylex.attfind.records import EffectsHeader, EffectsRow, effects_writer
from stylex.attfind.screening import Screen, screened
from stylex.classifiers import Classifier, load_classifier
from stylex.config import AttFindConfig, experiment_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.locks import exclusive
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.precision import autocast_to, format_name, number_format
from stylex.progress import progress
from stylex.protocols import Protocol
from stylex.source import code_digest

IDENTITY = "identity"  # key in the header of a part
# What this module imports and what decides no effect: values arrive as they are, files are told by their content, and a
# screened search has no parts.
WITHOUT = ("stylex.config", "stylex.attfind.records", "stylex.attfind.screening")


class Measurement:
    """What turns a group of images into rows of the effects file."""

    def __init__(
        self, networks: StylexNetworks, classifier: Classifier, latents: Latents, options: AttFindConfig, device: str
    ) -> None:
        self.synthesis, self.classifier, self.latents, self.options = networks.synthesis, classifier, latents, options
        self.discriminator = networks.discriminator if options.discriminator_filter is not None else None
        self.device = device
        self.searched = torch.nonzero(latents.searched).flatten()
        self.ids = [latents.ids[row] for row in self.searched.tolist()]
        self.extremes = torch.stack([latents.minima, latents.maxima]).to(device)
        self.dtype = number_format(options.precision, device)
        self.autocast = autocast_to(self.dtype, device)

    def group_size(self) -> int:
        """Return the images measured together."""
        return max(1, self.options.batch_size // (2 * self.synthesis.layout.size))

    @torch.inference_mode()
    def rows(self, images: range) -> list[EffectsRow]:
        """Measure a group of the searched images."""
        chosen = self.searched[images.start : images.stop]
        styles = self.latents.style_vector(chosen).to(self.device)
        targets = targets_of(styles.space, self.extremes, self.options.shift)
        before = self.latents.logits[chosen].to(self.device)
        with self.autocast:
            base = self._judge(self.synthesis.render(styles), before).float()
            moved = logits_of_moves(self.synthesis, self._judge, styles, every_move(targets), self.options.batch_size)
        change = (moved.reshape(*targets.shape, -1) - base[:, None, None]).cpu()
        classes = len(self.latents.class_names)
        scores = change[..., classes].abs() if self.discriminator is not None else [None] * len(images)
        logits = base[:, :classes].cpu()
        return [EffectsRow(*values) for values in zip(logits, change[..., :classes], scores, strict=True)]

    def _judge(self, rendered: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return C's logits, and beside them D's score where it is asked for, [N, classes + 1].

        condition [N, classes]: the logits that D is conditioned on; default: C's of the very images, as in [N].
        """
        logits = self.classifier(rendered)
        if self.discriminator is None:
            return logits
        probabilities = (logits if condition is None else condition).softmax(dim=1)
        return torch.cat([logits, self.discriminator(rendered, probabilities, group=1)[:, None]], dim=1)


def compute_effects(root: Path, name: str, device: str, shard: int = 0, protocol: Protocol | None = None) -> None:
    """Write one shard of the experiment's effects; attfind.shards says how many there are.

    protocol: one of attfind.protocols; default: the main one.
    """
    config = load_experiment(root, name)
    options = config.attfind
    if not 0 <= shard < options.shards:
        raise ArtifactError(f"shard {shard} does not exist: attfind.shards of {name} is {options.shards}")
    protocol = options.known_protocol(protocol)
    paths = experiment_paths(root, name).under(protocol, options.protocol)
    latents = read_latents(paths.latents).under(protocol)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    layout = networks.synthesis.layout
    if latents.styles.shape[1] != layout.size:
        raise ArtifactError(
            f"{paths.latents} has {latents.styles.shape[1]} styles, the network {layout.size}; encode again"
        )
    origin = provenance(config.digest(), config.seed, device) | {"protocol": protocol}
    measurement = Measurement(networks, classifier, latents, options, device)
    if options.engine == "screened":
        write_screened(paths.effects(), measurement, config.seed, origin)
        return
    groups = shard_groups(len(measurement.ids), measurement.group_size(), shard, options.shards)
    inputs = [content_digest(path) for path in (paths.latents, paths.stylex_model, paths.classifier.model)]
    parts = Parts(paths.effects(shard).with_suffix(".parts"), identity(measurement, inputs))
    label = f"effects {name}" + (f" {shard + 1}/{options.shards}" if options.shards > 1 else "")
    with exclusive(parts.folder / "lock", f"the effects of '{name}' are being measured"):
        measure_parts(measurement, groups, parts, label)
        header = header_of(measurement, origin)
        with effects_writer(paths.effects(shard), header, measurement.discriminator is not None) as writer:
            for group in groups:
                for image, row in zip(group, parts.read(group), strict=True):
                    writer.add(measurement.ids[image], row)
        parts.remove()


def measure_parts(measurement: Measurement, groups: list[range], parts: Parts, label: str) -> None:
    """Measure the groups that are not on disk yet."""
    moves = 2 * measurement.synthesis.layout.size
    with progress(label, sum(map(len, groups)) * moves, "renders") as counter:
        for group in groups:
            if not parts.has(group):
                parts.write(group, measurement.rows(group))
            counter.advance(len(group) * moves)


def write_screened(path: Path, measurement: Measurement, seed: int, origin: dict[str, str]) -> None:
    """Write what a screened search measured, NaN where it did not, and in the provenance how much that was."""
    options = measurement.options
    styles = measurement.latents.style_vector(measurement.searched).to(measurement.device)
    with measurement.autocast:
        networks = measurement.synthesis, measurement.classifier
        screen = Screen(*networks, styles, measurement.extremes, options.shift, options.batch_size)
        limits = Limits(options.threshold, options.max_attributes, tolerance=options.tolerance)
        result = screened(screen, limits, options.confidence, seed)
    every = 2 * measurement.synthesis.layout.size
    origin = origin | {
        "engine": "screened",
        "confidence": str(options.confidence),
        "evaluations": f"{result.evaluations} of {len(measurement.ids) * every}",
        "moves measured on all images of a class": str(result.measured),
        "moves only bounded": str(result.bounded),
    }
    with effects_writer(path, header_of(measurement, origin)) as writer:
        for image, row in zip(measurement.ids, zip(result.base_logits, result.effect, strict=True), strict=True):
            writer.add(image, EffectsRow(*row))


def shard_groups(count: int, size: int, shard: int, shards: int) -> list[range]:
    """Return the groups of one shard: consecutive ones, of the groups of `size` images into which `count` fall."""
    groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return groups[len(groups) * shard // shards : len(groups) * (shard + 1) // shards]


def identity(measurement: Measurement, inputs: list[str]) -> str:
    """Return the digest of all that decides a part's content; `inputs`: digests of the files that it is made of."""
    options = measurement.options
    decisive = options.shift, measurement.dtype, options.batch_size, options.discriminator_filter is not None
    decisive += measurement.latents.protocol, code_digest("stylex.attfind.effects", without=WITHOUT)
    return hashlib.sha256(repr((decisive, inputs)).encode()).hexdigest()


class Parts:
    """The finished groups of a shard, a file each; those of other inputs or options are not seen."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity

    def _path(self, group: range) -> Path:
        return self.folder / f"{group.start:07d}-{group.stop:07d}.safetensors"

    def has(self, group: range) -> bool:
        """Whether the group is on disk, whole and of this identity."""
        try:
            return load_tensors(self._path(group))[1].get(IDENTITY) == self.identity
        except ArtifactError:
            return False

    def write(self, group: range, rows: list[EffectsRow]) -> None:
        """Keep a group."""
        columns = {
            field: torch.stack([getattr(row, field) for row in rows])
            for field in EffectsRow._fields
            if getattr(rows[0], field) is not None
        }
        save_tensors(self._path(group), columns, {IDENTITY: self.identity})

    def read(self, group: range) -> list[EffectsRow]:
        """Return a group that was kept."""
        columns = load_tensors(self._path(group))[0]
        return [EffectsRow(**{name: values[row] for name, values in columns.items()}) for row in range(len(group))]

    def remove(self) -> None:
        """Forget all."""
        shutil.rmtree(self.folder, ignore_errors=True)


def header_of(measurement: Measurement, origin: dict[str, str]) -> EffectsHeader:
    """Return what holds for all rows."""
    latents, layout = measurement.latents, measurement.synthesis.layout
    located = [layout.locate(index) for index in range(layout.size)]
    return EffectsHeader(
        class_names=latents.class_names,
        shift=measurement.options.shift,
        precision=format_name(measurement.dtype),
        minima=latents.minima.tolist(),
        maxima=latents.maxima.tolist(),
        layers=[layer for layer, _ in located],
        channels=[channel for _, channel in located],
        provenance=origin,
    )
