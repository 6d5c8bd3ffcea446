"""`stylex study`: questions for people, their answers, a machine observer, and the published answers ([L] 4.2.2)."""

from __future__ import annotations

import typer

from stylex.cli.study import analyse, build, observe, published

app = typer.Typer(help="The user study of Lang et al. 2021, section 4.2.2.", no_args_is_help=True)
for name, verb in {"build": build, "observe": observe, "analyse": analyse, "published": published}.items():
    app.command(name)(verb.command)
