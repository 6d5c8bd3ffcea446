"""Python imports this at its start where PYTHONPATH says so: each verb then writes down what it ran and read.

Into a file of the folder RUN_RECORDS: its command line, the files of the package of which a function ran, but for what
runs as a module is imported, and the keys of configuration files that were read, but for what only checks a file.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType

FUNCTION = 0x1  # of co_flags: local variables in slots, which bodies of modules and classes have not
PACKAGE = f"{Path.cwd() / 'stylex'}{os.sep}"
ran: set[str] = set()
read: set[str] = set()


def begin() -> None:
    """Watch all functions that begin from now on, in all threads, and the sections that configuration files give."""
    sys.path.insert(0, os.getcwd())
    watch_sections()
    atexit.register(write)
    threading.settrace(called)
    sys.settrace(called)


def called(frame: FrameType, event: str, argument: object) -> None:
    """Note the file of a function that begins. As nothing is returned, its lines are not traced."""
    code = frame.f_code
    file = code.co_filename
    if file not in ran and code.co_flags & FUNCTION and file.startswith(PACKAGE) and not is_importing(frame):
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
    from stylex.config.analysis import Section

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
            if sys._getframe(1).f_code.co_filename != loading.__file__:
                read.add(known[id(self)][1] + key)
        return value

    loading._validate, Section.__getattribute__ = remembered, noted


def write() -> None:
    """Write the record, named after the process."""
    sys.settrace(None)
    files = sorted(file.removeprefix(PACKAGE) for file in ran)
    record = {"verb": sys.orig_argv[3:], "ran": files, "read": sorted(read)}
    Path(os.environ["RUN_RECORDS"], f"{os.getpid()}.json").write_text(json.dumps(record))


if sys.orig_argv[1:3] == ["-m", "stylex"] and "RUN_RECORDS" in os.environ:
    begin()
