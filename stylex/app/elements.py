"""Elements of HTML as NiceGUI's, and what stands in them."""

from __future__ import annotations

import base64
import io
from typing import Any, TypeVar

from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from PIL import Image

Any_ = TypeVar("Any_", bound=Element)


def box(name: str, classes: str = "", **attributes: Any) -> Element:
    """Add an element, into which others may go; attributes: its own, with _ for -."""
    return _with(Element(name), classes, attributes)


def text(name: str, content: str, classes: str = "", **attributes: Any) -> TextElement:
    """Add an element that holds a text."""
    return _with(TextElement(tag=name, text=content), classes, attributes)


def _with(element: Any_, classes: str, attributes: dict[str, Any]) -> Any_:
    element.classes(classes)
    for key, value in attributes.items():
        element.props[key.replace("_", "-")] = value
    return element


class Bar:
    """A probability, as a bar and a number."""

    def __init__(self, chance: float) -> None:
        with box("td"):
            self._bar, self._number = box("span", "bar"), text("span", "", "number")
        self.set(chance)

    def set(self, chance: float) -> None:
        """Show another one, in [0, 1]."""
        self._bar.style(f"width:{100 * chance:.1f}%")
        self._number.set_text(rounded(chance))


def rounded(chance: float) -> str:
    """Return a probability with two digits; what is nearly certain is not called certain."""
    return ">0.99" if 0.995 <= chance < 1 else "<0.01" if 0 < chance < 0.005 else f"{chance:.2f}"


def data_url(image: Image.Image) -> str:
    """Return an image as an address that holds it."""
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
