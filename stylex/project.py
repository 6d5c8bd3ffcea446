"""The checked configuration of a project, for `stylex validate` and for the Snakefile; what its files may hold.

Every key is said once, by the description of its field: `stylex keys` and the JSON schemas have it from there. Free of
torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylex.config import (
    BackboneConfig,
    DatasetFile,
    ExperimentConfig,
    OracleConfig,
    RegressorConfig,
    SuiteConfig,
    load_backbone_config,
    load_experiment,
    load_oracle_config,
    load_pipeline,
    load_regressor_config,
    load_suite,
)
from stylex.config.base import Section
from stylex.config.loading import named_file
from stylex.config.reading import unknown_name
from stylex.config.suites import PipelineConfig
from stylex.datasets.catalog import validate_dataset, validate_explained, validate_oracle, validate_released_images
from stylex.errors import ConfigError
from stylex.slurm import SiteConfig, load_site

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, type[Section]] = {
    "experiment": ExperimentConfig,
    "suite": SuiteConfig,
    "dataset": DatasetFile,
    "backbone": BackboneConfig,
    "oracle": OracleConfig,
    "regressor": RegressorConfig,
    "site": SiteConfig,
    "config": PipelineConfig,
}
EXTENDING = ("experiment", "backbone", "oracle", "regressor")
EXTENDS = {
    "type": "string",
    "default": None,
    "description": "A file of config/presets, or, of an experiment, of config/experiments, by name: its keys count"
    " where this file has none.",
}
PAPERS = {  # as descriptions cite them
    "[L]": "Lang et al. 2021",
    "[N]": "the notebook of the authors of Lang et al.",
    "[V]": "van der Vleuten et al. 2022",
}
WORDS = {"integer": "integer", "number": "number", "boolean": "true | false"}
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Project:
    """A suite by name, the configuration of each of its experiments and of what they name, and the site they run on.

    What they name is backbones, oracles, regressors, and experiments outside the suite whose classifiers are explained
    in it; these come last.
    """

    suite_name: str
    suite: SuiteConfig
    experiments: dict[str, ExperimentConfig]
    backbones: dict[str, BackboneConfig]
    oracles: dict[str, OracleConfig]
    regressors: dict[str, RegressorConfig]
    site: SiteConfig


def load_project(root: Path, suite_name: str | None = None) -> Project:
    """Read and check a suite (default: that of config/config.yaml) and its experiments; raise `ConfigError`."""
    name = suite_name or load_pipeline(root).suite
    suite = load_suite(root, name)
    experiments = {each: load_checked_experiment(root, each) for each in suite.runs}
    explained = {each.classifier_of for each in experiments.values() if each.classifier_of} - set(experiments)
    experiments |= {each: load_checked_experiment(root, each) for each in sorted(explained)}
    references = {each.stylex.perceptual_backbone for each in experiments.values() if each.runs("train")}
    backbones = {each: load_backbone_config(root, each) for each in sorted(references)}
    measured = {each.evaluation.factor_regressor for each in experiments.values()}
    regressors = {each: load_regressor_config(root, each) for each in sorted(filter(None, measured))}
    asked = {each.evaluation.oracle for each in experiments.values()}
    oracles = {each: load_oracle_config(root, each) for each in sorted(filter(None, asked))}
    _check_tables(root / "config" / "suites" / f"{name}.yaml", suite, experiments)
    return Project(name, suite, experiments, backbones, oracles, regressors, load_site(root))


def _check_tables(path: Path, suite: SuiteConfig, experiments: dict[str, ExperimentConfig]) -> None:
    """Raise `ConfigError` when a table that the suite names cannot be had of its experiments."""
    for table in suite.tables:
        if any(experiments[each].gives(table) for each in suite.experiments):
            continue
        if table == "factors":
            raise ConfigError(
                f"{path}: tables: factors needs an experiment with evaluation.factor_regressor, and none has it; add it"
                " or leave the table out"
            )
        images = ", or set released_images in one of them" if table == "frechet" else ""
        raise ConfigError(
            f"{path}: tables: {table} is made of experiments that are trained here, and this suite has released"
            f" models only; leave the table out{images}"
        )


def load_checked_experiment(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Read one experiment, as `load_experiment` does, and check its dataset and classes against the catalog.

    Raises `ConfigError`.
    """
    experiment = load_experiment(root, name, overrides)
    try:
        if not experiment.runs("train"):  # its dataset is a name
            validate_released_images(root, experiment.released_images)
            return experiment
        validate_dataset(root, experiment.dataset)
        if experiment.evaluation.oracle is not None:
            asked = load_oracle_config(root, experiment.evaluation.oracle)
            validate_oracle(root, experiment.dataset, asked.dataset)
        if experiment.classifier_of is not None:
            validate_explained(
                root, experiment.dataset, load_experiment(root, experiment.classifier_of, overrides).dataset
            )
    except ConfigError as error:
        raise ConfigError(f"{named_file(root, 'experiments', name)}: {error}") from None
    return experiment


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of a kind of file with all that it extends merged in."""
    content = MODELS[kind].model_json_schema()
    if kind in EXTENDING:
        content["properties"] = {"extends": EXTENDS} | content["properties"]
    return {"$schema": DRAFT, **content}


def schema_texts(root: Path) -> dict[Path, str]:
    """Return workflow/schemas/<kind>.schema.json and its text for each kind of file, as an editor meets it.

    Of a file that extends another one, no key is required.
    """
    texts = {}
    for kind in MODELS:
        content = schema(kind)
        for section in [content, *content.get("$defs", {}).values()] if kind in EXTENDING else []:
            section.pop("required", None)
            for value in section.get("properties", {}).values():
                if "oneOf" in value:  # what fits only one of them by what is required fits several now
                    value["anyOf"] = value.pop("oneOf")
        path = root / "workflow" / "schemas" / f"{kind}.schema.json"
        texts[path] = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return texts


@dataclass(frozen=True)
class Key:
    """A key of a configuration file; `default`: None where it is required, empty where it may be left out."""

    name: str
    values: str
    default: str | None
    meaning: str

    @property
    def given(self) -> str:
        """Say whether it must be given, and what it is otherwise."""
        return "required" if self.default is None else f"default {self.default}" if self.default else "optional"


@dataclass(frozen=True)
class KeySection:
    """A section by its dotted name, empty for the file itself, and its keys; `form`: optional, list, or empty."""

    name: str
    form: str
    meaning: str
    keys: list[Key]

    @property
    def heading(self) -> str:
        """Its name, and whether it may be left out or be there several times."""
        return (self.name or "the file itself") + (f" ({self.form})" if self.form else "")

    def matching(self, wanted: str) -> KeySection | None:
        """Return the section, all of it or those of its keys whose dotted names have `wanted` in them, if any."""
        if f".{wanted}." in f".{self.name}.":
            return self
        keys = [key for key in self.keys if f".{self.name}.{key.name}.".endswith(f".{wanted}.")]
        return replace(self, keys=keys) if keys else None


def described_keys(kind: str, wanted: str | None = None) -> list[KeySection]:
    """Return all sections of a kind of file, or only `wanted`: a section or a key by the end of its dotted name.

    Raises `ConfigError` when there is no such kind or nothing of that name.
    """
    if kind not in MODELS:
        raise ConfigError(f"--file {kind}: {unknown_name('kind of file', kind, list(MODELS))}")
    sections = list(_sections(schema(kind), MODELS[kind].__doc__ or ""))
    if wanted is None:
        return sections
    chosen = [each.matching(wanted) for each in sections]
    if not any(chosen):
        names = list(dict.fromkeys(each.name for each in sections if each.name))
        known = {
            *names,
            *(name.rpartition(".")[2] for name in names),
            *(key.name for each in sections for key in each.keys),
        }
        close = difflib.get_close_matches(wanted, sorted(known), n=1)
        raise ConfigError(f"--file {kind}: {unknown_name('section or key', wanted, close or names)}")
    return [each for each in chosen if each]


def _sections(file: dict[str, Any], meaning: str) -> Iterator[KeySection]:
    """Yield the sections of a schema, each before those within it."""
    waiting: list[tuple[str, str, str, dict[str, Any]]] = [("", "", meaning, file)]
    while waiting:
        name, form, meaning, section = waiting.pop(0)
        properties, keys, within = section["properties"], [], []
        kinds = {each.get("$ref") for each in properties.values()}
        if len(properties) > 1 and len(kinds) == 1 and None not in kinds:  # one section under many names
            properties = {"*": next(iter(properties.values()))}
        for key, value in properties.items():
            options, how = _options(value)
            inner = [_resolved(file, each) for each in options]
            if all("properties" in each for each in inner):  # one section, or several that stand for each other
                dotted = f"{name}.{key}".removeprefix(".")
                said = value.get("description", "")
                within += [(dotted, how, said or each.get("description", ""), each) for each in inner]
            else:
                default = None if key in section.get("required", []) else _written(value.get("default"))
                keys.append(Key(key, _values(file, value), default, value.get("description", "")))
        yield KeySection(name, form, " ".join(meaning.split()), keys)
        waiting = within + waiting


def _options(value: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Return what a value may be instead of nothing, or, of a list, what its items may be; and which of these it is."""
    if "items" in value:
        return _options(value["items"])[0], "list"
    options = [each for each in value.get("anyOf", value.get("oneOf", [value])) if each != {"type": "null"}]
    return options, "optional" if {"type": "null"} in value.get("anyOf", []) else ""


def _resolved(file: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return file["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value


def _values(file: dict[str, Any], value: dict[str, Any]) -> str:
    """Say in words which values a schema accepts."""
    value = _resolved(file, value)
    if "items" in value:
        return f"[{_values(file, value['items'])}, …]"
    if "properties" in value:
        return f"{{{', '.join(value['properties'])}}}"
    if "enum" in value or "const" in value:
        return " | ".join(map(_written, value.get("enum", [value.get("const")])))
    if "anyOf" in value or "oneOf" in value:
        return " | ".join(_values(file, each) for each in _options(value)[0])
    bounds = [f"{sign} {value[bound]}" for bound, sign in BOUNDS.items() if bound in value]
    return " ".join([WORDS.get(value.get("type", "string"), "text"), ", ".join(bounds)]).strip()


def _written(value: Any) -> str:
    """Return a value as in YAML; nothing and an empty list as empty."""
    return "" if value in (None, []) else json.dumps(value, ensure_ascii=False).replace('"', "")
