"""The released model as an experiment: its networks, latents and effects in the files that every experiment has.

The conversion is compared with what the authors measured and, if asked for, with what TensorFlow says of the models.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stylex.artifacts import atomic_path, load_tensors, provenance
from stylex.attfind.engine import Moves, logits_of_moves, targets_of
from stylex.attfind.records import EffectsHeader, EffectsRow, effects_writer
from stylex.classifiers import Classifier
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.classifiers.networks import ImageNetwork
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.config.paths import released_folder
from stylex.errors import ArtifactError, ConfigError
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import StylexNetworks, save_stylex
from stylex.networks.stylespace import StyleSpaceLayout
from stylex.networks.synthesis import Synthesis
from stylex.progress import progress
from stylex.released import tensorflow_export
from stylex.released.download import ADDRESS, EFFECTS, LATENTS, MODELS, fetch_released, unpack
from stylex.released.latents import ReleasedLatents, read_latents_pickle
from stylex.released.networks import Variables, class_names, convert_classifier, convert_networks

EXPORT = "export.safetensors"  # what TensorFlow read, in the folder of the released files
SUM_ERROR = 1e-3  # by which probabilities may miss the sum of 1
SMALLEST = 1e-30  # probability whose logarithm is taken
SHIFT = 1.0  # of the released effects: s_shift_size of [N]
SAME = 1e-5  # the most by which two copies of a latent differ
PROBES = 64  # coordinates whose effects are measured again, evenly over all, each on another image
RENDERED = 8  # latents that TensorFlow renders


class Models(NamedTuple):
    """The released networks as ours, on the CPU."""

    networks: StylexNetworks
    network: ImageNetwork
    description: NetworkDescription

    def classifier(self) -> Classifier:
        """Return the frozen classifier; the network itself stays as it is stored."""
        return Classifier(copy.deepcopy(self.network), self.description)


class Request(NamedTuple):
    """What the user decides of a conversion."""

    tensorflow: str = ".venv-tensorflow/bin/python"  # an interpreter that has it, to run tensorflow_export.py
    verify: bool = False  # whether the SavedModels' own answers are compared, too
    tolerance: float = 0.05  # the largest difference that is allowed
    ignored: tuple[str, ...] = ()  # names of variables that are known to have no place here
    address: str = ADDRESS


class Differences(NamedTuple):
    """The largest absolute difference of each quantity."""

    largest: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.2g}" for name, value in self.largest.items())

    def require(self, tolerance: float, reference: str) -> None:
        """Raise `ArtifactError` unless no difference is above `tolerance`; NaN is above."""
        wrong = [name for name, value in self.largest.items() if not value <= tolerance]
        if wrong:
            raise ArtifactError(
                f"the converted networks are not those of {reference}: the largest differences are {self}, and"
                f" {' and '.join(wrong)} may differ by {tolerance:g} at the most (--tolerance); nothing was written"
            )


class MeasuredEffects(NamedTuple):
    """What the authors measured on each image, float32: logits [N, classes], effects [N, 2, K, classes]."""

    logits: np.ndarray
    effects: np.ndarray


def convert_released(root: Path, name: str, device: str, request: Request = Request()) -> list[Differences]:  # noqa: B008
    """Fetch and convert the released model, compare it with what its authors measured, then write its artifacts.

    Raises `ConfigError` when the experiment is none of a released model, and `ArtifactError` when its files do not fit
    or answer otherwise; then nothing is written.
    """
    config, paths, folder = load_experiment(root, name), experiment_paths(root, name), released_folder(root)
    _check(name, config)
    digests = fetch_released(root, request.address)
    origin = provenance(config.digest(), config.seed, device) | {"released": request.address}
    origin |= {f"sha256 {file}": digest for file, digest in digests.items()}
    variables, stored = read_export(folder, digests, request.tensorflow)
    networks = convert_networks(variables, config, request.ignored)
    models = Models(networks, *convert_classifier(variables["mobilenet"], name, config, request.ignored))
    given = read_latents_pickle(folder / LATENTS, len(class_names(config)))
    measured = _measured(folder / EFFECTS, stored, given)
    latents = latents_of(models, given, logits_of(given, config, folder / LATENTS), config.attfind.batch_size, device)
    latents = replace(latents, provenance=origin)
    found = [compare_with_measured(copy.deepcopy(networks.synthesis), models.classifier(), latents, measured, device)]
    found[0].require(request.tolerance, str(folder / EFFECTS))
    if request.verify:
        found.append(compare_with_tensorflow(networks, models.classifier(), latents, folder, request.tensorflow))
        found[1].require(request.tolerance, "the SavedModels")
    save_stylex(paths.stylex_model, networks, origin)
    save_network(paths.classifier.model, models.network, models.description, origin)
    write_latents(paths.latents, latents)
    if config.released == "effects":
        write_effects(paths.effects(), networks.synthesis.layout, latents, measured)
    return found


def _check(name: str, config: ExperimentConfig) -> None:
    if config.released is None:
        raise ConfigError(f"experiment '{name}' trains its own networks; name one that has the key `released`")
    options = config.attfind
    ours = options.shift, options.shards, options.discriminator_filter
    if config.released == "effects" and ours != (SHIFT, 1, None):
        raise ConfigError(
            f"experiment '{name}': the released effects are of shift {SHIFT:g}, without D's scores and in one file; set"
            f" attfind.shift: {SHIFT:g}, shards: 1 and no discriminator_filter, or `released: latents` to measure anew"
        )


def read_export(
    folder: Path, digests: Mapping[str, str], python: str
) -> tuple[dict[str, Variables], dict[str, Tensor]]:
    """Return the variables of each model, and the effects, of the files in `folder`; TensorFlow reads them once.

    digests: sha256 of the released files by name; an export of others is made again.
    """
    path = folder / EXPORT
    sources = json.dumps({name: digest for name, digest in digests.items() if name != LATENTS}, sort_keys=True)
    if not path.is_file() or load_tensors(path)[1]["sources"] != sources:
        for model in MODELS:
            unpack(folder, model)
        with atomic_path(path) as temporary:
            _tensorflow(python, "export", folder, temporary, sources)
    tensors, header = load_tensors(path)
    found: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*MODELS, "effects")}
    for key, value in tensors.items():
        kind, _, name = key.partition(":")
        found[kind][name] = value
    models = {}
    for model in MODELS:
        values = {name: value.numpy() for name, value in found[model].items()}
        trainable, operations = (json.loads(header.get(f"{model}:{key}", "{}")) for key in ("trainable", "operations"))
        models[model] = Variables(folder / model / f"{model}.savedmodel", values, trainable, operations)
    return models, found["effects"]


def _tensorflow(python: str, *arguments: str | Path) -> None:
    command = [python, str(tensorflow_export.__file__), *map(str, arguments)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        remedy = "docs/released-model.md says how to install TensorFlow beside this environment"
        raise ArtifactError(f"--tensorflow {python} cannot be run: {error.strerror}; {remedy}") from None
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no output"])[-1][:200]
        remedy = "if a file is damaged, fetch the model again; docs/released-model.md says which TensorFlow it takes"
        raise ArtifactError(f"--tensorflow {python}: {reason}; {remedy}")


def _measured(path: Path, stored: Mapping[str, Tensor], latents: ReleasedLatents) -> MeasuredEffects:
    """Return what the authors measured on the images of `latents`, in their order, each found by its latent.

    `base_prob` are the logits of the reconstruction, `result` their change by each coordinate, moved to its minimum,
    then to its maximum ([N]). Raises `ArtifactError` when they are of other images.
    """
    classes = latents.condition.shape[1]
    known, base = stored["dlatent"].numpy(), stored["base_prob"].numpy()
    wanted = np.concatenate([latents.w, latents.condition], axis=1)
    if known.shape[1] != wanted.shape[1] or base.shape[1] != classes:
        raise ArtifactError(
            f"{path} has latents of {known.shape[1]} values and {base.shape[1]} logits, {path.with_name(LATENTS)}"
            f" {wanted.shape[1]} and {classes}; fetch both again"
        )
    rows = []
    for image, latent in zip(latents.ids, wanted, strict=True):
        difference = np.abs(known - latent).max(axis=1)
        if difference.min() > SAME:
            raise ArtifactError(f"{path} has no effects of image {image}; fetch it and the latents again")
        rows.append(int(difference.argmin()))
    effects = stored["result"].numpy().reshape(len(known), -1, 2, classes).transpose(0, 2, 1, 3)
    return MeasuredEffects(base[rows], effects[rows])


@torch.inference_mode()
def latents_of(models: Models, given: ReleasedLatents, logits: Tensor, batch_size: int, device: str) -> Latents:
    """Return the table of the released latents, as `stylex encode` would make it of the images, which are not released.

    So their distances to the reconstructions are NaN, and their labels those that the classifier gave.
    """
    networks, classifier = copy.deepcopy(models.networks).to(device), models.classifier().to(device)
    networks.synthesis.quantized = True
    condition, w = torch.from_numpy(given.condition), torch.from_numpy(given.w)
    parts: list[dict[str, Tensor]] = []
    with progress("reconstruct the released latents", len(w)) as counter:
        for rows in torch.arange(len(w)).split(batch_size):
            styles = networks.synthesis.styles(torch.cat([w[rows], condition[rows]], dim=1).to(device))
            images = networks.synthesis.render(styles)
            scores = networks.discriminator(images, logits[rows].softmax(dim=1).to(device), group=1)
            columns = {"styles": styles.space, "to_rgb_styles": styles.to_rgb, "discriminator": scores}
            parts.append(columns | {"reconstruction_logits": classifier(images)})
            counter.advance(len(rows))
    columns: dict[str, Any] = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
    unknown = torch.full((len(w),), torch.nan)
    return Latents(
        given.ids, condition.argmax(dim=1), logits, w, reconstruction_l1=unknown, reconstruction_perceptual=unknown,
        **columns, class_names=models.description.class_names, provenance={},
    )  # fmt: skip


def logits_of(given: ReleasedLatents, config: ExperimentConfig, path: Path) -> Tensor:
    """Return the classifier's logits [N, classes] of the images, as far as what is joined to w tells them.

    Where that is probabilities, their logarithms, which differ from the logits by a number per image. Raises
    `ArtifactError` when it is not what stylex.conditioning says.
    """
    condition = torch.from_numpy(given.condition)
    probabilities = bool((condition >= 0).all() and ((condition.sum(dim=1) - 1).abs() <= SUM_ERROR).all())
    found = "probabilities" if probabilities else "logits"
    if config.stylex.conditioning != found:
        raise ArtifactError(
            f"{path}: the last values of each latent are {found}, not {config.stylex.conditioning}; set"
            f" stylex.conditioning: {found} in the experiment's file"
        )
    return condition.clamp_min(SMALLEST).log() if probabilities else condition


def write_effects(path: Path, layout: StyleSpaceLayout, latents: Latents, measured: MeasuredEffects) -> None:
    """Write the effects that the authors measured as the experiment's."""
    origin = latents.provenance | {"effects": f"measured by the authors of StylEx: {EFFECTS}"}
    header = EffectsHeader.of(latents, layout, SHIFT, "float32", origin)
    with effects_writer(path, header) as writer:
        for identity, logits, effect in zip(latents.ids, measured.logits, measured.effects, strict=True):
            writer.add(identity, EffectsRow(torch.from_numpy(logits), torch.from_numpy(np.ascontiguousarray(effect))))


@torch.inference_mode()
def compare_with_measured(
    synthesis: Synthesis, classifier: Classifier, latents: Latents, measured: MeasuredEffects, device: str
) -> Differences:
    """Compare the logits of all reconstructions, and the effects of some coordinates, with the authors' own.

    The effects are of both directions of coordinates spread over StyleSpace, so that they also tell whether its order
    and the extremes are those of the authors. Raises `ArtifactError` when the number of coordinates is another.
    """
    count, size = len(latents.ids), synthesis.layout.size
    if measured.effects.shape[2] != size:
        raise ArtifactError(
            f"the released effects are of {measured.effects.shape[2]} coordinates, the converted generator has"
            f" {size}: correct the experiment's stylex.networks"
        )
    index = torch.linspace(0, size - 1, min(PROBES, size)).round().long()
    image = torch.arange(len(index)) * count // len(index)
    targets = targets_of(latents.styles, latents.extremes, shift=1.0)
    direction = torch.tensor([0, 1]).repeat(len(index))
    image, index = image.repeat_interleave(2), index.repeat_interleave(2)
    moves = Moves(image.to(device), index.to(device), targets[image, direction, index].to(device))
    networks = synthesis.to(device), classifier.to(device)
    moved = logits_of_moves(*networks, latents.style_vector().to(device), moves, RENDERED).cpu()
    # Theirs are of images that nobody has rounded; those of the table are of images as a file holds them.
    batches = torch.arange(count).split(RENDERED)
    base = torch.cat([networks[1](networks[0].render(latents.style_vector(rows).to(device))).cpu() for rows in batches])
    theirs = torch.from_numpy(measured.effects)[image, direction, index]
    logits = _largest(base, torch.from_numpy(measured.logits))
    return Differences({"logits": logits, "effects": _largest(moved - base[image], theirs)})


@torch.inference_mode()
def compare_with_tensorflow(
    networks: StylexNetworks, classifier: Classifier, latents: Latents, folder: Path, python: str
) -> Differences:
    """Compare with the SavedModels, which `python` runs, on the first latents: styles, images, logits, D and E."""
    rows = torch.arange(min(RENDERED, len(latents.ids)))
    w_plus = networks.w_plus(latents.w[rows], latents.logits[rows])
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
    for model in MODELS:
        unpack(folder, model)
    with TemporaryDirectory() as temporary:
        given, answer = Path(temporary) / "w_plus.npy", Path(temporary) / "answer.npz"
        np.save(given, w_plus.numpy())
        _tensorflow(python, "run", folder, given, answer)
        with np.load(answer) as arrays:
            return Differences({key: _largest(ours[key], torch.from_numpy(arrays[key])) for key in ours})


def _largest(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs.reshape(ours.shape)).abs().max())
