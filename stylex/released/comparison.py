"""Is the conversion right? The converted networks beside what the authors measured, and beside the SavedModels."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from stylex.attfind.engine import Moves, logits_of_moves, targets_of
from stylex.classifiers import Classifier
from stylex.errors import ArtifactError
from stylex.latents.table import Latents
from stylex.networks.model import StylexNetworks
from stylex.networks.synthesis import Synthesis
from stylex.released import reference
from stylex.released.files import MODELS
from stylex.released.measured import MeasuredEffects

PROBES = 64  # coordinates whose effects are measured again, evenly over all, each on another image
SHOWN = 8  # latents that TensorFlow renders


@dataclass(frozen=True)
class Differences:
    """The largest absolute difference of each quantity."""

    largest: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.2g}" for name, value in self.largest.items())

    def require(self, tolerance: float, beside: str) -> None:
        """Raise `ArtifactError` unless no difference is above `tolerance`; NaN is above."""
        wrong = [name for name, value in self.largest.items() if not value <= tolerance]
        if wrong:
            raise ArtifactError(
                f"the converted networks are not those of {beside}: the largest differences are {self}, and"
                f" {' and '.join(wrong)} may differ by {tolerance:g} at the most (--tolerance); nothing was written"
            )


@torch.inference_mode()
def compare_with_measured(
    synthesis: Synthesis, classifier: Classifier, latents: Latents, measured: MeasuredEffects, device: str
) -> Differences:
    """Compare the logits of all reconstructions, and the effects of some coordinates, with the authors' own.

    The effects are of both directions of coordinates spread over StyleSpace, so that they also tell whether its order
    and the extremes are those of the authors. Raises `ArtifactError` when the number of coordinates is another.
    """
    if measured.effects.shape[2] != synthesis.layout.size:
        raise ArtifactError(
            f"the released effects are of {measured.effects.shape[2]} coordinates, the converted generator has"
            f" {synthesis.layout.size}: correct the experiment's stylex.networks"
        )
    count, size = len(latents.ids), synthesis.layout.size
    index = torch.linspace(0, size - 1, min(PROBES, size)).round().long()
    image = torch.arange(len(index)) * count // len(index)
    targets = targets_of(latents.styles, torch.stack([latents.minima, latents.maxima]), shift=1.0)
    direction = torch.tensor([0, 1]).repeat(len(index))
    image, index = image.repeat_interleave(2), index.repeat_interleave(2)
    moves = Moves(image.to(device), index.to(device), targets[image, direction, index].to(device))
    networks = synthesis.to(device), classifier.to(device)
    moved = logits_of_moves(*networks, latents.style_vector().to(device), moves, SHOWN).cpu()
    # Theirs are of images that nobody has rounded; those of the table are of images as a file holds them.
    batches = torch.arange(count).split(SHOWN)
    base = torch.cat([networks[1](networks[0].render(latents.style_vector(rows).to(device))).cpu() for rows in batches])
    effects = moved - base[image]
    theirs = torch.from_numpy(measured.effects)[image, direction, index]
    return Differences(
        {"logits": _largest(base, torch.from_numpy(measured.logits)), "effects": _largest(effects, theirs)}
    )


@torch.inference_mode()
def compare_with_tensorflow(
    networks: StylexNetworks, classifier: Classifier, latents: Latents, folders: Mapping[str, Path], python: str
) -> Differences:
    """Compare with the SavedModels in `folders` on the first latents: styles, images, logits, D and E; on the CPU.

    python: an interpreter that has TensorFlow with Keras 2; it runs stylex/released/reference.py, which needs nothing
    else. Raises `ArtifactError` when it cannot run, with the last line that it said.
    """
    rows = torch.arange(min(SHOWN, len(latents.ids)))
    w_plus = networks.w_plus(latents.w[rows], latents.logits[rows])
    theirs = _from_tensorflow(folders, python, w_plus.numpy())
    styles = networks.synthesis.styles(w_plus)
    images = networks.synthesis.render(styles)
    ours = {
        "styles": styles.space,
        "to_rgb_styles": styles.to_rgb,
        "images": images,
        "logits": classifier(images),
        "discriminator": networks.discriminator(images, latents.logits[rows].softmax(dim=1), group=1),
        "encoder": networks.encoder(images),
    }
    return Differences({key: _largest(ours[key], torch.from_numpy(value)) for key, value in theirs.items()})


def _from_tensorflow(folders: Mapping[str, Path], python: str, w_plus: np.ndarray) -> dict[str, np.ndarray]:
    with TemporaryDirectory() as folder:
        given, answer = Path(folder) / "w_plus.npy", Path(folder) / "answer.npz"
        np.save(given, w_plus)
        paths = [folders[model] for model in MODELS]
        command = [python, str(reference.__file__), *map(str, paths), str(given), str(answer)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise ArtifactError(f"--verify {python} cannot be run: {error.strerror}") from None
        if result.returncode:
            said = (result.stderr.strip().splitlines() or ["nothing said"])[-1][:200]
            raise ArtifactError(f"--verify {python}: {said}; docs/released-model.md says which TensorFlow it takes")
        with np.load(answer) as arrays:
            return {key: arrays[key] for key in arrays.files}


def _largest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs.reshape(ours.shape)).abs().max())
