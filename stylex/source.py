"""Which code a result depends on: what a module or a verb imports, followed through the package, and a digest of it.

Read from the source as a syntax tree; nothing is imported, so that planning stays fast. A process reads a file once.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = Path(__file__).parent.name

# These say, name and store things, or hand over what is configured, which arrives by its values: a changed message is
# no reason to train for a week again. What they import counts nevertheless.
LEFT_OUT = (
    "stylex.locks",
    "stylex.artifacts",
    "stylex.cli.options",
    "stylex.config.loading",
    "stylex.config.paths",
    "stylex.config.reading",
    "stylex.errors",
    "stylex.allocator",
    "stylex.progress",
    "stylex.slurm",
    "stylex.source",
)
# Who only reads prepared images and fetched files asks the catalog no more than whether a class exists, and fetches
# nothing: manifests and digests say what they are. `without` these, another dataset trains nothing again.
CHECKED = ("stylex.datasets.catalog", "stylex.datasets.transfer")
VALIDATORS = {"field_validator", "model_validator"}


class Part(NamedTuple):
    """A file of the package; with a name, only that function of it and what that uses of the file."""

    path: Path
    function: str = ""


def imported(module: str, without: Collection[str] = ()) -> list[Path]:
    """Return the files of the package that a module or a function needs by its imports, its own among them, in order.

    A function is named by its module or by a package that imports it, as `stylex.cli.train`; of its own file, only what
    it uses counts. Imports inside functions count, those for the type checker do not, nor the package that a module
    merely lies in. Of a package, a name is followed to where it is defined. Who imports jinja2 needs the templates
    beside it, and a module the YAML file of its name. `without`: modules, or packages with all in them, left out by
    dotted name, with what only they import.
    """
    return sorted({part.path for part in _parts(module, without)})


def code_digest(*modules: str, without: Collection[str] = ()) -> str:
    """Return a sha256 of what these modules or functions and all they import do, as 16 hex digits.

    Comments, docstrings and layout do not count, nor the files `LEFT_OUT`; `without`: as of `imported`.
    """
    parts = {part for module in modules for part in _parts(module, without)}
    digest = hashlib.sha256()
    for part in sorted(part for part in parts if not any(_lies_in(part.path, each) for each in LEFT_OUT)):
        digest.update(f"{part.path.relative_to(ROOT).as_posix()} {_content_digest(part)}\n".encode())
    return digest.hexdigest()[:16]


def _parts(module: str, without: Collection[str]) -> set[Part]:
    found: set[Part] = set()
    waiting = {_located(module)}
    while waiting:
        part = waiting.pop()
        if any(_lies_in(part.path, each) for each in without):
            continue
        found.add(part)
        waiting |= {Part(path) for path in _imports(part)} - found
        if part.path.with_suffix(".yaml").is_file():
            found.add(Part(part.path.with_suffix(".yaml")))
        if part.path.suffix == ".py" and _reads_templates(part.path):
            found |= {Part(each) for each in part.path.parent.joinpath("templates").rglob("*") if each.is_file()}
    return found


@cache
def _lies_in(path: Path, module: str) -> bool:
    place = ROOT.joinpath(*module.split("."))
    return path == place.with_suffix(".py") or place in path.parents


def _located(name: str) -> Part:
    """Return the file of a module or a package, or the function of that name; raise `ModuleNotFoundError`."""
    module, _, function = name.rpartition(".")
    try:
        return Part(_file(name))
    except ModuleNotFoundError:
        part = Part(_home(module, function), function)
        if function in _definitions(part.path):
            return part
        raise


def _file(module: str) -> Path:
    """Return the file of a module or a package; raise `ModuleNotFoundError` when there is none."""
    place = ROOT.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"there is no module {module} in {ROOT}")


def _home(module: str, name: str) -> Path:
    """Return the file from which `from module import name` takes what it imports."""
    path = _file(module)
    if path.name != "__init__.py":
        return path
    try:
        return _file(f"{module}.{name}")
    except ModuleNotFoundError:
        pass
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _home(node.module or "", alias.name)
    return path


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == PACKAGE


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


@cache
def _definitions(path: Path) -> dict[str, ast.stmt]:
    """Return the statements of a file by the names that they define; those for the type checker are none."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0]: ast.Import([alias]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            one_by_one = {alias: ast.ImportFrom(node.module, [alias], node.level) for alias in node.names}
            found |= {alias.asname or alias.name: statement for alias, statement in one_by_one.items()}
    return found


@cache
def _code(part: Part) -> ast.Module:
    """Return the tree of a file, or of a function and of what it uses of its file."""
    if not part.function:
        return _tree(part.path)
    definitions, used, waiting = _definitions(part.path), set(), {part.function}
    while waiting:
        used.add(name := waiting.pop())
        names = {node.id for node in ast.walk(definitions[name]) if isinstance(node, ast.Name)}
        waiting |= (names & definitions.keys()) - used
    return ast.Module([definitions[name] for name in sorted(used)], [])


@cache
def _imports(part: Part) -> frozenset[Path]:
    if part.path.suffix != ".py":
        return frozenset()
    files = set()
    for node in _statements(_code(part)):
        if isinstance(node, ast.Import):
            files |= {_file(alias.name) for alias in node.names if _is_ours(alias.name)}
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            files |= {_home(node.module or "", alias.name) for alias in node.names}
    return frozenset(files)


def _reads_templates(path: Path) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.module == "jinja2" for node in _tree(path).body)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements within one, but for what only the type checker sees."""
    typing = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in [] if typing and block == "body" else getattr(node, block, []):
            yield child
            yield from _statements(child)


@cache
def _content_digest(part: Part) -> str:
    if part.path.suffix != ".py":
        return hashlib.sha256(part.path.read_bytes()).hexdigest()
    configures = part.path.parent == ROOT / PACKAGE / "config"
    return hashlib.sha256(_text(_code(part), configures).encode()).hexdigest()


def _text(node: object, configures: bool) -> str:
    """Write down a tree without docstrings and without what is empty, in which versions of Python differ.

    `configures`: without fields and their types, whose values arrive as parameters, and without what refuses them.
    """
    if isinstance(node, list):
        return f"[{','.join(_text(each, configures) for each in node if not _is_docstring(each))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if configures and isinstance(node, ast.Module):
        fields["body"] = [each for each in node.body if not _is_type(each)]
    elif configures and isinstance(node, ast.ClassDef):
        fields["body"] = [each for each in node.body if not _is_field(each)]
    texts = [f"{name}={_text(value, configures)}" for name, value in fields.items() if value not in (None, [])]
    return f"{type(node).__name__}({','.join(texts)})"


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_type(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)


def _is_field(node: ast.stmt) -> bool:
    decorators = [ast.unparse(each).partition("(")[0] for each in getattr(node, "decorator_list", [])]
    return isinstance(node, ast.AnnAssign) or not VALIDATORS.isdisjoint(decorators)
