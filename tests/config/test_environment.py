"""pyproject.toml, requirements.lock and environment.yml name the same packages at the same versions."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def wanted() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def pinned(lines: list[str]) -> dict[str, str]:
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([each.operator for each in requirement.specifier] == ["=="] for requirement in requirements)
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in requirements}


LOCK = pinned((ROOT / "requirements.lock").read_text().splitlines())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_lock_satisfies_pyproject():
    for name, requirement in wanted().items():
        assert requirement.specifier.contains(LOCK[name]), requirement


def test_conda_environment_has_the_direct_dependencies_at_the_locked_versions():
    conda = pinned(CONDA[-1]["pip"])
    assert conda == {name: LOCK[name] for name in wanted()}


def test_conda_environment_has_the_extras_of_pyproject():
    extras = {canonicalize_name(each.name): each.extras for each in map(Requirement, CONDA[-1]["pip"])}
    assert extras == {name: requirement.extras for name, requirement in wanted().items()}


def test_lock_names_no_index_and_no_path():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text and "--" not in text and " @ " not in text
