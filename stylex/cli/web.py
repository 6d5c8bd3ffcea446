"""`stylex app`: a page on this machine that explains images, with a slider for each attribute."""

from __future__ import annotations

import re
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.explanations import DESCRIPTION, is_folder
from stylex.cli.options import Device, DeviceOption, ThreadsOption, select_device
from stylex.errors import ConfigError

TOKEN = re.compile(r"[\w.~-]{16,128}", re.ASCII)


def app(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERIMENT|FOLDER",
            help="As `stylex explain` takes it; default: the only one there is, an export in models before others.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address; one that other machines reach needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="STYLEX_TOKEN",
            help="Who opens the page must know it; default: on another address than loopback, a new one.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Open the page in a browser.")] = False,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Serve a page on which images are explained: drop one, move its attributes, search.

    It needs NiceGUI, which pip install 'stylex[app]' brings.
    """
    if find_spec("nicegui") is None:
        raise ConfigError("stylex app needs NiceGUI: pip install 'stylex[app]'")
    if token is not None and not TOKEN.fullmatch(token):
        raise ConfigError("--token: give 16 to 128 letters, digits, or any of . _ ~ -, or leave it out for a new one")
    name = model or only_model()
    from stylex.app.guard import Address, is_loopback
    from stylex.app.model import read_model
    from stylex.app.server import listening, serve

    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(32)
    address = Address(host, port, token)
    with listening(address) as open_socket:
        folder = Path(name) if is_folder(name) else None
        serve(read_model(folder, name, select_device(device, threads)), address, open_socket, show)


def only_model() -> str:
    """Return the only export in models/, or else the only trained experiment; raise `ConfigError` for none or more."""
    exports = [str(path.parent) for path in sorted(Path("models").glob(f"*/{DESCRIPTION}"))]
    latents = sorted(Path("results/experiments").glob("*/latents.parquet"))
    found = exports or [path.parent.name for path in latents]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError("name an exported folder or a trained experiment: there is none in models or results")
    raise ConfigError(f"name one of {', '.join(found)}, as `stylex app {found[0]}`")
