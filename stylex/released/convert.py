"""The released model as an experiment: its networks, latents and effects in the files that every experiment has."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.records import EffectsHeader, EffectsRow, effects_writer
from stylex.classifiers import Classifier
from stylex.classifiers.image_network import ImageNetwork
from stylex.classifiers.wrapper import NetworkDescription, save_network
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.config.paths import released_folder
from stylex.errors import ArtifactError, ConfigError
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import StylexNetworks, save_stylex
from stylex.networks.stylespace import StyleSpaceLayout
from stylex.progress import progress
from stylex.released.classifier import convert_classifier
from stylex.released.comparison import Differences, compare_with_measured, compare_with_tensorflow
from stylex.released.files import ADDRESS, EFFECTS, LATENTS, MODELS, fetch_released, unpacked
from stylex.released.latents import ReleasedLatents, read_latents_pickle
from stylex.released.measured import MeasuredEffects, read_effects
from stylex.released.networks import class_names, convert_networks

SUM_ERROR = 1e-3  # by which probabilities may miss the sum of 1
SMALLEST = 1e-30  # probability whose logarithm is taken
SHIFT = 1.0  # of the released effects: s_shift_size of [N]


@dataclass(frozen=True)
class Models:
    """The released networks as ours, on the CPU."""

    networks: StylexNetworks
    network: ImageNetwork
    description: NetworkDescription

    def classifier(self) -> Classifier:
        """Return the frozen classifier; the network itself stays as it is stored."""
        return Classifier(copy.deepcopy(self.network), self.description)


@dataclass(frozen=True)
class Request:
    """What the user decides of a conversion."""

    tolerance: float = 0.05
    """The largest difference that is allowed: of logits, and of all that TensorFlow is asked for."""
    ignored: tuple[str, ...] = ()
    """Names of variables that are known to have no place here."""
    tensorflow: str | None = None
    """An interpreter with TensorFlow, whose answers are compared, too."""
    address: str = ADDRESS


def convert_released(root: Path, name: str, device: str, request: Request = Request()) -> list[Differences]:  # noqa: B008
    """Fetch and convert the released model, compare it with what its authors measured, then write its artifacts.

    Raises `ConfigError` when the experiment is none of a released model, `DownloadError` when files cannot be had, and
    `ArtifactError` when they do not fit or answer otherwise; then nothing is written.
    """
    config, paths, folder = load_experiment(root, name), experiment_paths(root, name), released_folder(root)
    _check(name, config)
    digests = {f"sha256 {file}": value for file, value in fetch_released(root, request.address).items()}
    origin = provenance(config.digest(), config.seed, device) | {"released": request.address, **digests}
    folders = {model: unpacked(root, model) for model in MODELS}
    networks = convert_networks(folders, config, request.ignored)
    models = Models(networks, *convert_classifier(folders["mobilenet"], name, config, request.ignored))
    given = read_latents_pickle(folder / LATENTS, len(class_names(config)))
    measured = read_effects(folder / EFFECTS, given)
    latents = latents_of(models, given, logits_of(given, config, folder / LATENTS), config.attfind.batch_size, device)
    latents = replace(latents, provenance=origin)
    found = [compare_with_measured(copy.deepcopy(networks.synthesis), models.classifier(), latents, measured, device)]
    found[0].require(request.tolerance, str(folder / EFFECTS))
    if request.tensorflow:
        found.append(compare_with_tensorflow(networks, models.classifier(), latents, folders, request.tensorflow))
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
    if config.released == "effects" and (options.shift, options.shards, options.discriminator_filter) != (
        SHIFT,
        1,
        None,
    ):
        raise ConfigError(
            f"experiment '{name}': the released effects are of shift {SHIFT:g}, without D's scores and in one file; set"
            f" attfind.shift: {SHIFT:g}, shards: 1 and no discriminator_filter, or `released: latents` to measure anew"
        )


@torch.inference_mode()
def latents_of(models: Models, given: ReleasedLatents, logits: Tensor, batch_size: int, device: str) -> Latents:
    """Return the table of the released latents, as `stylex encode` would make it of the images, which are not released.

    Without the images, their distances to the reconstructions are NaN, and their labels those that the classifier gave.
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

    Where that is probabilities, their logarithms, which differ from the logits by a number an image. Raises
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
    located = [layout.locate(index) for index in range(layout.size)]
    header = EffectsHeader(
        class_names=latents.class_names,
        shift=SHIFT,
        precision="float32",
        minima=latents.minima.tolist(),
        maxima=latents.maxima.tolist(),
        layers=[layer for layer, _ in located],
        channels=[channel for _, channel in located],
        provenance=latents.provenance | {"effects": f"measured by the authors of StylEx: {EFFECTS}"},
    )
    with effects_writer(path, header) as writer:
        for identity, logits, effect in zip(latents.ids, measured.logits, measured.effects, strict=True):
            writer.add(identity, EffectsRow(torch.from_numpy(logits), torch.from_numpy(np.ascontiguousarray(effect))))
