"""Which files a module or a function needs, and what changes them: on a small package and on the real one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stylex import source
from stylex.source import LEFT_OUT, code_digest, imported

PACKAGE = Path(source.__file__).parent
FILES = {
    "__init__.py": "",
    "verbs/__init__.py": "from stylex.verbs.stage import draw, fit\n",
    "verbs/stage.py": (
        "from stylex.deep import first, second as other\nfrom stylex.errors import Mistake\nLIMIT = 3\n"
        "def draw():\n    from stylex.pages import render\n    render()\n"
        "def fit():\n    return first(), other(), _helped(LIMIT)\n"
        "def _helped(value):\n    from stylex.helping import help\n    return help(value)\n"
    ),
    "verbs/typed.py": (
        "from typing import TYPE_CHECKING\nimport stylex.errors\n"
        "if TYPE_CHECKING:\n    from stylex.sums import total\nelse:\n    import stylex.unused\n"
    ),
    "pages/__init__.py": "from stylex.pages.page import render\n",
    "pages/page.py": "from jinja2 import Environment\ndef render(): ...\n",
    "pages/templates/page.html": "<p>\n",
    "deep/__init__.py": "from stylex.deep.inner import first, second\n",
    "deep/inner/__init__.py": "from stylex.sums import total as first\ndef second(): ...\nimport stylex.unused\n",
    "config/__init__.py": "",
    "config/sections.py": (
        "Side = Annotated[int, 'at most 9']\nclass Section:\n    width: int = 3\n    @property\n"
        "    def double(self):\n        twice: int = 2\n        sides = [self.width]\n        return twice * sides[0]\n"
        "    @field_validator('width')\n    def _positive(cls, value): return value\n"
    ),
    "errors.py": "class Mistake(Exception):\n    '''Said.'''\n",
    "helping.py": "def help(value): return value\n",
    "sums.py": (
        "'''Sums.'''\nfrom stylex.config.sections import Section\ndef total(a, b):\n    '''Add.'''\n    return a + b\n"
    ),
    "unused.py": "",
}
FIT = ["config/sections.py", "deep/inner/__init__.py", "helping.py", "sums.py", "unused.py", "verbs/stage.py"]
DRAW = ["pages/page.py", "pages/templates/page.html", "verbs/stage.py"]


@pytest.fixture
def package(tmp_path, monkeypatch) -> Callable[..., None]:
    """A small package; the function replaces text in one of its files, as a new process would find it."""
    folder = tmp_path / "stylex"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(source, "ROOT", tmp_path)

    def edit(name: str, old: str, new: str) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        for cached in (source._tree, source._definitions, source._code, source._imports, source._content_digest):
            cached.cache_clear()

    return edit


def names(module: str, *without: str) -> list[str]:
    return [path.relative_to(source.ROOT / "stylex").as_posix() for path in imported(module, without)]


@pytest.mark.parametrize(
    ("module", "without", "files"),
    [
        # Imports in functions count, the package around a module and the neighbours of a function do not.
        ("stylex.verbs.draw", [], DRAW),
        ("stylex.verbs.stage.draw", [], DRAW),
        # Names of a package are followed to their home, what a function uses of its file counts.
        ("stylex.verbs.fit", [], FIT),
        ("stylex.verbs.stage", [], sorted({*FIT, *DRAW, "errors.py"})),
        ("stylex.verbs.typed", [], ["errors.py", "unused.py", "verbs/typed.py"]),
        ("stylex.verbs.draw", ["stylex.pages"], ["verbs/stage.py"]),
        (
            "stylex.verbs.fit",
            ["stylex.sums", "stylex.un"],
            ["deep/inner/__init__.py", "helping.py", "unused.py", "verbs/stage.py"],
        ),
    ],
)
def test_files_that_are_needed(package, module, without, files):
    assert names(module, *without) == files


VERBS = ("stylex.verbs.fit", "stylex.verbs.typed")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sums.py", "'''Sums.'''", "# Adds.\n"),
        ("sums.py", "'''Add.'''\n    return a + b", "return (a +\n        b)"),
        ("config/sections.py", "width: int = 3", "width: int = 4\n    height: int = 5"),
        ("config/sections.py", "return value", "raise ValueError"),
        ("config/sections.py", "at most 9", "at most 99"),
        ("errors.py", "Exception", "ValueError"),
        ("pages/page.py", "def render(): ...", "def render(): return 1"),
        ("verbs/stage.py", "    render()", "    return render()"),
        ("verbs/stage.py", "def draw", "ANOTHER = 4\ndef another(): ...\ndef draw"),
        ("verbs/stage.py", "first, second", "first, third, second"),
    ],
)
def test_what_changes_no_result_leaves_the_digest(package, name, old, new):
    before = code_digest(*VERBS)
    package(name, old, new)
    assert code_digest(*VERBS) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sums.py", "a + b", "a - b"),
        ("sums.py", "def total(a, b)", "def total(a, b=None)"),
        ("config/sections.py", "int = 2", "int = 3"),
        ("config/sections.py", "sides[0]", "sides[-1]"),
        ("pages/templates/page.html", "<p>", "<b>"),
        ("deep/inner/__init__.py", "import stylex.unused", ""),
        ("verbs/stage.py", "LIMIT = 3", "LIMIT = 4"),
        ("verbs/stage.py", "return help(value)", "return -help(value)"),
        ("verbs/stage.py", "second as other", "first as other"),
    ],
)
def test_what_may_change_a_result_changes_the_digest(package, name, old, new):
    before = code_digest(*VERBS, "stylex.verbs.draw")
    package(name, old, new)
    assert code_digest(*VERBS, "stylex.verbs.draw") != before


def test_fields_and_types_count_where_they_do_not_configure(package):
    package("sums.py", "def total", "class Pair(NamedTuple):\n    a: int\n    b: int\n\ndef total")
    before = code_digest("stylex.sums")
    package("sums.py", "a: int", "a: float")
    assert code_digest("stylex.sums") != before


def test_digest_leaves_out_what_is_asked(package):
    before = code_digest("stylex.verbs.fit", without=["stylex.sums"])
    package("sums.py", "a + b", "a - b")
    assert code_digest("stylex.verbs.fit", without=["stylex.sums"]) == before != code_digest("stylex.verbs.fit")


@pytest.mark.parametrize("module", ["stylex.nothing", "stylex.verbs.nothing", "stylex.verbs.stage.nothing"])
def test_module_or_function_that_does_not_exist_is_named(package, module):
    with pytest.raises(ModuleNotFoundError, match=rf"there is no module {module} in "):
        imported(module)


def test_training_needs_its_losses_but_neither_the_training_of_classifiers_nor_figures():
    found = {path.relative_to(PACKAGE).as_posix() for path in imported("stylex.cli.train")}
    assert {"training/losses.py", "config/training.py", "networks/layers.py"} <= found
    others = ("figures", "attfind", "cli/__init__", "report", "classifiers/training")
    assert not [name for name in found if name.startswith(others)]
    assert found >= {f"{name.removeprefix('stylex.').replace('.', '/')}.py" for name in LEFT_OUT[:2]}


def test_looking_imports_nothing_else():
    program = "import sys; from stylex.source import code_digest; code_digest('stylex.cli.train');"
    program += "print(*[name for name in sys.modules if name.startswith(('stylex.', 'torch'))])"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["stylex.source"]
