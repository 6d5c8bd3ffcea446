"""Read one YAML file of config/ and validate what it holds, and say clearly what is wrong."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from stylex.config.base import Section
from stylex.config.training import LIST, NOTATIONS
from stylex.errors import ConfigError

Model = TypeVar("Model", bound=Section)
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


def load_file(model: type[Model], path: Path, empty: dict[str, Any] | None = None) -> Model:
    """Read and validate a YAML file; `empty`: what a file without any key holds, by default a mistake."""
    return validated(model, read_file(path, empty), path)


def read_file(path: Path, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the keys and values of a YAML file; `empty`: as of `load_file`. Raises `ConfigError`."""
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


def validated(model: type[Model], content: dict[str, Any], path: Path) -> Model:
    """Return the section that `content` of the file `path` makes; raise `ConfigError` with all mistakes in one line."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # A misspelt key also leaves its right form missing: say the misspelling first.
        mistakes = sorted(error.errors(), key=lambda item: item["type"] == "missing")
        raise ConfigError(f"{path}: " + "; ".join(_explain(model, item) for item in mistakes)) from None


def _explain(model: type[Section], item: Any) -> str:
    location = ".".join(str(part) for part in item["loc"] if part not in (LIST, *NOTATIONS)) or "(whole file)"
    value = repr(item["input"])
    value = value if len(value) <= 60 else value[:57] + "..."
    if item["type"] == "extra_forbidden":
        known = keys_at(model, item["loc"][:-1])
        return f"{location} = {value}: {unknown_name('key', str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"{location}: required key is missing; add it or extend a preset that has it"
    if item["type"] == "model_type":
        return f"{location} = {value}: a section goes here, with the keys {', '.join(keys_at(model, item['loc']))}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "string_type" and not isinstance(item["input"], dict | list):
        message = "a text goes here"
        if item["input"] is not None:
            message += f", and YAML takes this for {type(item['input']).__name__}: quote it"
    return f"{location}: {message}" if item["loc"] == () else f"{location} = {value}: {message}"


def keys_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Return the sorted keys of the section at a location within a model; none where there is no section."""
    for part in location:
        if isinstance(part, int):  # an item of a list, whose model is known already
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = NOTATIONS.get(part, _model_in(field.annotation) if field else None)
    return sorted(model.model_fields) if hasattr(model, "model_fields") else []


def _model_in(annotation: Any) -> Any:
    """Return the section that an annotation is about: that of `Section`, `Section | None` and `list[Section]`."""
    return next((each for each in get_args(annotation) if hasattr(each, "model_fields")), annotation)


def unknown_name(what: str, name: str, known: list[str]) -> str:
    """Compose the message for a name that is not one of `known`."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(known) or '(none)'}"
    return f"unknown {what} '{name}'; {hint}"
