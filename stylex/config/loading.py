"""Load the files of config/ by name: merge what they extend and what overrides them, and check what they name.

An experiment extends a preset or another experiment, by name; a name that is both is refused. Presets, backbones,
oracles and regressors extend presets.

NAME-seed3 is experiment NAME with seed 3 (and, if NAME explains the classifier of OTHER, that of OTHER-seed3), unless
it has a file of its own.

Overrides: the environment variable STYLEX_OVERRIDES holds a JSON object, as {"stylex": {"training": {"images": 1000}}},
that is merged, key by key, over each experiment that is read, before it is validated. Being in the environment, they
reach every process that a verb or Snakemake starts. `stylex --set experiment.stylex.training.images=1000 VERB` sets the
variable. Digests, provenance and the parameters of rules are those of the merged configuration; paths stay the same, so
results of other values replace the old ones, as after an edit of the file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stylex.config.datasets import DatasetFile
from stylex.config.experiments import ExperimentConfig
from stylex.config.finetuning import BackboneConfig, OracleConfig, RegressorConfig
from stylex.config.paths import ExperimentPaths
from stylex.config.reading import Model, UniqueKeys, keys_at, load_file, read_file, unknown_name, validated
from stylex.errors import ConfigError

OVERRIDES = "STYLEX_OVERRIDES"
SEEDED = re.compile(r"(?P<name>.+)-seed(?P<seed>[1-9][0-9]*)")
WHOLE = ("generator_channels", "encoder_channels", "discriminator_channels")  # one value, in one of several notations


def load_experiment(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Read config/experiments/<name>.yaml with what it extends; what else it names must exist and fit.

    overrides: values in place of the file's; default: those of STYLEX_OVERRIDES.
    """
    overrides = environment_overrides() if overrides is None else overrides
    path = named_file(root, "experiments", name)
    experiment = _experiment(root, name, overrides)
    _check_classifier(root, name, experiment, overrides)
    if experiment.released:  # nothing is trained or measured on images
        return experiment
    reference = experiment.stylex.perceptual_backbone
    named_file(root, "backbones", reference, f"{path}: stylex.perceptual_backbone: ")
    backbone = load_backbone_config(root, reference)
    wanted = (experiment.dataset.name, experiment.dataset.resolution)
    if (backbone.dataset, backbone.resolution) != wanted:
        raise ConfigError(
            f"{path}: stylex.perceptual_backbone: '{reference}' is trained on {backbone.dataset} at"
            f" {backbone.resolution}, the experiment uses {wanted[0]} at {wanted[1]}; name a backbone of that dataset"
        )
    measuring = {"factor_regressor": (RegressorConfig, "regressors"), "oracle": (OracleConfig, "oracles")}
    for key, (model, kind) in measuring.items():
        if (reference := getattr(experiment.evaluation, key)) is None:
            continue
        context = f"{path}: evaluation.{key}: "
        named_file(root, kind, reference, context)
        if (trained := _load(model, root, kind, reference).resolution) != wanted[1]:
            raise ConfigError(
                f"{context}'{reference}' is trained at {trained}, the experiment's images are of {wanted[1]}; name one"
                " of that resolution"
            )
    return experiment


def experiment_paths(root: Path, name: str) -> ExperimentPaths:
    """Return where the artifacts of an experiment are, those of its classifier where `classifier_of` says."""
    return ExperimentPaths(root, name, load_experiment(root, name).classifier_of)


def load_backbone_config(root: Path, name: str) -> BackboneConfig:
    """Read config/backbones/<name>.yaml with the presets it extends."""
    return _load(BackboneConfig, root, "backbones", name)


def load_oracle_config(root: Path, name: str) -> OracleConfig:
    """Read config/oracles/<name>.yaml with the presets it extends."""
    return _load(OracleConfig, root, "oracles", name)


def load_regressor_config(root: Path, name: str) -> RegressorConfig:
    """Read config/regressors/<name>.yaml with the presets it extends."""
    return _load(RegressorConfig, root, "regressors", name)


def load_dataset_file(root: Path, name: str) -> DatasetFile:
    """Read config/datasets/<name>.yaml."""
    return load_file(DatasetFile, named_file(root, "datasets", name))


def environment_overrides() -> dict[str, Any]:
    """Return what STYLEX_OVERRIDES holds; raise `ConfigError` when it is no JSON object of an experiment's keys."""
    text = os.environ.get(OVERRIDES, "{}")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{OVERRIDES} is not valid JSON ({error}): {text}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{OVERRIDES} must hold an object of an experiment's keys, not {text}")
    _refuse_unknown_keys(content)
    return content


def parse_overrides(texts: Sequence[str]) -> str:
    """Return the JSON for STYLEX_OVERRIDES of texts as `experiment.stylex.training.images=1000`; values are YAML.

    They come on top of what the variable holds already. Raises `ConfigError` for an unknown key or a malformed text.
    """
    merged = environment_overrides()
    for text in texts:
        content = keys_and_values([text], "--set", "experiment.stylex.training.images=1000", "experiment.")
        _refuse_unknown_keys(content)
        merged = _merge(merged, content)
    return json.dumps(merged, default=str)


def keys_and_values(texts: Sequence[str], option: str, example: str, prefix: str = "") -> dict[str, Any]:
    """Return the sections that texts as `training.images=1000` give, merged; values are YAML.

    option, example: for the message of the `ConfigError` for a malformed text; prefix: with which every key begins.
    """
    merged: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        *sections, last = key.removeprefix(prefix).split(".")
        if not key.startswith(prefix) or not equals:
            raise ConfigError(f"{option} {text}: give a key and a value, as {example}")
        try:
            content: dict[str, Any] = yaml.load(f"{last}: {value}", UniqueKeys)  # noqa: S506, a SafeLoader
        except (yaml.YAMLError, ConfigError) as error:
            raise ConfigError(f"{option} {text}: {' '.join(str(error).split())}") from None
        for section in reversed(sections):
            content = {section: content}
        merged = _merge(merged, content)
    return merged


def _refuse_unknown_keys(content: dict[Any, Any], location: tuple[str, ...] = ()) -> None:
    known = keys_at(ExperimentConfig, location)
    for key, value in content.items():
        place = (*location, str(key))
        if key not in known:
            raise ConfigError(f"override experiment.{'.'.join(place)}: {unknown_name('key', str(key), known)}")
        if isinstance(value, dict) and key not in WHOLE:
            _refuse_unknown_keys(value, place)


def available(root: Path, kind: str) -> list[str]:
    """Return the sorted names of the files in config/<kind>."""
    return sorted(path.stem for path in (root / "config" / kind).glob("*.yaml"))


def _load(model: type[Model], root: Path, kind: str, name: str) -> Model:
    path = named_file(root, kind, name)
    return validated(model, _with_bases(root, path), path)


def named_file(root: Path, kind: str, name: str, context: str = "") -> Path:
    """Return the file of a name in config/<kind>, of NAME-seed3 among the experiments that of NAME.

    Raises `ConfigError`, which begins with `context`, when there is none.
    """
    path = root / "config" / kind / f"{name}.yaml"
    if kind == "experiments" and not path.is_file() and (seeded := SEEDED.fullmatch(name)):
        path = path.with_name(f"{seeded['name']}.yaml")
    if not path.is_file():
        folder = path.parent
        raise ConfigError(
            f"{context}{unknown_name(kind.rstrip('s'), name, available(root, kind))} (looked in {folder})"
        )
    return path


def _with_bases(root: Path, path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in seen:
        circle = " -> ".join(each.stem for each in (*seen[seen.index(path) :], path))
        raise ConfigError(f"{path}: extends: {circle} is a circle; remove one 'extends'")
    content = read_file(path)
    base = content.pop("extends", None)
    if base is None:
        return content
    return _merge(_with_bases(root, _base(root, path, str(base)), (*seen, path)), content)


def _base(root: Path, path: Path, name: str) -> Path:
    """Return the file that `path` extends: of a preset, or, where `path` is an experiment, of another experiment."""
    if path.parent.name != "experiments":
        return named_file(root, "presets", name, f"{path}: extends: ")
    folders = [root / "config" / kind for kind in ("presets", "experiments")]
    found = [file for folder in folders if (file := folder / f"{name}.yaml").is_file()]
    if len(found) > 1:
        raise ConfigError(f"{path}: extends: '{name}' is both {found[0]} and {found[1]}; rename one of them")
    if not found:
        known = sorted({*available(root, "presets"), *available(root, "experiments")} - {path.stem})
        raise ConfigError(f"{path}: extends: {unknown_name('preset or experiment', name, known)}")
    return found[0]


def _experiment(root: Path, name: str, overrides: Mapping[str, Any]) -> ExperimentConfig:
    path = named_file(root, "experiments", name)
    content = _with_bases(root, path)
    if path.stem != name:
        seed = SEEDED.fullmatch(name)["seed"]  # pyright: ignore[reportOptionalSubscript], as the file is of another name
        content |= {"seed": int(seed), "title": f"{content.get('title', name)}, seed {seed}"}
        if content.get("classifier_of"):
            content["classifier_of"] = f"{content['classifier_of']}-seed{seed}"
    try:
        return validated(ExperimentConfig, _merge(content, overrides), path)
    except ConfigError as error:
        raise ConfigError(f"{error} (with {OVERRIDES} {json.dumps(overrides)})" if overrides else str(error)) from None


def _check_classifier(root: Path, explained: str, experiment: ExperimentConfig, overrides: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless the classifier that `classifier_of` names answers this experiment's question."""
    if (name := experiment.classifier_of) is None:
        return
    context = f"{named_file(root, 'experiments', explained)}: classifier_of: "
    if name == explained:
        raise ConfigError(f"{context}'{name}' is this experiment; leave classifier_of out to train its own classifier")
    named_file(root, "experiments", name, context)
    other = _experiment(root, name, overrides)
    if other.classifier_of is not None:
        raise ConfigError(f"{context}'{name}' has no classifier of its own; name '{other.classifier_of}'")
    # The images may be of another dataset with the same classes.
    pairs = {key: (getattr(other, key), getattr(experiment, key)) for key in ("dataset", "classifier")}
    differing = [
        key for key, (one, two) in pairs.items() if one.model_dump(exclude={"name"}) != two.model_dump(exclude={"name"})
    ]
    if differing:
        exception = " in more than its name" if differing[0] == "dataset" else ""
        raise ConfigError(
            f"{context}the section '{differing[0]}' differs{exception} from that of '{name}', whose classifier is"
            f" explained; leave it out and extend '{name}', or leave classifier_of out"
        )


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in WHOLE
        if key == "classifier" and both and "file" in value:  # not trained: what a preset says of training goes
            both = "file" in merged[key]
        merged[key] = _merge(merged[key], value) if both else value
    return merged
