"""One browser's page: its image, the positions of its sliders, its search. `view` shows them."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from nicegui import Client
from nicegui.events import GenericEventArguments

from stylex.api import Reconstructed
from stylex.app import limits
from stylex.app.elements import rounded
from stylex.app.model import Found, Model, decision
from stylex.app.view import METHODS, View
from stylex.app.work import Lane, StoppedError
from stylex.errors import StylexError

TICK = 0.2  # seconds between two looks at how far a search is
LONGEST = 300  # characters of a line that a browser says


class Lanes(NamedTuple):
    """The threads that compute for all pages."""

    pictures: Lane
    frames: Lane
    searches: Lane

    @classmethod
    def start(cls) -> Self:
        """Start them."""
        return cls(
            Lane("images", limits.PICTURES_WAITING),
            Lane("pages", limits.FRAMES_WAITING),
            Lane("searches", limits.SEARCHES_WAITING),
        )

    def close(self) -> None:
        """Begin nothing more."""
        for lane in self:
            lane.close()


class Page:
    """The state of a page."""

    def __init__(self, model: Model, lanes: Lanes, client: Client) -> None:
        """Build it in `client`, whose context this is."""
        self.model, self.lanes, self.client, self.id = model, lanes, client, client.id
        self.name = ""  # of the image
        self.seen: Reconstructed | None = None
        self.found: Found | None = None
        self.positions = [0.0] * len(model.attributes)
        self.reading = self.following = self.again = self.searching = False
        self.searches, self.progress = 0, 0.0
        self.closed = threading.Event()
        self.view = View(model, self.id, self)

    def close(self) -> None:
        """End what still computes for this page."""
        self.closed.set()

    def say(self, event: GenericEventArguments) -> None:
        """Show what became of a file."""
        self.view.status.set_text(" ".join(str(event.args).split())[:LONGEST])

    async def example(self, number: int) -> None:
        """Take an example."""
        if self.reading:
            return
        self.reading = True
        try:
            await self.take(self.model.examples[number].file, f"example {number + 1}")
        except StylexError as error:
            self.view.status.set_text(str(error))
        finally:
            self.reading = False

    async def take(self, file: Path, name: str) -> str:
        """Read an image, show it, and return what the classifier says; raise `StylexError` when it cannot be read."""
        seen = await self.lanes.pictures.run(partial(self.model.look_at, file, name))
        self.seen, self.name, self.found = seen, name, None
        self.positions = [0.0] * len(self.positions)
        said = decision(seen.probabilities)
        answer = f"{name}: the classifier says {said}, probability {rounded(seen.probabilities[said])}."
        if not self.closed.is_set():
            with self.client:
                self.view.status.set_text(answer)
                self.view.show_image(seen)
        return answer

    def slide(self, place: int, event: GenericEventArguments) -> Any:
        """Follow a slider; what is no number is ignored, what is too far is the end."""
        try:
            position = float(event.args)
        except (TypeError, ValueError):
            return None
        if self.seen is None or not math.isfinite(position):
            return None
        shift = self.model.explainer.shift
        self.positions[place] = max(-shift, min(shift, position))
        self.view.outputs[place].set_text(f"{self.positions[place]:+.2f}")
        return self._follow()

    def reset(self) -> Any:
        """Put all sliders back."""
        self.positions = [0.0] * len(self.positions)
        self.view.show_zero()
        return self._follow()

    async def _follow(self) -> None:
        """Show the positions until they rest: one frame at a time, and the last position always."""
        self.again = True
        if self.following:
            return
        self.following = True
        try:
            while self.again and (seen := self.seen) and not self.closed.is_set():
                self.again = False
                frame = await self.lanes.frames.run(partial(self.model.frame, seen, tuple(self.positions)))
                if seen is self.seen and not self.closed.is_set():
                    self.view.show_frame(frame)
        except StylexError as error:
            self.view.status.set_text(str(error))
        finally:
            self.following = False

    async def search(self, event: GenericEventArguments) -> None:
        """Search, show how far it is, and show what was found, unless there is another image by then."""
        chosen = event.args if isinstance(event.args, list) else []
        seen, names = self.seen, self.model.explainer.class_names
        if self.searching or seen is None or len(chosen) != 2 or chosen[0] not in METHODS or chosen[1] not in names:
            return
        self.searching, self.found, self.progress = True, None, 0.0
        self.view.show_searching(True)
        job = partial(self.model.search, seen, self.name, *chosen, self._progress_of(seen))
        told = ""
        try:
            found = await self._watched(asyncio.ensure_future(self.lanes.searches.run(job)))
            if seen is self.seen and not self.closed.is_set():
                self.found, self.searches = found, self.searches + 1
                self.view.show_found(found, self.searches)
                told = found.summary
        except StoppedError:
            pass
        except StylexError as error:
            told = str(error)
        finally:
            self.searching = False
        if not self.closed.is_set():
            self.view.show_searching(False)
            self.view.told.set_text(told)

    def _progress_of(self, seen: Reconstructed) -> Callable[[float], None]:
        def progress(part: float) -> None:
            if self.closed.is_set() or seen is not self.seen:
                raise StoppedError("there is another image, or no page any more")
            self.progress = part

        return progress

    async def _watched(self, searching: asyncio.Future[Found]) -> Found:
        while not (await asyncio.wait([searching], timeout=TICK))[0]:
            if not self.closed.is_set():
                self.view.bar.props["value"] = round(self.progress, 3)
        return searching.result()
