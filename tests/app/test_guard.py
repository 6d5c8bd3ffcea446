"""Who is let in: the real server, asked as browsers, programs and pages of other sites would."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from stylex.app.guard import Address, is_loopback
from tests.app.conftest import DIGIT, MODEL, REPOSITORY, App, free_port, running

TOKEN = "a-token-of-32-letters-and-digits"
SOCKET = "_nicegui_ws/socket.io/?EIO=4&transport=websocket"
NEEDED = "a token is needed: open the address that `stylex app` printed\n"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A server that other machines reach; here it is asked by the address of loopback."""
    with running(tmp_path_factory.mktemp("public"), "--host", "0.0.0.0") as started:
        yield started


def root_of(app: App) -> str:
    return f"http://127.0.0.1:{urlsplit(app.url).port}"


def token_of(app: App) -> str:
    (token,) = re.findall(r"\?token=([\w-]{40,})$", app.url)
    return token


def refused(url: str, **headers: str) -> tuple[int, str]:
    """Open a websocket that is not let in; return the answer."""
    with pytest.raises(InvalidStatus) as caught, connect(url.replace("http", "ws", 1), additional_headers=headers):
        pass
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("GET", "example/0"), ("GET", "result/x/png"), ("GET", "favicon.ico"),
        ("GET", "_nicegui/3.18.0/static/nicegui.js"), ("GET", SOCKET), ("POST", "upload/x"), ("HEAD", ""),
        ("DELETE", ""), ("GET", f"?token={TOKEN}"), ("GET", "?token="), ("GET", "?token=%00"), ("GET", "nothing"),
    ],
)  # fmt: skip
def test_without_the_token_everything_is_refused_in_a_line(public: App, method: str, path: str):
    answer = httpx.request(method, f"{root_of(public)}/{path}")
    assert answer.status_code == 401 and answer.text == NEEDED * (method != "HEAD")
    assert "set-cookie" not in answer.headers


def test_without_the_token_no_websocket_opens(public: App):
    root = root_of(public)
    assert refused(f"{root}/{SOCKET}") == (401, NEEDED)
    assert refused(f"{root}/{SOCKET}&token={TOKEN}") == (401, NEEDED)
    cookie = Address("", urlsplit(public.url).port or 0).cookie
    assert refused(f"{root}/{SOCKET}", Cookie=f"{cookie}={TOKEN}") == (401, NEEDED)


def test_the_token_lets_in_once_and_its_cookie_afterwards(public: App):
    root, token = root_of(public), token_of(public)
    with httpx.Client(base_url=root) as browser:
        first = browser.get(f"/?token={token}")
        assert first.status_code == 200 and 'content="0;url=/"' in first.text and token not in first.text
        assert first.headers["referrer-policy"] == "same-origin" and first.headers["cache-control"] == "no-store"
        cookie = first.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        page = browser.get("/")
        assert "MNIST, 3 against 5" in page.text and token not in page.text
        identity = re.findall(r"'client_id': '([\w-]+)'", page.text)[0]
        answer = browser.post(f"/upload/{identity}", content=DIGIT.read_bytes(), headers={"x-name": "digit.png"})
        assert answer.text.startswith("digit.png: the classifier says 3")
    with connect(f"{root}/{SOCKET}".replace("http", "ws"), additional_headers={"Cookie": cookie}) as opened:
        assert json.loads(str(opened.recv())[1:])["maxPayload"] > 0


def test_a_token_of_ones_own_and_one_on_loopback(tmp_path: Path):
    with running(tmp_path / "own", "--token", TOKEN) as app:
        assert app.url.endswith(f"/?token={TOKEN}")
        assert httpx.get(app.root).status_code == 401
        assert httpx.get(app.url).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:80"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "[::1"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),
        ({"origin": "http://evil.example"}, 200),  # a GET, whose answer a browser keeps from the other site
    ],
)
def test_names_and_sites_that_are_let_in_on_loopback(app: App, headers: dict[str, str], status: int):
    answer = httpx.get(app.root, headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.text.count("\n") == 1
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_pages_of_other_sites_neither_send_nor_connect(app: App, origin: str):
    answer = httpx.post(f"{app.root}/upload/{app.page()}", content=DIGIT.read_bytes(), headers={"origin": origin})
    assert (answer.status_code, answer.text) == (403, "pages of other sites may not use this server\n")
    assert refused(f"{app.root}/{SOCKET}", Origin=origin)[0] == 403


def test_names_of_others_open_no_websocket(app: App):
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    key, names = {"sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg=="}, {"host": "evil.example"}
    answer = httpx.get(f"{app.root}/{SOCKET}", headers=upgrade | key | names | {"origin": "http://evil.example"})
    assert answer.status_code == 421 and answer.text.startswith("this server is not 'evil.example'; open http://")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "docs"), ("GET", "openapi.json"), ("GET", "..%2f..%2fetc/passwd"), ("GET", SOCKET), ("POST", SOCKET),
        ("POST", ""), ("PUT", "upload/x"), ("OPTIONS", ""), ("GET", "upload/x"),
    ],
)  # fmt: skip
def test_nothing_else_is_there(app: App, method: str, path: str):
    answer = httpx.request(method, f"{app.root}/{path}")
    assert answer.status_code == 404 and answer.text.startswith("nothing is at ")


def test_refusals_leave_no_trace(app: App, public: App):
    assert refused(f"{app.root}/{SOCKET}", Origin="null")[0] == 403
    assert refused(f"{root_of(public)}/{SOCKET}")[0] == 401
    assert not app.errors and not public.errors


def test_a_browser_is_told_to_load_nothing_from_elsewhere(app: App):
    headers = httpx.get(app.root).headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "http" not in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.2", False), ("example.org", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, loopback: bool):
    assert is_loopback(host) == loopback


def ended(*arguments: str, folder: Path = REPOSITORY, script: str = "pass") -> str:
    """Run `stylex app`, which ends with a mistake; return the line."""
    code = f"import sys; {script}; from stylex.cli import main; sys.exit(main(['app', *sys.argv[1:]]))"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert result.returncode == 2 and not result.stdout and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_busy_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        line = ended(str(MODEL), "--port", port)
    assert line == f"error: --port {port}: something listens there already; name another one\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((str(MODEL), "--host", "203.0.113.9"), "--host 203.0.113.9: "),
        ((str(MODEL), "--host", "no.such.invalid"), "--host no.such.invalid: "),
        ((str(MODEL), "--token", "short"), "--token: give 16 to 128 letters"),
        (("mnits",), "unknown experiment 'mnits'"),
        ((f"{REPOSITORY}/docs",), "is no export"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], line: str):
    assert line in ended(*arguments, "--port", str(free_port()))


def test_without_the_extra_it_says_what_to_install():
    line = ended(str(MODEL), script="sys.modules['nicegui'] = None")
    assert line == "error: stylex app needs NiceGUI: pip install 'stylex[app]'\n"


def test_without_an_argument_it_takes_the_only_one_or_names_them(tmp_path: Path):
    names = "models/fashion-mnist, models/mnist"
    assert ended() == f"error: name one of {names}, as `stylex app models/fashion-mnist`\n"
    assert "name an exported folder or a trained experiment" in ended(folder=tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/only").symlink_to(MODEL)
    assert "--host 203.0.113.9" in ended("--host", "203.0.113.9", folder=tmp_path)  # it got as far


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_and_leaves_nothing(tmp_path: Path, number: signal.Signals):
    with running(tmp_path / "ending") as app:
        assert list(app.temporary.iterdir())
        app.process.send_signal(number)
        assert app.process.wait(timeout=30) == 0
    assert not list(app.temporary.iterdir()) and not app.errors
