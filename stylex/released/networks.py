"""The variables of the released model as our networks: every one mapped, its shape checked, or refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylex.config import ExperimentConfig
from stylex.errors import ArtifactError, ConfigError
from stylex.networks.layers import learning_gains
from stylex.networks.model import StylexNetworks
from stylex.released.names import UNUSED, Stored, all_names, discriminator_names, encoder_names, generator_names
from stylex.released.savedmodel import Variables, read_variables

LISTED = 5  # names of each kind in a message
CHANNELS = 3


def class_names(config: ExperimentConfig) -> list[str]:
    """Return the classes of the released classifier, in the order of its outputs; `ConfigError`: none are named."""
    if config.dataset.classes is None:
        raise ConfigError("dataset.classes of a released model names its classes, in the order of the outputs; add it")
    return config.dataset.classes


def convert_networks(folders: Mapping[str, Path], config: ExperimentConfig, ignored: Iterable[str]) -> StylexNetworks:
    """Return generator, encoder and discriminator with the values of the SavedModels in `folders`.

    ignored: names of variables that are known to have no place here. Raises `ArtifactError`, naming them, for variables
    that are missing, not known, or of another shape.
    """
    networks = StylexNetworks(config.stylex, config.dataset.resolution, CHANNELS, len(class_names(config)))
    blocks = config.dataset.resolution.bit_length() - 2
    tables = {
        "generator": generator_names(blocks, config.stylex.networks.mapping_layers),
        "encoder": encoder_names(blocks),
        "discriminator": discriminator_names(blocks),
    }
    shapes, gains = networks.state_dict(), learning_gains(networks)
    state: dict[str, Tensor] = {}
    for model, table in tables.items():
        state |= _values(read_variables(folders[model]), table, shapes, gains, set(ignored))
    networks.load_state_dict(state)
    return networks.eval().requires_grad_(False)


def _values(
    variables: Variables, table: dict[str, Stored], like: dict[str, Tensor], gains: dict[str, float], ignored: set[str]
) -> dict[str, Tensor]:
    """Return our parameters: joined, turned, and with the gain of the equalised learning rate multiplied in."""
    wanted = all_names(table)
    missing, unknown = wanted - set(variables.values), set(variables.values) - wanted - UNUSED - ignored
    found: dict[str, Tensor] = {}
    misshapen: set[str] = set()
    for name, stored in table.items():
        if missing & set(stored.names):
            continue
        parts = [stored.layout(variables.values[each]) for each in stored.names]
        if len({part.shape[1:] for part in parts}) == 1:
            joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
            if joined.shape == tuple(like[name].shape) and joined.dtype.kind == "f":
                found[name] = torch.from_numpy(joined.astype(np.float32)) * gains.get(name, 1.0) + stored.added
                continue
        shapes = ", ".join(str(list(variables.values[each].shape)) for each in stored.names[:1])
        misshapen.add(f"{stored.names[0]} {shapes} for {list(like[name].shape)}")
    refuse(variables, {"missing": missing, "not known here": unknown, "of another shape": misshapen})
    return found


def refuse(variables: Variables, problems: dict[str, set[str]]) -> None:
    """Raise `ArtifactError`, naming what is wrong, unless nothing is."""
    said = []
    for what, names in problems.items():
        if names:
            shown = sorted(names)[:LISTED] + ([f"{len(names) - LISTED} more"] if len(names) > LISTED else [])
            said.append(f"{what}: {', '.join(shown)}")
    if said:
        raise ArtifactError(
            f"{variables.source} is not the model that stylex/released/names.py describes ({'; '.join(said)}); correct"
            " the experiment's stylex.networks if its sizes are others, or name what has no place here with --ignore"
        )
