"""Python imports this at its start where PYTHONPATH says so: each verb then writes down what it ran and read.

Into a file of the folder RUN_RECORDS: its command line, the files of the package of which a function ran, but for what
runs as a module is imported, the keys of configuration files that were read, but for what only checks a file, and the
data and results that were opened to be read or written.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = f"{Path.cwd() / 'stylex'}{os.sep}"
ran: set[str] = set()
read: set[str] = set()
opened: dict[str, set[str]] = {"read": set(), "written": set()}


def begin() -> None:
    """Watch the functions of the package, and the sections that configuration files give."""
    get_code = SourceFileLoader.get_code

    def watched(self: SourceFileLoader, fullname: str):
        return watched_code(Path(self.path)) if self.path.startswith(PACKAGE) else get_code(self, fullname)

    SourceFileLoader.get_code = watched
    sys.path.insert(0, os.getcwd())
    watch_sections()
    sys.addaudithook(watch_files)
    watch_readers()
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
    from stylex.config import loading, reading
    from stylex.config.base import Section

    known: dict[int, tuple[Section, str]] = {}  # with the section itself, which so is never replaced under its number
    validate, get, copy = reading.validated, Section.__getattribute__, Section.model_copy

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

    def copied(self: Section, **how: Any):
        section = copy(self, **how)
        if id(self) in known:
            remember(section, known[id(self)][1])
        return section

    def noted(self: Section, key: str):
        value = get(self, key)
        if id(self) in known and key in type(self).model_fields and not isinstance(value, Section):
            read.update({known[id(self)][1] + key} if sys._getframe(1).f_code.co_filename != loading.__file__ else ())
        return value

    loading.validated = reading.validated = remembered
    Section.model_copy = copied
    Section.__getattribute__ = noted


def watch_files(event: str, arguments: tuple) -> None:
    """Note the data and results that Python opens; a file that is written gets its name at the end."""
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        note("written" if (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) else "read", arguments[0])
    elif event == "os.rename":
        note("written", arguments[1])


def watch_readers() -> None:
    """Note what is read past Python."""
    import pyarrow.parquet
    import safetensors

    for module, name in (
        (safetensors, "safe_open"),
        (pyarrow.parquet, "ParquetFile"),
        (pyarrow.parquet, "read_schema"),
    ):
        setattr(module, name, noting(getattr(module, name)))


def noting(reader: Callable[..., Any]) -> Callable[..., Any]:
    def noted(path: object, *arguments: object, **options: object) -> object:
        if isinstance(path, str | os.PathLike):
            note("read", path)
        return reader(path, *arguments, **options)

    return noted


def note(how: str, path: str | os.PathLike) -> None:
    path = os.path.relpath(path)
    if path.startswith(("data/", "results/")) and not path.endswith(".tmp"):
        opened[how].add(path)


def write() -> None:
    """Write the record, named after the process."""
    files = sorted(file.removeprefix(PACKAGE) for file in ran)
    record = {"verb": sys.orig_argv[3:], "ran": files, "read": sorted(read)}
    record["files"] = {how: sorted(paths) for how, paths in opened.items()}
    Path(os.environ["RUN_RECORDS"], f"{os.getpid()}.json").write_text(json.dumps(record))


if sys.orig_argv[1:3] == ["-m", "stylex"] and "RUN_RECORDS" in os.environ:
    begin()
