"""Python imports this at its start where PYTHONPATH says so: each verb then writes down what it ran and read.

Into a file of the folder RUN_RECORDS: its command line, the files of the package of which a function ran, but for what
runs as a module is imported, and the keys of configuration files that were read, but for what only checks a file.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType

PACKAGE = f"{Path.cwd() / 'stylex'}{os.sep}"
ran: set[str] = set()
read: set[str] = set()


def begin() -> None:
    """Watch the functions of the package, and the sections that configuration files give."""
    get_code = SourceFileLoader.get_code

    def watched(self: SourceFileLoader, fullname: str):
        return watched_code(Path(self.path)) if self.path.startswith(PACKAGE) else get_code(self, fullname)

    SourceFileLoader.get_code = watched
    sys.path.insert(0, os.getcwd())
    watch_sections()
    atexit.register(write)


def watched_code(path: Path):
    """Compile a file so that each of its functions says that it begins: far cheaper than `sys.settrace`."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            said = ast.parse("__import__('sitecustomize').begun()").body[0]
            node.body.insert(ast.get_docstring(node) is not None, ast.copy_location(said, node.body[0]))
    return compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)


def begun() -> None:
    """Note the file of the function that calls this, unless a module that is being imported calls that one."""
    frame = sys._getframe(1)
    file = frame.f_code.co_filename
    if file not in ran and not is_importing(frame):
        ran.add(file)


def is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported that calls this function."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(PACKAGE) and "__main__" not in code.co_filename:
            return True
        frame = frame.f_back
    return False


def watch_sections() -> None:
    """Note each key that is read of what the files of config/ gave: read from an artifact, it is that artifact's."""
    from stylex.config import loading
    from stylex.config.base import Section

    known: dict[int, tuple[Section, str]] = {}  # with the section itself, which so is never replaced under its number
    validate, get = loading._validate, Section.__getattribute__

    def remember(section: Section, name: str) -> None:
        known[id(section)] = section, name
        for key in type(section).model_fields:
            value = get(section, key)
            if isinstance(value, Section):
                remember(value, f"{name}{key}.")

    def remembered(model, content, path):
        section = validate(model, content, path)
        remember(section, f"{path.parent.name}/{path.stem}:")
        return section

    def noted(self: Section, key: str):
        value = get(self, key)
        if id(self) in known and key in type(self).model_fields and not isinstance(value, Section):
            read.update({known[id(self)][1] + key} if sys._getframe(1).f_code.co_filename != loading.__file__ else ())
        return value

    loading._validate, Section.__getattribute__ = remembered, noted


def write() -> None:
    """Write the record, named after the process."""
    files = sorted(file.removeprefix(PACKAGE) for file in ran)
    record = {"verb": sys.orig_argv[3:], "ran": files, "read": sorted(read)}
    Path(os.environ["RUN_RECORDS"], f"{os.getpid()}.json").write_text(json.dumps(record))


if sys.orig_argv[1:3] == ["-m", "stylex"] and "RUN_RECORDS" in os.environ:
    begin()
