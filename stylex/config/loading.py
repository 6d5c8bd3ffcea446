"""Read the YAML files of config/, merge what they extend, validate, and say clearly what is wrong.

An experiment extends a preset or another experiment, by name; a name that is both is refused. Presets, backbones,
oracles and regressors extend presets.

Overrides: the environment variable STYLEX_OVERRIDES holds a JSON object, as {"stylex": {"training": {"images": 1000}}},
that is merged, key by key, over each experiment that is read, before it is validated. Being in the environment, they
reach every process that a verb or Snakemake starts. `stylex --set experiment.stylex.training.images=1000 VERB` sets the
variable. Digests, provenance and the parameters of rules are those of the merged configuration; paths stay the same, so
results of other values replace the old ones, as after an edit of the file.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from stylex.config.base import NAME, Section
from stylex.config.datasets import DatasetFile
from stylex.config.experiments import ExperimentConfig, PipelineConfig, SuiteConfig
from stylex.config.finetuning import BackboneConfig, OracleConfig, RegressorConfig
from stylex.config.imported import KINDS, TRAINED
from stylex.config.paths import SHARED, ExperimentPaths
from stylex.config.training import LIST, NOTATIONS
from stylex.errors import ConfigError

Model = TypeVar("Model", bound=Section)
OVERRIDES = "STYLEX_OVERRIDES"
TAGGED = NOTATIONS | KINDS  # sections that stand for each other
WHOLE = ("generator_channels", "encoder_channels", "discriminator_channels")  # one value, in one of several notations
NUMBERS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}  # equal in several spellings
# Keys whose values are names that may be numbers, and what YAML takes a name for that is not quoted.
NAMES = (
    "classes", "one_vs_rest", "against", "figure_class", "suite", "experiments", "next", "name", "extends",
    "classifier_of", "account", "partition", "gpu_partition", "qos",
)  # fmt: skip
TAKEN_FOR = {
    "tag:yaml.org,2002:bool": "a truth value",
    "tag:yaml.org,2002:int": "another number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:timestamp": "a date",
}
PLAIN = re.compile("0|-?[1-9][0-9]*")  # a number that is written as it is


class UniqueKeys(yaml.CSafeLoader):  # in C: the Python one parses for 0.08 s when the suite of leaves is planned
    """YAML in which a key stands once in its mapping, as the standard demands; PyYAML itself takes the last one."""

    def get_single_node(self) -> yaml.Node | None:
        """Check the document before `<<` is replaced by its mapping: to override a key of that is no repetition."""
        document = super().get_single_node()
        nodes, seen = [document], set()
        while nodes:
            node = nodes.pop()
            if id(node) in seen:  # an alias
                continue
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                self._check(node)
                nodes += [each for pair in node.value for each in pair]
            elif isinstance(node, yaml.SequenceNode):
                nodes += node.value
        return document

    def _check(self, mapping: yaml.MappingNode) -> None:
        lines: dict[object, int] = {}
        for key, value in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in NAMES:
                self._check_names(value)
            line, number = key.start_mark.line + 1, key.tag in NUMBERS
            forms = {key.value, self.construct_object(key)} if number else {key.value}  # 3 is "3", and 0x3 is 3
            for form in forms & lines.keys():
                again = f"the key '{key.value}' stands in line {lines[form]} already"
                raise yaml.YAMLError(f"line {line}: {again}; remove one")
            lines |= dict.fromkeys(forms, line)

    def _check_names(self, value: yaml.Node) -> None:
        for node in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if node.tag not in TAKEN_FOR or PLAIN.fullmatch(node.value):
                continue
            if node is value and node.tag.endswith("null"):  # of a key that is switched off
                continue
            raise ConfigError(
                f"line {node.start_mark.line + 1}: YAML takes the name {node.value or '(empty)'} for"
                f" {TAKEN_FOR[node.tag]}: quote it, '{node.value}'"
            )


def load_pipeline(root: Path) -> PipelineConfig:
    """Read config/config.yaml."""
    return load_file(PipelineConfig, root / "config" / "config.yaml")


def load_suite(root: Path, name: str) -> SuiteConfig:
    """Read config/suites/<name>.yaml; the experiments it names must exist."""
    path = _named(root, "suites", name)
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"{path}: use small letters, digits, '.', '_' and '-' in the name of a suite: rename the file"
        )
    if name in SHARED:
        raise ConfigError(f"{path}: results/{name} is a folder of all suites: rename the file")
    suite = load_file(SuiteConfig, path)
    for experiment in suite.experiments:
        _named(root, "experiments", experiment, f"{path}: experiments: ")
    return suite


def load_experiment(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Read config/experiments/<name>.yaml with what it extends; what else it names must exist and fit.

    overrides: values in place of the file's; default: those of STYLEX_OVERRIDES.
    """
    overrides = environment_overrides() if overrides is None else overrides
    path = _named(root, "experiments", name)
    experiment = _experiment(root, path, overrides)
    _check_classifier(root, path, experiment, overrides)
    if experiment.released:  # nothing is trained or measured on images
        return experiment
    reference = experiment.stylex.perceptual_backbone
    _named(root, "backbones", reference, f"{path}: stylex.perceptual_backbone: ")
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
        _named(root, kind, reference, context)
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
    return load_file(DatasetFile, _named(root, "datasets", name))


def load_file(model: type[Model], path: Path, empty: dict[str, Any] | None = None) -> Model:
    """Read and validate a YAML file; `empty`: what a file without any key holds, by default a mistake."""
    return _validate(model, _read(path, empty), path)


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
        key, equals, value = text.partition("=")
        *sections, last = key.removeprefix("experiment.").split(".")
        if not key.startswith("experiment.") or not equals:
            raise ConfigError(f"--set {text}: give a key and a value, as experiment.stylex.training.images=1000")
        try:
            content: dict[str, Any] = yaml.load(f"{last}: {value}", UniqueKeys)  # noqa: S506, a SafeLoader
        except (yaml.YAMLError, ConfigError) as error:
            raise ConfigError(f"--set {text}: {' '.join(str(error).split())}") from None
        for section in reversed(sections):
            content = {section: content}
        _refuse_unknown_keys(content)
        merged = _merge(merged, content)
    return json.dumps(merged, default=str)


def _refuse_unknown_keys(content: dict[Any, Any], location: tuple[str, ...] = ()) -> None:
    known = _keys(ExperimentConfig, location)
    for key, value in content.items():
        place = (*location, str(key))
        if key not in known:
            raise ConfigError(f"override experiment.{'.'.join(place)}: {unknown_name('key', str(key), known)}")
        if isinstance(value, dict) and key not in WHOLE:
            _refuse_unknown_keys(value, place)


def available(root: Path, kind: str) -> list[str]:
    """Return the sorted names of the files in config/<kind>."""
    return sorted(path.stem for path in (root / "config" / kind).glob("*.yaml"))


def unknown_name(what: str, name: str, known: list[str]) -> str:
    """Compose the message for a name that is not one of `known`."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(known) or '(none)'}"
    return f"unknown {what} '{name}'; {hint}"


def _load(model: type[Model], root: Path, kind: str, name: str) -> Model:
    path = _named(root, kind, name)
    return _validate(model, _with_bases(root, path), path)


def _named(root: Path, kind: str, name: str, context: str = "") -> Path:
    path = root / "config" / kind / f"{name}.yaml"
    if not path.is_file():
        folder = path.parent
        raise ConfigError(
            f"{context}{unknown_name(kind.rstrip('s'), name, available(root, kind))} (looked in {folder})"
        )
    return path


def _read(path: Path, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # noqa: S506, a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run from the project's root folder") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from None
    content = empty if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold keys and values, not {type(content).__name__}")
    return content


def _with_bases(root: Path, path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in seen:
        circle = " -> ".join(each.stem for each in (*seen[seen.index(path) :], path))
        raise ConfigError(f"{path}: extends: {circle} is a circle; remove one 'extends'")
    content = _read(path)
    base = content.pop("extends", None)
    if base is None:
        return content
    return _merge(_with_bases(root, _base(root, path, str(base)), (*seen, path)), content)


def _base(root: Path, path: Path, name: str) -> Path:
    """Return the file that `path` extends: of a preset, or, where `path` is an experiment, of another experiment."""
    if path.parent.name != "experiments":
        return _named(root, "presets", name, f"{path}: extends: ")
    folders = [root / "config" / kind for kind in ("presets", "experiments")]
    found = [file for folder in folders if (file := folder / f"{name}.yaml").is_file()]
    if len(found) > 1:
        raise ConfigError(f"{path}: extends: '{name}' is both {found[0]} and {found[1]}; rename one of them")
    if not found:
        known = sorted({*available(root, "presets"), *available(root, "experiments")} - {path.stem})
        raise ConfigError(f"{path}: extends: {unknown_name('preset or experiment', name, known)}")
    return found[0]


def _experiment(root: Path, path: Path, overrides: Mapping[str, Any]) -> ExperimentConfig:
    try:
        return _validate(ExperimentConfig, _merge(_with_bases(root, path), overrides), path)
    except ConfigError as error:
        raise ConfigError(f"{error} (with {OVERRIDES} {json.dumps(overrides)})" if overrides else str(error)) from None


def _check_classifier(root: Path, path: Path, experiment: ExperimentConfig, overrides: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless the classifier that `classifier_of` names answers this experiment's question."""
    if (name := experiment.classifier_of) is None:
        return
    context = f"{path}: classifier_of: "
    if name == path.stem:
        raise ConfigError(f"{context}'{name}' is this experiment; leave classifier_of out to train its own classifier")
    source = _named(root, "experiments", name, context)
    other = _experiment(root, source, overrides)
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


def _validate(model: type[Model], content: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # A misspelt key also leaves its right form missing: say the misspelling first.
        mistakes = sorted(error.errors(), key=lambda item: item["type"] == "missing")
        raise ConfigError(f"{path}: " + "; ".join(_explain(model, item) for item in mistakes)) from None


def _explain(model: type[Section], item: Any) -> str:
    location = ".".join(str(part) for part in item["loc"] if part not in (LIST, *TAGGED)) or "(whole file)"
    value = repr(item["input"])
    value = value if len(value) <= 60 else value[:57] + "..."
    if item["type"] == "extra_forbidden":
        known = _keys(model, item["loc"][:-1]) + ["file"] * (item["loc"][-2:-1] == (TRAINED,))
        return f"{location} = {value}: {unknown_name('key', str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"{location}: required key is missing; add it or extend a preset that has it"
    if item["type"] == "model_type":
        return f"{location} = {value}: a section goes here, with the keys {', '.join(_keys(model, item['loc']))}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "string_type" and not isinstance(item["input"], dict | list):
        message = "a text goes here"
        if item["input"] is not None:
            message += f", and YAML takes this for {type(item['input']).__name__}: quote it"
    return f"{location}: {message}" if item["loc"] == () else f"{location} = {value}: {message}"


def _keys(model: Any, location: tuple[Any, ...]) -> list[str]:
    models = [model]
    for part in location:
        if isinstance(part, int):  # an item of a list, whose model is known already
            continue
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        models = (
            [TAGGED[part]] if part in TAGGED else [each for field in fields for each in _models_in(field.annotation)]
        )
    return sorted({key for each in models for key in each.model_fields})


def _models_in(annotation: Any) -> list[Any]:
    """Return the sections that an annotation is about: of `Section`, `Section | None`, `list[Section]` and unions."""
    return [each for each in (annotation, *get_args(annotation)) if hasattr(each, "model_fields")]
