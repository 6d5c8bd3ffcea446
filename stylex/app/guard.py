"""Who may ask this server for what: refusals come before anything of NiceGUI runs, for requests and websockets alike.

Without a token, only pages that this server made for an address of loopback may speak to it: the Host header keeps out
names that a foreign site has pointed at 127.0.0.1 (DNS rebinding), the Origin header pages of other sites. With a
token, every request needs it, as a cookie or in the query; a visit with it in the query sets the cookie.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stylex.app.limits import PAGES, SOCKETS

Scope = dict[str, Any]
LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
WILDCARDS = frozenset(("0.0.0.0", "::"))
SOCKET = "/_nicegui_ws/"
READ = ("/_nicegui/", "/result/", "/example/", "/favicon.ico")
UPLOAD = "/upload/"
SAFE_HEADERS = [
    (b"referrer-policy", b"same-origin"),  # the token may be in the address
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # NiceGUI compiles its templates in the browser; nothing is loaded from anywhere else.
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data:; font-src 'self' data:;"
        b" frame-ancestors 'none'; base-uri 'none'",
    ),
]
ENTER = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>StylEx</title><a href="/">Continue</a></html>"""


class Refusal(Exception):  # noqa: N818, an answer rather than an error
    """An answer of one line in place of what was asked for."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the token that it wants; None: none."""

    host: str
    port: int
    token: str | None = None

    @property
    def url(self) -> str:
        """What to open in a browser."""
        host = socket.gethostname() if self.host in WILDCARDS else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers do not tell the ports of a host apart."""
        return f"stylex-token-{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address: any of 127.0.0.0/8, ::1, localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """The outermost ASGI application."""

    def __init__(self, app: Any, address: Address, pages: Callable[[], int]) -> None:
        """app: what answers whoever is let in; pages: how many pages are open."""
        self.app, self.address, self.pages, self.sockets = app, address, pages, 0
        self.hosts = None if address.token else LOOPBACK | {address.host}  # None: any, as another has no cookie

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request, or one websocket."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            entering = self.check(scope)
        except Refusal as refusal:
            await refuse(scope, send, refusal)
            return
        if scope["type"] == "websocket":
            self.sockets += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.sockets -= 1
        elif entering:
            value = f"{self.address.cookie}={self.address.token}; HttpOnly; SameSite=Strict; Path=/"
            headers = [(b"set-cookie", value.encode()), (b"cache-control", b"no-store")]
            await answer(send, 200, ENTER, "text/html; charset=utf-8", headers)
        else:
            await self.app(scope, receive, with_safe_headers(send))

    def check(self, scope: Scope) -> bool:
        """Return whether this is a first visit with the token; raise `Refusal` for what is not answered."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        path, kind = scope["path"], scope["type"]
        method = scope.get("method", "")
        entering = self.check_token(scope, headers)
        self.check_origin(headers, reading=kind == "http" and method in ("GET", "HEAD"))
        if kind == "websocket":
            known = path.startswith(SOCKET)
        elif method == "POST":
            known = path.startswith(UPLOAD)
        else:
            known = method in ("GET", "HEAD") and (path == "/" or path.startswith(READ))
        if not known:
            raise Refusal(404, f"nothing is at {method} {path[:80]!r}")
        if entering and path == "/" and kind == "http":
            return True
        if kind == "websocket" and self.sockets >= SOCKETS:
            raise Refusal(503, f"{SOCKETS} connections are open; close a page")
        if path == "/" and self.pages() >= PAGES:
            raise Refusal(503, f"{PAGES} pages are open, as many as this server takes; try again in a minute")
        return False

    def check_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Return whether the token is in the query; raise `Refusal` when it is nowhere, or wrong."""
        if self.address.token is None:
            return False
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self.is_token(asked):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.address.cookie)
        except CookieError:
            cookie = None
        if cookie is None or not self.is_token(cookie.value):
            raise Refusal(401, "a token is needed: open the address that `stylex app` printed")
        return False

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(given.encode(), str(self.address.token).encode())

    def check_origin(self, headers: dict[str, str], reading: bool) -> None:
        """Raise `Refusal` for a name of this server that it does not have, and for pages of other sites."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if self.hosts is not None and name not in self.hosts:
            raise Refusal(421, f"this server is not {host[:80]!r}; open {self.address.url.partition('?')[0]}")
        origin = headers.get("origin")
        foreign = origin is not None and not reading and urlsplit(origin).netloc != host
        embedded = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-dest") != "document"
        if foreign or embedded:
            raise Refusal(403, "pages of other sites may not use this server")


def with_safe_headers(send: Any) -> Any:
    """Return `send` that adds what keeps a browser from loading, framing or telling others."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = message | {"headers": [*message.get("headers", []), *SAFE_HEADERS]}
        await send(message)

    return sending


async def refuse(scope: Scope, send: Any, refusal: Refusal) -> None:
    """Answer with one line, a websocket's opening as well."""
    if scope["type"] == "http":  # and hang up, whatever is still on its way
        await answer(send, refusal.status, refusal.line + "\n", headers=[(b"connection", b"close")])
    elif "websocket.http.response" in scope.get("extensions", {}):
        await answer(send, refusal.status, refusal.line + "\n", start="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.line})


async def answer(
    send: Any, status: int, text: str, media: str = "text/plain; charset=utf-8",
    headers: list[tuple[bytes, bytes]] | None = None, start: str = "http.response",
) -> None:  # fmt: skip
    """Send a whole answer."""
    body = text.encode()
    own = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": f"{start}.start", "status": status, "headers": [*own, *SAFE_HEADERS]})
    await send({"type": f"{start}.body", "body": body})
