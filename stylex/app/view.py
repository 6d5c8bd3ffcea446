"""What a page shows.

Controls are those of the browser itself: they need no mouse, and tell a screen reader what they are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Protocol

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments
from PIL import Image

from stylex.api import Reconstructed
from stylex.app import limits
from stylex.app.elements import Bar, box, data_url, rounded, text
from stylex.app.model import Found, Frame, Model, decision, pictures_of
from stylex.app.pictures import NAMES

STEPS = 100  # of a slider, from its middle to an end
THROTTLE = 0.04  # seconds between two positions that a browser sends; the last one is always sent
METHODS = {"subset": "subset: one after the other, until the decision flips", "independent": "independent: each alone"}
NAMED = 10  # classes
PICTURES = ("image", "reconstruction", "moved")
CHOSEN = "() => emit(['method', 'target'].map((id) => document.getElementById(id).value))"
BLANK = data_url(Image.new("L", (1, 1)))
HERE = Path(__file__).parent


class Events(Protocol):
    """What happens when something on the page is used."""

    def say(self, event: GenericEventArguments) -> None:
        """Show what became of a file, which `event.args` says in a line."""

    def example(self, number: int) -> Any:
        """Take an example, 0 is the first."""

    def slide(self, place: int, event: GenericEventArguments) -> Any:
        """Follow a slider, 0 is the first, to `event.args`."""

    def reset(self) -> Any:
        """Put all sliders back."""

    def search(self, event: GenericEventArguments) -> Any:
        """Search: `event.args` are method and target class."""


class View:
    """The elements of a page."""

    def __init__(self, model: Model, identity: str, events: Events) -> None:
        """Build them in the context of a client; identity: the page's, in addresses."""
        self.model, self.identity, self.events = model, identity, events
        self.moved: dict[str, Bar] = {}  # by class
        self.outputs: list[TextElement] = []
        self.images: dict[str, Element] = {}
        ui.add_head_html(f"<style>{(HERE / 'page.css').read_text()}</style>")
        ui.add_body_html(f"<script>{(HERE / 'page.js').read_text()}</script>")
        with box("div", "app"):
            self._heading()
            self._choice()
            self.parts = box("div", "parts")
            with self.parts:
                with box("div", "seen"):
                    self._pictures()
                with box("div"):
                    self._sliders()
                    self._search()
        self.parts.set_visibility(False)

    def _heading(self) -> None:
        classes = self.model.explainer.class_names
        names = ", ".join(classes[:NAMED]) + f" and {len(classes) - NAMED} more" * (len(classes) > NAMED)
        text("h1", self.model.title)
        text(
            "p",
            f"What does this classifier look at? It tells apart: {names}. Give it an image; each slider then changes"
            " one style coordinate of the image's reconstruction.",
            "lead",
        )

    def _choice(self) -> None:
        with box("section", aria_labelledby="choice"):
            text("h2", "Image", id="choice")
            with box("label", "drop", id="drop"):
                text("span", "Drop an image here, or choose a file")
                box("input", type="file", id="file", accept="image/*", data_most=limits.UPLOAD_BYTES)
                most = f"{limits.UPLOAD_BYTES / 1e6:g} MB and {limits.UPLOAD_PIXELS / 1e6:g} megapixels"
                text("small", f"{NAMES}; at most {most}. The central square is used.")
            if self.model.examples:
                with box("div", "examples", role="group", aria_label="Examples"):
                    text("span", "Or an example:")
                    for number, example in enumerate(self.model.examples):
                        label = f"example {number + 1}, labelled {example.label}"
                        button = box("button", type="button", aria_label=label, title=label)
                        button.on("click", partial(self.events.example, number), args=[])
                        with button:
                            box("img", src=f"/example/{number}", alt="")
            self.status = text("p", "", "status", role="status", id="status")
            self.status.on("said", self.events.say, js_handler="(event) => emit(event.detail)")

    def _pictures(self) -> None:
        with box("section", aria_labelledby="pictures"):
            text("h2", "Reconstruction", id="pictures")
            with box("div", "stage"):
                with box("div", "trio"):
                    for name in PICTURES:
                        with box("figure"):
                            self.images[name] = box("img", id=f"picture-{name}", alt=name, src=BLANK)
                            text("figcaption", name)
                self.answer = text("p", "", "status", role="status", id="answer")
            self.error = text("p", "", "soft", id="error")
            self.doubts = box("div", id="doubts", role="alert")
            self.table = box("table", "chances")

    def _sliders(self) -> None:
        shift = self.model.explainer.shift
        with box("section", aria_labelledby="attributes"):
            text("h2", "Attributes", id="attributes")
            if not self.model.attributes:
                text("p", f"There are none: {self.model.missing}.")
                return
            text(
                "p",
                "To the right, the class that is named should rise; to the left, fall. 0 leaves a coordinate as it is,"
                " 1 and −1 are its extremes over the searched images."
                f" The ends are {shift:g} and −{shift:g}, as far as the search moves a coordinate.",
                "soft",
            )
            for place, attribute in enumerate(self.model.attributes):
                with box("label", "slider"):
                    text("span", attribute.label, "name")
                    text("span", attribute.place, "soft")
                    self.outputs.append(text("span", "", "value", aria_hidden="true"))
                    # Without a `value`, which would be set again with every frame; the middle is what it begins with.
                    slider = box(
                        "input", type="range", min=-shift, max=shift, step=shift / STEPS, autocomplete="off",
                        id=f"slider-{place}",
                    )  # fmt: skip
                    slider.on(
                        "input", partial(self.events.slide, place), throttle=THROTTLE,
                        js_handler="(event) => emit(event.target.value)",
                    )  # fmt: skip
            text("button", "Reset all", "button", type="button", id="reset").on("click", self.events.reset, args=[])

    def _search(self) -> None:
        with box("section", aria_labelledby="search"):
            text("h2", "Search for this image", id="search")
            text("p", "Which coordinates, of all, turn the decision on this very image?", "soft")
            with box("div", "form"):
                with box("label"):
                    text("span", "Method")
                    with box("select", id="method"):
                        for value, label in METHODS.items():
                            text("option", label, value=value)
                with box("label"):
                    text("span", "Into class")
                    self.target = box("select", id="target")
                self.run = text("button", "Search", "button", type="button", id="run")
                self.run.on("click", self.events.search, js_handler=CHOSEN)
            self.bar = box("progress", max=1, value=0, aria_label="Progress of the search", id="progress")
            self.bar.set_visibility(False)
            self.told = text("p", "", "status", role="status", id="told")
            self.result = box("div", id="result")

    def show_image(self, seen: Reconstructed) -> None:
        """Show an image and its reconstruction, with nothing moved and nothing found."""
        image, reconstruction = map(data_url, pictures_of(seen))
        for name, source in zip(PICTURES, (image, reconstruction, reconstruction), strict=True):
            self.images[name].props["src"] = source
        self.error.set_text(f"Error of the reconstruction: {seen.l1:.3f} (mean difference of pixels in [−1, 1]).")
        self.doubts.clear()
        with self.doubts:
            for sentence in self.model.doubts(seen):
                text("p", sentence, "doubt")
        self._show_chances(seen)
        self.show_answer(seen.reconstruction_probabilities)
        self.show_zero()
        self.show_targets(seen.reconstruction_probabilities)
        self.result.clear()
        self.told.set_text("")
        self.parts.set_visibility(True)

    def _show_chances(self, seen: Reconstructed) -> None:
        again = seen.reconstruction_probabilities
        self.moved.clear()
        self.table.clear()
        with self.table:
            text("caption", "Probability of each class")
            with box("thead"), box("tr"):
                for title in ("class", *PICTURES):
                    text("th", title, scope="col")
            with box("tbody"):
                for name in self.model.shown_classes(seen):
                    with box("tr"):
                        text("th", name, scope="row")
                        for chances in (seen.probabilities, again):
                            Bar(chances[name])
                        self.moved[name] = Bar(again[name])

    def show_targets(self, chances: dict[str, float]) -> None:
        """Offer all classes but the one that decides, the most probable first."""
        self.target.clear()
        with self.target:
            for name in sorted(chances, key=lambda name: -chances[name])[1:]:
                text("option", name, value=name)

    def show_answer(self, chances: dict[str, float]) -> None:
        """Say what the classifier makes of the moved reconstruction; a screen reader says it, too."""
        said = decision(chances)
        self.answer.set_text(f"Moved: {said}, probability {rounded(chances[said])}")

    def show_zero(self) -> None:
        """Put all sliders back."""
        for output in self.outputs:
            output.set_text("0.00")
        ui.run_javascript("zero()")

    def show_frame(self, frame: Frame) -> None:
        """Show the moved reconstruction and its probabilities."""
        self.images["moved"].props["src"] = data_url(frame.image)
        for name, bar in self.moved.items():
            bar.set(frame.probabilities[name])
        self.show_answer(frame.probabilities)

    def show_searching(self, searching: bool) -> None:
        """Show a bar while a search runs or waits."""
        self.bar.props["value"] = 0
        self.bar.set_visibility(searching)
        if searching:
            self.run.props["disabled"] = True
            self.result.clear()
            self.told.set_text("Searching …")
        else:
            self.run.props.pop("disabled", None)

    def show_found(self, found: Found, number: int) -> None:
        """Show what a search has found; number: the page's searches so far."""
        self.told.set_text(found.summary)
        address, chance = f"/result/{self.identity}", f"P({found.target})"
        with self.result:
            box("img", src=f"{address}/png?{number}", alt=f"Figure of the steps. {found.summary}", id="figure")
            with box("p", "downloads"):
                text("a", "Figure (PNG)", href=f"{address}/png", download=f"{found.name}.png", id="png")
                text("a", "Numbers (JSON)", href=f"{address}/json", download=f"{found.name}.json", id="json")
            with box("div", "wide"), box("table", "steps"):
                with box("thead"), box("tr"):
                    for title in ("step", "layer", "channel", "direction", f"{chance} before", "after"):
                        text("th", title, scope="col")
                with box("tbody"):
                    for row in found.rows:
                        with box("tr"):
                            for value in row:
                                text("td", value)
