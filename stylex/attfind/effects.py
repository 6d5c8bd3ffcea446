"""The stage `effects`: every move of every searched image, streamed to one file per shard, resumable after a kill.

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
from stylex.attfind.engine import Screen, every_move, logits_of_moves, screened, targets_of
from stylex.attfind.records import EffectsHeader, EffectsRow, effects_writer
from stylex.classifiers import Classifier, load_classifier
from stylex.config import AttFindConfig, experiment_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.locks import exclusive
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.precision import autocast_to, format_name, number_format
from stylex.progress import progress
from stylex.source import code_digest

IDENTITY = "identity"  # key in the header of a part
# Imported, but decides no effect: values of the configuration arrive as they are, and files are told by their content.
WITHOUT = ("stylex.config", "stylex.attfind.records")


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
        self.extremes = latents.extremes.to(device)
        self.dtype = number_format(options.precision, device)
        self.autocast = autocast_to(self.dtype, device)
        self.moves = 2 * self.synthesis.layout.size  # of an image

    def header(self, origin: dict[str, str]) -> EffectsHeader:
        """Return what holds for all rows."""
        precision = format_name(self.dtype)
        return EffectsHeader.of(self.latents, self.synthesis.layout, self.options.shift, precision, origin)

    @torch.inference_mode()
    def rows(self, images: range) -> list[EffectsRow]:
        """Measure a group of the searched images."""
        chosen = self.searched[images.start : images.stop]
        styles = self.latents.style_vector(chosen).to(self.device)
        targets = targets_of(styles.space, self.extremes, self.options.shift)
        before = self.latents.logits[chosen].to(self.device)
        with self.autocast:
            base = self._outputs(self.synthesis.render(styles), before).float()
            moved = logits_of_moves(self.synthesis, self._outputs, styles, every_move(targets), self.options.batch_size)
        change = (moved.reshape(*targets.shape, -1) - base[:, None, None]).cpu()
        classes = len(self.latents.class_names)
        scores = change[..., classes].abs() if self.discriminator is not None else [None] * len(images)
        logits = base[:, :classes].cpu()
        return [EffectsRow(*values) for values in zip(logits, change[..., :classes], scores, strict=True)]

    def _outputs(self, rendered: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return C's logits, and beside them D's score where it is asked for, [N, classes + 1].

        condition [N, classes]: the logits that D is conditioned on; default: C's of the very images, as in [N].
        """
        logits = self.classifier(rendered)
        if self.discriminator is None:
            return logits
        probabilities = (logits if condition is None else condition).softmax(dim=1)
        return torch.cat([logits, self.discriminator(rendered, probabilities, group=1)[:, None]], dim=1)


def compute_effects(root: Path, name: str, device: str, shard: int = 0, protocol: str | None = None) -> None:
    """Write one shard of the experiment's effects; attfind.shards says how many there are.

    protocol: one of attfind.protocols; default: the main one.
    """
    config = load_experiment(root, name)
    options, protocol = config.attfind, config.attfind.known_protocol(protocol)
    if not 0 <= shard < options.shards:
        raise ArtifactError(f"shard {shard} does not exist: attfind.shards of {name} is {options.shards}")
    paths = experiment_paths(root, name).under(protocol, options.protocol)
    latents = read_latents(paths.latents).under(protocol)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    size = networks.synthesis.layout.size
    if latents.styles.shape[1] != size:
        raise ArtifactError(f"{paths.latents} has {latents.styles.shape[1]} styles, the network {size}; encode again")
    origin = provenance(config.digest(), config.seed, device) | {"protocol": protocol}
    measurement, path = Measurement(networks, classifier, latents, options, device), paths.effects(shard)
    if options.engine == "screened":
        write_screened(path, measurement, config.seed, origin)
        return
    inputs = [content_digest(file) for file in (paths.latents, paths.stylex_model, paths.classifier.model)]
    decisive = options.shift, measurement.dtype, options.batch_size, options.discriminator_filter is not None
    decisive += latents.protocol, code_digest("stylex.attfind.effects", without=WITHOUT)
    identity = hashlib.sha256(repr((decisive, inputs)).encode()).hexdigest()
    folder = path.with_suffix(".parts")
    groups = shard_groups(len(measurement.ids), max(1, options.batch_size // measurement.moves), shard, options.shards)
    parts = {group: folder / f"{group.start:07d}-{group.stop:07d}.safetensors" for group in groups}
    label = f"effects {name}" + (f" {shard + 1}/{options.shards}" if options.shards > 1 else "")
    with exclusive(folder / "lock", f"the effects of '{name}' are being measured"):
        with progress(label, sum(map(len, groups)) * measurement.moves, "renders") as counter:
            for group, part in parts.items():
                if read_part(part, identity) is None:
                    write_part(part, identity, measurement.rows(group))
                counter.advance(len(group) * measurement.moves)
        discriminator = measurement.discriminator is not None
        with effects_writer(path, measurement.header(origin), discriminator) as writer:
            for group, part in parts.items():
                for image, row in zip(group, read_part(part, identity) or (), strict=True):
                    writer.add(measurement.ids[image], row)
        shutil.rmtree(folder, ignore_errors=True)


def write_screened(path: Path, measurement: Measurement, seed: int, origin: dict[str, str]) -> None:
    """Write what a screened search measured, NaN where it did not, and in the provenance how much that was."""
    styles = measurement.latents.style_vector(measurement.searched).to(measurement.device)
    networks, options = (measurement.synthesis, measurement.classifier), measurement.options
    with measurement.autocast:
        screen = Screen(*networks, styles, measurement.extremes, options)
        complete, bounded = screened(screen, seed)
    origin = origin | {
        "engine": "screened",
        "confidence": str(options.confidence),
        "evaluations": f"{screen.evaluations} of {len(measurement.ids) * measurement.moves}",
        "moves measured on all images of a class": str(complete),
        "moves only bounded": str(bounded),
    }
    with effects_writer(path, measurement.header(origin)) as writer:
        for image, base, effect in zip(measurement.ids, screen.base, screen.effect, strict=True):
            writer.add(image, EffectsRow(base, effect))


def shard_groups(count: int, size: int, shard: int, shards: int) -> list[range]:
    """Return the groups of one shard: consecutive ones, of the groups of `size` images into which `count` fall."""
    groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return groups[len(groups) * shard // shards : len(groups) * (shard + 1) // shards]


def write_part(path: Path, identity: str, rows: list[EffectsRow]) -> None:
    """Keep a finished group; `identity`: the digest of all that decides its rows."""
    fields = [name for name, value in rows[0]._asdict().items() if value is not None]
    columns = {name: torch.stack([getattr(row, name) for row in rows]) for name in fields}
    save_tensors(path, columns, {IDENTITY: identity})


def read_part(path: Path, identity: str) -> list[EffectsRow] | None:
    """Return a group that was kept; None: it is not on disk, torn, or of another identity."""
    try:
        columns, header = load_tensors(path)
    except ArtifactError:
        return None
    if header.get(IDENTITY) != identity:
        return None
    names = columns.keys()
    return [EffectsRow(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]
