"""Where the numbers of an experiment come from, read from the artifacts themselves."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
from safetensors import SafetensorError, safe_open

from stylex.artifacts import read_json, require
from stylex.config import experiment_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import damage_reported, json_metadata

VERSION = "version_"
ARTIFACTS = (
    "classifier", "stylex", "diagnosis", "latents", "effects", "attributes", "independent", "subset", "sufficiency",
    "frechet",
)  # fmt: skip  # as made
# Of a released model; the others of it where they exist.
RELEASED = ("classifier", "stylex", "latents", "effects", "attributes", "sufficiency")
# Tables that not every suite computes, relative to the experiment's folder.
OPTIONAL = {
    "samples": "samples.csv",
    "wu_2021": "attfind/wu_2021.csv",
    "flips": "flips.csv",
    "counterfactuals": "counterfactuals.csv",
    "factors": "factors.csv",
    "maps": "attribute_maps.csv",
    "observer": "observer.csv",
}


def artifact_provenance(root: Path, experiment: str, artifact: str) -> dict[str, str]:
    """Return {config_digest, seed, commit, uncommitted, device, machine, …, version_…} of one of `artifacts_of`."""
    paths = experiment_paths(root, experiment)
    beside = {"attributes": paths.attributes, "sufficiency": paths.sufficiency, "frechet": paths.frechet}
    beside |= {"independent": paths.independent, "subset": paths.subset, "diagnosis": paths.diagnosis}
    beside |= {name: paths.folder / file for name, file in OPTIONAL.items()}
    if artifact in beside:
        return read_json(beside[artifact].with_suffix(".provenance.json"))
    if artifact == "classifier" and not load_experiment(root, experiment).released:
        return read_json(paths.classifier.metrics)["provenance"]
    if artifact == "classifier":  # converted: it was not measured here
        return _tensor_header(paths.classifier.model)
    if artifact == "stylex":
        return _tensor_header(paths.stylex_model)
    return _parquet_header({"latents": paths.latents, "effects": paths.effects()}[artifact])


def artifacts_of(root: Path, experiment: str) -> list[str]:
    """Return `ARTIFACTS`, which every trained experiment has, and those of `OPTIONAL` that exist."""
    paths = experiment_paths(root, experiment)
    found = list(ARTIFACTS)
    if load_experiment(root, experiment).released:
        found = [name for name in ARTIFACTS if name in RELEASED or (paths.folder / f"{name}.csv").is_file()]
    return found + [name for name, file in OPTIONAL.items() if (paths.folder / file).is_file()]


def anchor(experiment: str, artifact: str) -> str:
    """Return the id, on the page, of the line that says where an artifact comes from.

    That of all lines of an experiment is `provenance:<experiment>`: no name has a colon, and there may be experiments
    `a` and `a-subset`.
    """
    return f"provenance-{experiment}-{artifact}"


def versions(provenance: dict[str, str]) -> str:
    """Write the package versions of one artifact as text."""
    packages = sorted(key for key in provenance if key.startswith(VERSION))  # a safetensors header has no order
    return ", ".join(f"{key.removeprefix(VERSION)} {provenance[key]}" for key in packages)


def _tensor_header(path: Path) -> dict[str, str]:
    try:
        with safe_open(require(path), "numpy") as file:
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and run its stage again") from None
    return {key: value for key, value in header.items() if not value.startswith("{")}  # without configuration


def _parquet_header(path: Path) -> dict[str, str]:
    with damage_reported(path):
        return json_metadata(pyarrow.parquet.read_schema(require(path)))["provenance"]
