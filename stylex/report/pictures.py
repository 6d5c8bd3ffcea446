"""The pictures of the page: files beside it, which a browser fetches when they come into view, or embedded in it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

from stylex.artifacts import REMAKE, require
from stylex.config import SuitePaths
from stylex.errors import ArtifactError
from stylex.report.attributes import Attributes
from stylex.report.captions import ORIGINS, caption
from stylex.report.links import Links
from stylex.report.run import anchor


@dataclass(frozen=True)
class Image:
    """An image as an `img` has it; its size, in pixels, so that nothing jumps when it arrives."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """A figure of the page; `links`: to its files and to where its numbers come from."""

    key: str  # its id on the page
    name: str
    image: Image
    alternative: str  # for those who do not see it
    caption: str
    links: list[tuple[str, str]]
    animation: Image | None = None  # the same, moving: a reader starts it


@dataclass(frozen=True)
class Album:
    """The figures of a suite, as the page refers to them; embedded: whether it holds them itself."""

    paths: SuitePaths
    embedded: bool = False

    def image(self, path: Path) -> Image:
        """Return a figure's file as an image; raise `ArtifactError` when it is missing or damaged."""
        try:
            with PIL.Image.open(require(path)) as opened:
                width, height = opened.size
        except PIL.UnidentifiedImageError:
            raise ArtifactError(f"{path} is damaged (no image); {REMAKE}") from None
        if not self.embedded:
            return Image(self.link(path), width, height)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        return Image(f"data:image/{path.suffix[1:]};base64,{content}", width, height)

    def link(self, path: Path) -> str:
        """Return where a file of the suite is, seen from the page."""
        return path.relative_to(self.paths.folder).as_posix()

    def picture(self, experiment: str, name: str, attributes: Attributes, numbers: Links) -> Picture:
        """Return a figure of an experiment, with a caption that says what was measured of the attributes it shows."""
        still, moving = (self.paths.figure(experiment, name, suffix) for suffix in ("png", "gif"))
        files = [self.paths.figure(experiment, name, suffix) for suffix in ("pdf", "png", "gif")]
        links = [(path.suffix[1:].upper(), self.link(path)) for path in files if path.is_file()]
        origin = anchor(experiment, ORIGINS[name]) if name in ORIGINS else f"provenance:{experiment}"
        if csv := numbers.csv(origin):
            links.append(("CSV", csv))
        if attributes.shown(name):  # whose numbers the caption has
            links.append(("Numbers", numbers.number(experiment, "maps")))
        alternative, shown = caption(name, attributes.config)
        return Picture(
            key=f"figure-{experiment}-{name}",
            name=name,
            image=self.image(still),
            alternative=alternative,
            caption=" ".join(filter(None, (shown, attributes.words(name)))),
            links=[*links, ("Provenance", f"#{origin}")],
            animation=self.image(moving) if moving.is_file() else None,
        )
