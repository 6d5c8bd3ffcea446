"""A Chromium that tests drive as a person would, and what they ask of a page in it."""

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

BOX = """(() => {
  const box = document.querySelector(%s).getBoundingClientRect();
  return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height};
})()"""


class Browser:
    """One Chromium, spoken to over a pipe (the Chrome DevTools Protocol: JSON messages, each ended by a zero byte)."""

    def __init__(self, profile: Path) -> None:
        to_browser, write = os.pipe()
        read, from_browser = os.pipe()
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--remote-debugging-pipe",
        ]  # fmt: skip
        quoted = 'exec "$@" 3<&%d 4>&%d' % (to_browser, from_browser)  # noqa: UP031, the pipe's fixed descriptors
        self.process = subprocess.Popen(
            ["bash", "-c", quoted, "bash", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.write, self.read = os.fdopen(write, "wb", buffering=0), os.fdopen(read, "rb")
        self.count, self.buffer, self.session, self.events = 0, b"", "", []

    def __enter__(self) -> "Browser":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.write.close()
        self.read.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; what happens meanwhile is kept in `events`."""
        self.count += 1
        session = {"sessionId": self.session} if self.session else {}
        message = {"id": self.count, "method": method, "params": params} | session
        self.write.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            part = self.read.read1(1 << 20)
            assert part, "the browser has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        answer = json.loads(message)
        self.events.append(answer)
        return answer

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Open a file or an address and wait for it and all its pictures, those that would be fetched later, too."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url="about:blank")  # forgets the focus and the place of the page before
        self.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.evaluate("""new Promise(
            done => document.readyState === "complete" ? done() : addEventListener("load", done)
          ).then(() => Promise.all([...document.images].map(image => {
            image.loading = "eager";
            return image.decode();
          }))).then(() => true)""")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, a promise's when it is one."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        text = {"Enter": "\r"}.get(key, "")
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def wait(self, condition: str, seconds: float = 10) -> None:
        """Wait until a JavaScript expression is true; fail when it does not become so."""
        until = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < until, f"not within {seconds:g} s: {condition}"
            time.sleep(0.05)

    def screenshot(self, selector: str | None = None) -> Image.Image:
        """Return what is seen of the page, or of one element, as RGB."""
        clip = {}
        if selector is not None:
            box = self.evaluate(BOX % json.dumps(selector))
            clip = {"clip": box | {"scale": 1}, "captureBeyondViewport": True}
        taken = self.call("Page.captureScreenshot", **clip)["data"]
        return Image.open(io.BytesIO(base64.b64decode(taken))).convert("RGB")

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Cut the network off, and keep what the pages ask for: `asked`."""
        self.call("Network.enable")
        cut = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", **cut)
        yield
        self.call("Network.disable")

    def asked(self) -> list[str]:
        """The addresses that the page has asked for since it was opened, `offline`."""
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in asked]

    def complaints(self) -> list[dict[str, Any]]:
        """Errors and warnings on the console, and exceptions, since the page was opened."""
        methods = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [event for event in self.events if event.get("method") in methods]


def downloaded(file: Path) -> Path:
    """Return a file that the browser is downloading, once it is whole."""
    until = time.monotonic() + 10
    while not file.is_file():
        assert time.monotonic() < until, f"{file} was not downloaded"
        time.sleep(0.05)
    return file


# Texts whose contrast with their background is below 4.5 : 1 (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const rgba = colour => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const known = new Map();
  const cached = colour => known.get(colour) ?? known.set(colour, rgba(colour)).get(colour);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = cached(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const bad = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, .skip, .unseen")) continue;
    const [a, b] = [luminance(cached(getComputedStyle(element).color)), luminance(background(element))];
    if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) bad.add(element.tagName + "." + element.className);
  }
  return [...bad];
})()"""
