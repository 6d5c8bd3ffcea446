"""`python -m stylex VERB`: one file a verb. Heavy imports happen inside the verbs: help and planning stay fast."""

from __future__ import annotations

import io
import logging
import os
import platform
import sys

import typer

from stylex.artifacts import UNWRITABLE
from stylex.cli import (
    attributes,
    backbone,
    baseline,
    classifier,
    convert_released,
    counterfactuals,
    datasets,
    diagnose,
    download,
    effects,
    encode,
    explain,
    factors,
    figures,
    frechet,
    ganalyze,
    maps,
    oracle,
    prepare,
    regressor,
    report,
    resume,
    samples,
    schemas,
    study,
    sufficiency,
    summary,
    tables,
    train,
    validate,
    weights,
)
from stylex.errors import StylexError

VERBS = {
    "datasets": datasets.command,
    "validate": validate.command,
    "schemas": schemas.command,
    "download": download.command,
    "prepare": prepare.command,
    "weights": weights.command,
    "backbone": backbone.command,
    "oracle": oracle.command,
    "regressor": regressor.command,
    "classifier": classifier.command,
    "train": train.command,
    "diagnose": diagnose.command,
    "encode": encode.command,
    "effects": effects.command,
    "attributes": attributes.command,
    "baseline": baseline.command,
    "samples": samples.command,
    "sufficiency": sufficiency.command,
    "frechet": frechet.command,
    "factors": factors.command,
    "explain": explain.command,
    "ganalyze": ganalyze.command,
    "maps": maps.command,
    "counterfactuals": counterfactuals.command,
    "figures": figures.command,
    "tables": tables.command,
    "report": report.command,
    "summary": summary.command,
    "convert-released": convert_released.command,
    "resume": resume.command,
}

app = typer.Typer(
    help="Explain an image classifier with StylEx. Every verb works in the current folder, the project's root.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, command in VERBS.items():
    app.command(name, context_settings=resume.SETTINGS if name == "resume" else None)(command)
app.add_typer(study.app, name="study")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; a user's mistake or a full disk is one line on stderr and exit code 2, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that the terminal, or any text, has no letters for
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("stylex").setLevel(logging.INFO)
    if job := os.environ.get("SLURM_JOB_ID"):
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        logging.getLogger("stylex").info("Slurm job %s on %s, GPUs: %s", job, platform.node(), gpus)
    try:
        app(arguments)
    except StylexError as error:
        return fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        return fail(f"{error.strerror}: {error.filename or 'a file being written'}; free space or mend the permissions")
    return 0


def fail(message: str, exit_code: int = StylexError.exit_code) -> int:
    """Print `message` on stderr as one line and return the exit code."""
    typer.echo("error: " + " ".join(message.split()), err=True)
    return exit_code
