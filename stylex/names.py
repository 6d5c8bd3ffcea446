"""Names and favourites that people give to attributes: read from a file of the gallery, kept beside the experiment.

A file is JSON: {"format": 1, "kind": "stylex attribute names", "attributes": [{"experiment", "model", "style_index",
"name", "favourite"}, …]}. `model` is the sha256 of the file of the trained networks, whose coordinates are named: after
another training, coordinate 17 is another one. results/experiments/<e>/names.json has the same format, of one
experiment. Names are text of whoever wrote them: what shows them escapes them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylex.artifacts import read_table, require, sha256, write_json
from stylex.config import ExperimentPaths, load_experiment
from stylex.config.base import NAME
from stylex.errors import ConfigError, NamesError

FORMAT, KIND = 1, "stylex attribute names"
TYPES = {"experiment": str, "model": str, "style_index": int, "name": str, "favourite": bool}
LONGEST = 60  # characters of a name
# Characters that end a line, are halves of others, or turn the direction of the text around a name.
REFUSED = ("Cc", "Cs", "Zl", "Zp")
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
REMEDY = "export the names again from the gallery"


@dataclass(frozen=True)
class Name:
    """What people call an attribute; `text` is empty where it is a favourite without a name."""

    text: str
    favourite: bool


def read_names(path: Path, model_digest: str) -> dict[int, Name]:
    """Return the names in an experiment's names.json by style index; none without a file or of another training.

    model_digest: sha256 of the model's file. Raises `NamesError` when the file is damaged.
    """
    if not path.is_file():
        return {}
    entries = [entry for entry in _entries(path) if entry["model"] == model_digest]
    return {entry["style_index"]: Name(entry["name"], entry["favourite"]) for entry in entries}


def names_of_another_training(path: Path, model_digest: str) -> int:
    """Return how many names of the file `read_names` leaves out, because they are of another training."""
    return sum(entry["model"] != model_digest for entry in _entries(path)) if path.is_file() else 0


def import_names(root: Path, file: Path) -> dict[str, dict[int, Name]]:
    """Check a file of names and write names.json of each experiment in it, in place of an earlier one; return them.

    An entry with neither a name nor the mark of a favourite takes back what was there. Raises `NamesError`, and writes
    nothing, when anything in the file is wrong, `ArtifactError` when an experiment has not run.
    """
    by_experiment: dict[str, dict[int, dict[str, Any]]] = {}
    for number, entry in enumerate(_entries(file), start=1):
        entries = by_experiment.setdefault(entry["experiment"], {})
        index, where = entry["style_index"], f"{file}, attribute {number} of the list"
        if index in entries:
            raise NamesError(f"{where}: style_index {index} of '{entry['experiment']}' is named twice; remove one")
        entries[index] = entry
    if not by_experiment:
        raise NamesError(f"{file} names no attribute; give it a name or a star in the gallery, then {REMEDY}")
    paths = {name: _checked(root, file, name, entries) for name, entries in by_experiment.items()}
    found = {}
    for name, entries in by_experiment.items():
        kept = [entries[index] for index in sorted(entries) if entries[index]["name"] or entries[index]["favourite"]]
        write_json(paths[name].names, {"format": FORMAT, "kind": KIND, "attributes": kept})
        found[name] = {entry["style_index"]: Name(entry["name"], entry["favourite"]) for entry in kept}
    return found


def _entries(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a file of names, each checked by itself; raise `NamesError` when one is malformed."""
    if not file.is_file():
        raise NamesError(f"{file} is no file; give the JSON file that the gallery exported")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of JSON, of its numbers, or of UTF-8
        raise NamesError(f"{file} is not JSON ({error}); {REMEDY}") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise NamesError(f"{file} is no file of names (its kind is not '{KIND}'); {REMEDY}")
    if (found := content.get("format")) != FORMAT or isinstance(found, bool):
        raise NamesError(
            f"{file} has format {found!r}, this version of stylex reads {FORMAT}; update stylex, or {REMEDY}"
        )
    entries = content.get("attributes")
    if not isinstance(entries, list):
        raise NamesError(f"{file}: 'attributes' is no list; {REMEDY}")
    return [_entry(f"{file}, attribute {number} of the list", entry) for number, entry in enumerate(entries, start=1)]


def _entry(where: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or entry.keys() != TYPES.keys():
        keys = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else entry
        raise NamesError(f"{where} has {keys!r}, not {', '.join(TYPES)}; {REMEDY}")
    for key, kind in TYPES.items():
        if type(entry[key]) is not kind:
            raise NamesError(f"{where}: {key} is {entry[key]!r}, not of type {kind.__name__}; {REMEDY}")
    name = entry["name"]
    if len(name) > LONGEST:
        raise NamesError(f"{where}: the name {name[:20]!r}… has {len(name)} characters; {LONGEST} are the most")
    if name != name.strip():
        raise NamesError(f"{where}: the name {name!r} begins or ends with a blank; remove it")
    for character in name:
        if unicodedata.category(character) in REFUSED or unicodedata.bidirectional(character) in TURNING:
            raise NamesError(
                f"{where}: the name {ascii(name)} holds the control character {ascii(character)}; remove it"
            )
    return {key: entry[key] for key in TYPES}


def _checked(root: Path, file: Path, experiment: str, entries: Mapping[int, Mapping[str, Any]]) -> ExperimentPaths:
    """Return the paths of an experiment whose attributes these are; raise `NamesError` when they are not."""
    try:
        if not re.fullmatch(NAME, experiment):
            raise ConfigError(f"an experiment cannot be called {experiment[:40]!r}; {REMEDY}")
        load_experiment(root, experiment)
    except ConfigError as error:
        raise NamesError(f"{file}: {error}") from None
    paths = ExperimentPaths(root, experiment)
    digest = sha256(require(paths.stylex_model))
    known = sorted(set(read_table(paths.attributes)["style_index"].astype(int)))
    for index, entry in entries.items():
        if entry["model"] != digest:
            raise NamesError(
                f"{file}: style_index {index} of '{experiment}' is of the model {entry['model'][:12]!r}…, and"
                f" {paths.stylex_model} is {digest[:12]}…, another training; open its gallery and {REMEDY}"
            )
        if index not in known:
            raise NamesError(
                f"{file}: style_index {index} is no attribute of '{experiment}', whose attributes are"
                f" {', '.join(map(str, known)) or 'none'} ({paths.attributes}); remove it, or {REMEDY}"
            )
    return paths
