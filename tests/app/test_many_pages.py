"""Many pages at once, spoken to as a browser speaks: all slide and search, in the memory that the server may have."""

import html
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stylex.app import limits
from tests.app.conftest import DIGIT, MEMORY, App, running

COUNT, POSITIONS = 30, 40
HANDSHAKE = "EIO=4&transport=websocket&next_message_id=0&implicit_handshake=true&old_tab_id="


class Tab:
    """A page with its websocket, and what came through it."""

    def __init__(self, app: App, number: int) -> None:
        text = httpx.get(app.root, timeout=60).text
        (self.identity,) = re.findall(r"'client_id': '([\w-]+)'", text)
        (raw,) = re.findall(r"parseElements\(String\.raw`(.*?)`\)", text, re.DOTALL)
        elements = json.loads(html.unescape(raw.replace("&#36;", "$").replace("&#96;", "`")))
        self.elements = {
            each["props"]["id"]: (int(key), each["events"][0]["listener_id"])
            for key, each in elements.items()
            if each.get("events") and "id" in each.get("props", {})
        }
        query = f"{HANDSHAKE}&client_id={self.identity}&tab_id={number}&document_id={number}"
        self.socket: ClientConnection = connect(
            f"{app.root.replace('http', 'ws')}/_nicegui_ws/socket.io/?{query}", legacy=True, origin=app.root
        )
        self.socket.recv()
        self.socket.send("40")  # socket.io's greeting
        self.heard: list[str] = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        try:
            for message in self.socket:
                if message == "2":
                    self.socket.send("3")  # it is still there
                self.heard.append(str(message))
        except ConnectionClosed:
            pass

    def use(self, element: str, value: object) -> None:
        key, listener = self.elements[element]
        event = {"id": key, "client_id": self.identity, "listener_id": listener, "args": [json.dumps(value)]}
        self.socket.send("42" + json.dumps(["event", event]))

    def has_heard(self, pattern: str) -> bool:
        return any(re.search(pattern, message) for message in self.heard)


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_many_pages_move_and_search_at_once(tmp_path: Path):
    with running(tmp_path / "many") as app, ExitStack() as stack:
        tabs = [Tab(app, number) for number in range(COUNT)]
        for tab in tabs:
            stack.enter_context(closing(tab.socket))
            assert app.upload(DIGIT.read_bytes(), page=tab.identity).status_code == 200
        for step in range(1, POSITIONS + 1):
            for tab in tabs:
                tab.use("slider-0", str(step / POSITIONS))
            time.sleep(0.02)
        for tab in tabs:  # the last position: the digit is the other class
            wait(lambda tab=tab: tab.has_heard(r"\+1\.00") and tab.has_heard("Moved: 5, probability >0.99"))
        for tab in tabs:
            tab.use("run", ["subset", "5"])
        busy = f"{limits.SEARCHES_WAITING} searches wait already; try again in a minute"
        found = "digit.png: 3 to 5, subset: the decision flips"
        for tab in tabs:
            wait(lambda tab=tab: tab.has_heard(busy) or tab.has_heard(found))
        assert sum(tab.has_heard(found) for tab in tabs) > limits.SEARCHES_WAITING
        assert sum(tab.has_heard(busy) for tab in tabs) > 0
        assert app.memory() < MEMORY and not app.errors


def test_a_page_that_goes_takes_its_search_along(app: App):
    tab = Tab(app, 0)
    assert app.upload(DIGIT.read_bytes(), page=tab.identity).status_code == 200
    tab.use("run", ["independent", "5"])
    tab.socket.close()
    wait(lambda: app.upload(b"", page=tab.identity).status_code == 404)
    assert app.upload(DIGIT.read_bytes()).status_code == 200 and not app.errors


@pytest.mark.parametrize("value", [None, [], ["subset"], ["subset", "9"], ["other", "5"], {"a": 1}, "x" * 60000])
def test_searches_that_no_page_asks_for_do_no_harm(app: App, value: object):
    tab = Tab(app, 0)
    app.upload(DIGIT.read_bytes(), page=tab.identity)
    tab.use("run", value)
    tab.use("slider-0", value)
    tab.use("run", ["subset", "5"])
    wait(lambda: tab.has_heard("the decision flips"))
    tab.socket.close()
    assert not app.errors
