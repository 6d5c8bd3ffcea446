"""Which files a module needs, and what counts as a change of them; on a package written for it, and on the real one."""

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
    "verbs/__init__.py": "from stylex.verbs import draw, fit\n",
    "verbs/draw.py": "def command():\n    from stylex.pages import render\n    render()\n",
    "verbs/fit.py": "from stylex.deep import first, second as other\n",
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
    "config/models.py": (
        "Side = Annotated[int, 'at most 9']\nclass Section:\n    width: int = 3\n    @property\n"
        "    def double(self):\n        twice: int = 2\n        sides = [self.width]\n        return twice * sides[0]\n"
        "    @field_validator('width')\n    def _positive(cls, value): return value\n"
    ),
    "errors.py": "class Mistake(Exception):\n    '''Said.'''\n",
    "sums.py": (
        "'''Sums.'''\nfrom stylex.config.models import Section\ndef total(a, b):\n    '''Add.'''\n    return a + b\n"
    ),
    "unused.py": "",
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Callable[..., Path]:
    """A small package; the function replaces text in one of its files, as a new process would find it."""
    folder = tmp_path / "stylex"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(source, "ROOT", tmp_path)

    def edit(name: str, old: str, new: str) -> Path:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        for cached in (source._tree, source._imports, source._content_digest):
            cached.cache_clear()
        return folder / name

    return edit


def names(module: str, *without: str) -> list[str]:
    return [path.relative_to(source.ROOT / "stylex").as_posix() for path in imported(module, without)]


def test_imports_in_functions_count_and_the_package_around_a_module_does_not(package):
    assert names("stylex.verbs.draw") == ["pages/page.py", "pages/templates/page.html", "verbs/draw.py"]


def test_names_of_a_package_are_followed_to_their_home_else_the_whole_package_counts(package):
    assert names("stylex.verbs.fit") == [
        "config/models.py",
        "deep/inner/__init__.py",
        "sums.py",
        "unused.py",
        "verbs/fit.py",
    ]
    package("verbs/fit.py", ", second as other", "")
    assert names("stylex.verbs.fit") == ["config/models.py", "sums.py", "verbs/fit.py"]


def test_what_only_the_type_checker_imports_does_not_count(package):
    assert names("stylex.verbs.typed") == ["errors.py", "unused.py", "verbs/typed.py"]


def test_modules_and_whole_packages_are_left_out_by_name_with_what_only_they_import(package):
    assert names("stylex.verbs.draw", "stylex.pages") == ["verbs/draw.py"]
    assert names("stylex.verbs.fit", "stylex.sums", "stylex.un") == [
        "deep/inner/__init__.py",
        "unused.py",
        "verbs/fit.py",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sums.py", "'''Sums.'''", "# Adds.\n"),
        ("sums.py", "'''Add.'''\n    return a + b", "return (a +\n        b)"),
        ("config/models.py", "width: int = 3", "width: int = 4\n    height: int = 5"),
        ("config/models.py", "return value", "raise ValueError"),
        ("config/models.py", "at most 9", "at most 99"),
        ("errors.py", "Exception", "ValueError"),
        ("pages/page.py", "def render(): ...", "def render(): return 1"),
    ],
)
def test_what_changes_no_result_leaves_the_digest(package, name, old, new):
    before = code_digest("stylex.verbs.fit", "stylex.verbs.typed")
    package(name, old, new)
    assert code_digest("stylex.verbs.fit", "stylex.verbs.typed") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sums.py", "a + b", "a - b"),
        ("sums.py", "def total(a, b)", "def total(a, b=None)"),
        ("config/models.py", "int = 2", "int = 3"),
        ("config/models.py", "sides[0]", "sides[-1]"),
        ("pages/templates/page.html", "<p>", "<b>"),
        ("deep/inner/__init__.py", "import stylex.unused", ""),
    ],
)
def test_what_may_change_a_result_changes_the_digest(package, name, old, new):
    before = code_digest("stylex.verbs.fit", "stylex.verbs.draw")
    package(name, old, new)
    assert code_digest("stylex.verbs.fit", "stylex.verbs.draw") != before


def test_fields_and_types_count_where_they_do_not_configure(package):
    package("sums.py", "def total", "class Pair(NamedTuple):\n    a: int\n    b: int\n\ndef total")
    before = code_digest("stylex.sums")
    package("sums.py", "a: int", "a: float")
    assert code_digest("stylex.sums") != before


def test_digest_leaves_out_what_is_asked(package):
    before = code_digest("stylex.verbs.fit", without=["stylex.sums"])
    package("sums.py", "a + b", "a - b")
    assert code_digest("stylex.verbs.fit", without=["stylex.sums"]) == before != code_digest("stylex.verbs.fit")


def test_module_that_does_not_exist_is_said(package):
    with pytest.raises(ModuleNotFoundError, match=r"there is no module stylex\.nothing in "):
        imported("stylex.nothing")


def test_training_needs_its_losses_but_neither_the_training_of_classifiers_nor_figures():
    found = {path.relative_to(PACKAGE).as_posix() for path in imported("stylex.cli.train")}
    assert {"losses.py", "config/networks.py", "networks/layers.py"} <= found
    others = ("figures", "attfind", "cli/__init__", "report", "classifiers/training")
    assert not [name for name in found if name.startswith(others)]
    assert found >= {f"{name.removeprefix('stylex.').replace('.', '/')}.py" for name in LEFT_OUT[:2]}


def test_looking_imports_nothing_else():
    program = "import sys; from stylex.source import code_digest; code_digest('stylex.cli.train');"
    program += "print(*[name for name in sys.modules if name.startswith(('stylex.', 'torch'))])"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["stylex.source"]
