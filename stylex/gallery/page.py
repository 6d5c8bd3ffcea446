"""The page of the gallery: one file that loads the frames of an experiment from beside it when they are looked at."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stylex.artifacts import require, sha256, write_text
from stylex.config import GalleryPaths
from stylex.names import read_names
from stylex.report.experiment import headline
from stylex.report.run import Run, load_run


def gallery(root: Path, suite: str) -> None:
    """Write results/<suite>/gallery/index.html; raise `ArtifactError` when the frames of an experiment are missing."""
    config, run = load_run(root, suite)
    paths = GalleryPaths(root, suite)
    for name in config.pictured:
        require(paths.frames(name))
    experiments = [about(run, name) for name in config.pictured]
    text = _environment().get_template("index.html.j2").render(
        title=config.title,
        experiments=experiments,
        about=Markup(json.dumps(experiments).replace("<", "\\u003c")),
        style=_asset("gallery.css"),
        script=_asset("gallery.js"),
    )  # fmt: skip
    write_text(paths.page, text)


def about(run: Run, name: str) -> dict[str, Any]:
    """Return what the page knows of an experiment before its frames are there; model: the sha256 of the networks."""
    paths = run.paths(name)
    model = sha256(require(paths.stylex_model))
    names = read_names(paths.names, model)
    return {
        "name": name,
        "title": run.experiments[name].title,
        "model": model,
        "names": {index: {"name": each.text, "favourite": each.favourite} for index, each in names.items()},
        "summary": headline(run, name),
    }


def _asset(name: str) -> Markup:
    return Markup(resources.files("stylex.gallery").joinpath("templates", name).read_text(encoding="utf-8"))


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("stylex.gallery"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
