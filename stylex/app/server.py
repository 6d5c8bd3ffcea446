"""The server: one process, one event loop, three threads that compute (`Lanes`)."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
import webbrowser
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import Client, core, ui
from starlette.requests import ClientDisconnect

from stylex.app import limits
from stylex.app.guard import UPLOAD, Address, Guard
from stylex.app.model import Model
from stylex.app.page import Lanes, Page
from stylex.app.pictures import file_name
from stylex.app.work import BusyError
from stylex.errors import ConfigError, StylexError

logger = logging.getLogger("stylex")
HANG_UP = {"connection": "close"}  # whatever is still on its way
HISTORY = 16  # messages that a browser gets again after a lost connection


class Uploads:
    """Files on their way in: counted, bounded, on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.arriving, self.number = folder, 0, 0

    async def receive(self, request: Request) -> Path:
        """Write the body of a request to a file; raise `StylexError`, with `status`, when it is too much."""
        most = f"more than {limits.UPLOAD_BYTES / 1e6:g} MB; make it smaller"
        stated = request.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > limits.UPLOAD_BYTES:
            raise UploadError(413, most)
        if self.arriving >= limits.UPLOADS:
            raise UploadError(503, f"{limits.UPLOADS} files arrive already; try again in a minute")
        self.arriving, self.number = self.arriving + 1, self.number + 1
        path, size = self.folder / f"{self.number}.upload", 0
        try:
            async with asyncio.timeout(limits.UPLOAD_SECONDS):
                with path.open("wb") as file:
                    async for part in request.stream():
                        size += len(part)
                        if size > limits.UPLOAD_BYTES:
                            raise UploadError(413, most)
                        file.write(part)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise UploadError(408, f"not here after {limits.UPLOAD_SECONDS:g} seconds; try again") from None
            if isinstance(error, ClientDisconnect):
                raise UploadError(400, "it broke off; try again") from None
            raise
        finally:
            self.arriving -= 1
        return path


class UploadError(StylexError):
    """A file that is not taken."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def application(model: Model, lanes: Lanes, folder: Path) -> FastAPI:
    """Return the application, without its guard; folder: for files on their way in."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # the pages of the API load from elsewhere
    pages: dict[str, Page] = {}
    uploads = Uploads(folder)

    def build(client: Client) -> None:
        page = pages[client.id] = Page(model, lanes, client)
        client.on_delete(lambda: pages.pop(page.id, page).close())

    ui.page("/", title=f"StylEx: {model.title}", language="en-US")(build)

    @app.post(UPLOAD + "{identity}")
    async def upload(identity: str, request: Request) -> Response:
        name = file_name(request.headers.get("x-name", ""))
        if (page := pages.get(identity)) is None:
            return PlainTextResponse("this page has ended; load it again", 404, HANG_UP)
        if page.reading:
            return PlainTextResponse("the image before is still being read; try again in a moment", 409, HANG_UP)
        page.reading = True
        path = None
        try:
            path = await uploads.receive(request)
            return PlainTextResponse(await page.take(path, name))
        except UploadError as error:
            return PlainTextResponse(f"{name}: {error}", error.status, HANG_UP)
        except StylexError as error:
            return PlainTextResponse(str(error), 503 if isinstance(error, BusyError) else 422)
        finally:
            page.reading = False
            if path is not None:
                path.unlink(missing_ok=True)

    @app.get("/example/{number}")
    def example(number: int) -> Response:
        known = 0 <= number < len(model.examples)
        return FileResponse(model.examples[number].file) if known else PlainTextResponse("no such example", 404)

    @app.get("/result/{identity}/{kind}")
    def result(identity: str, kind: str) -> Response:
        found = page.found if (page := pages.get(identity)) else None
        if found is None or kind not in ("png", "json"):
            return PlainTextResponse("there is no such result; search again", 404)
        content, media = (found.figure, "image/png") if kind == "png" else (found.numbers, "application/json")
        return Response(content, media_type=media, headers={"cache-control": "no-store"})

    core.app.config.socket_io_js_transports = ["websocket"]  # the guard lets no other in
    ui.run_with(
        app, title="StylEx", dark=None, tailwind=False, message_history_length=HISTORY, show_welcome_message=False,
        binding_refresh_interval=None,
    )  # fmt: skip
    return app


def open_pages() -> int:
    """Return how many pages are open; where they are many, without those that no browser came back for."""
    if len(Client.instances) >= limits.PAGES:
        Client.prune_instances(client_age_threshold=limits.PAGE_SECONDS)
    return len(Client.instances)


def listening(address: Address) -> socket.socket:
    """Return a socket that listens there; raise `ConfigError` when that cannot be."""
    host, port = address.host, address.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=limits.CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"--port {port}: something listens there already; name another one") from None
        if error.errno == errno.EACCES:
            raise ConfigError(f"--port {port}: only an administrator may listen there; name one above 1023") from None
        raise ConfigError(f"--host {host}: {error.strerror or error}; name an address of this machine") from None


class Server(uvicorn.Server):
    """Says when it is there."""

    def __init__(self, config: uvicorn.Config, address: Address, show: bool) -> None:
        super().__init__(config)
        self.address, self.show = address, show

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and print the address."""
        await super().startup(sockets)
        sys.stdout.write(f"{self.address.url}\nCtrl+C ends it.\n")
        sys.stdout.flush()
        if self.show:
            threading.Thread(target=webbrowser.open, args=(self.address.url,), daemon=True).start()


def serve(model: Model, address: Address, open_socket: socket.socket, show: bool = False) -> None:
    """Serve until Ctrl+C or SIGTERM."""
    lanes = Lanes.start()
    logger.setLevel(logging.WARNING)  # not a line for each image
    # NiceGUI looks at every object there is for its server, torch's deprecated ones among them.
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
    os.environ.pop("NICEGUI_HOST", None)  # of another program; this one's addresses are its own
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="stylex-app-") as folder:
        app: Any = Guard(application(model, lanes, Path(folder)), address, open_pages)
        config = uvicorn.Config(
            app, http="h11", log_level="error", access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=limits.CONNECTIONS, ws_max_size=limits.MESSAGE_BYTES, timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        try:
            Server(config, address, show).run(sockets=[open_socket])
        except KeyboardInterrupt:
            pass
        finally:
            lanes.close()


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of every websocket that the guard refuses."""
    return "returned without completing handshake" not in record.getMessage()


def _end(*_: object) -> None:
    raise SystemExit(0)
