"""A project with small networks that nobody trained, a loopback file server, and a Chromium that is driven by pipe."""

import functools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.classifiers.networks import build_network
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import build_networks, save_stylex
from stylex.study.questionnaire import build

REPOSITORY = Path(__file__).parents[2]
NAME = "mnist"
IMAGES = 24


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a questionnaire of three attributes; no classifier is there. Tests must not change it."""
    root = tmp_path_factory.mktemp("asked")
    shutil.copytree(REPOSITORY / "config", root / "config")
    with (root / "config" / "experiments" / f"{NAME}.yaml").open("a") as file:
        file.write("study: {attributes: 3, observer_draws: 5}\n")
    write_experiment(root)
    build(root, NAME, "cpu")
    return root


@pytest.fixture
def own(tmp_path: Path, asked: Path) -> Path:
    """A copy of that project, for tests that change it."""
    shutil.copytree(asked, tmp_path / "own")
    return tmp_path / "own"


@torch.no_grad()
def write_experiment(root: Path) -> None:
    paths, config = ExperimentPaths(root, NAME), load_experiment(root, NAME)
    names = tuple(config.dataset.classes or ())
    torch.manual_seed(0)
    backbone = NetworkDescription(
        role="backbone", name="random", architecture="resnet18", width=0.125, channels=1, resolution=32,
        class_names=tuple("0123456789"),
    )  # fmt: skip
    path = backbone_paths(root, config.stylex.perceptual_backbone).model
    save_network(path, build_network("resnet18", 1, 10, 0.125), backbone, {})
    networks = build_networks(config.stylex, 32, 1, len(names), seed=0)
    save_stylex(paths.stylex_model, networks, {})
    logits = torch.stack([torch.arange(IMAGES) % 2 * 4.0 - 2, torch.zeros(IMAGES)], 1)
    w = torch.randn(IMAGES, config.stylex.networks.latent_dim)
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    zeros = torch.zeros(IMAGES)
    latents = Latents(
        ids=[f"image {row:02d}" for row in range(IMAGES)], labels=logits.argmax(1), logits=logits, w=w,
        styles=styles.space, to_rgb_styles=styles.to_rgb, reconstruction_l1=zeros, reconstruction_perceptual=zeros,
        reconstruction_logits=logits, discriminator=zeros, class_names=names, provenance={},
    )  # fmt: skip
    write_latents(paths.latents, latents)
    layout = networks.synthesis.layout
    found = [
        Attribute(names[rank % 2], rank, 9 * rank, *layout.locate(9 * rank), Direction(rank % 2), 1 / rank, 3)
        for rank in (1, 2, 3, 4)
    ]
    write_attributes(paths.attributes, found, {})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder and the address under which loopback HTTP serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " "), "ArrowDown": (40, "")}


class Browser:
    """One tab of a headless Chromium, driven over the DevTools pipe as a person would: keys, text, reload."""

    def __init__(self, profile: Path, downloads: Path) -> None:
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--remote-debugging-pipe", "--window-size=1000,1400",
        ]  # fmt: skip
        shell = ["bash", "-c", f'exec "$@" 3<&{command_read} 4>&{answer_write}', "bash", *command]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(shell, pass_fds=(command_read, answer_write), start_new_session=True, **quiet)
        os.close(command_read)
        os.close(answer_write)
        self.commands, self.replies = os.fdopen(command_write, "wb", 0), os.fdopen(answer_read, "rb")
        self.count, self.session, self.errors = 0, "", []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        while (reply := self.receive()).get("id") != self.count:
            if reply.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(reply["params"])
        assert "error" not in reply, reply
        return reply["result"]

    def receive(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self.replies.read(1)) != b"\0":
            assert byte, "Chromium ended"
            content += byte
        return json.loads(content)

    def evaluate(self, expression: str) -> Any:
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && typeof state !== 'undefined'")

    def reload(self) -> None:
        self.evaluate("window.old = true")
        self.send("Page.reload")
        self.wait("window.old === undefined && document.readyState === 'complete' && typeof state !== 'undefined'")

    def wait(self, condition: str) -> None:
        for _ in range(200):
            if self.evaluate(condition):
                return
            time.sleep(0.05)
        raise AssertionError(f"not within 10 s: {condition}")

    def press(self, *names: str) -> None:
        for name in names:
            code, text = KEYS[name]
            key = {"key": " " if name == "Space" else name, "code": name, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **key)
            self.send("Input.dispatchKeyEvent", type="keyUp", **key)

    def close(self) -> None:
        self.commands.write(json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self.commands.close()
            self.replies.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not on PATH (apt-get install chromium)")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    driven = Browser(tmp_path / "profile", downloads)
    yield driven
    driven.close()
