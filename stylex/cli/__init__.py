"""`python -m stylex COMMAND`: one function each, with heavy imports inside, so that help and planning are fast."""

from __future__ import annotations

import io
import logging
import os
import platform
import sys
from typing import Annotated

import typer

from stylex.artifacts import UNWRITABLE
from stylex.cli import study, web
from stylex.cli.analysis import (
    attributes,
    baseline,
    counterfactuals,
    effects,
    encode,
    factors,
    figures,
    frames,
    frechet,
    gallery,
    ganalyze,
    maps,
    names,
    report,
    samples,
    sufficiency,
    summary,
    tables,
)
from stylex.cli.explanations import explain, export
from stylex.cli.models import (
    backbone,
    check_classifier,
    classifier,
    convert_released,
    diagnose,
    oracle,
    regressor,
    train,
)
from stylex.cli.project import (
    RESUME_SETTINGS,
    datasets,
    download,
    keys,
    plan,
    prepare,
    resume,
    schemas,
    validate,
    weights,
)
from stylex.cli.starter import init, run
from stylex.errors import StylexError

VERBS = {
    function.__name__.replace("_", "-"): function
    for function in (
        init, run, datasets, validate, plan, keys, schemas, download, prepare, weights, backbone, oracle, regressor,
        classifier, check_classifier, train, diagnose, encode, effects, attributes, baseline, samples, sufficiency,
        frechet, factors, explain, export, web.app, ganalyze, maps, counterfactuals, figures, frames, gallery, tables,
        names, report, summary, convert_released, resume,
    )
}  # fmt: skip

app = typer.Typer(
    help="Explain an image classifier with StylEx. Run every command in the project's root folder.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, verb in VERBS.items():
    app.command(name, context_settings=RESUME_SETTINGS if verb is resume else None)(verb)
app.add_typer(study.app, name="study")


@app.callback()
def set_overrides(
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a key of the experiments, e.g. experiment.stylex.training.images=1000; may be repeated.",
        ),
    ] = None,
) -> None:
    """Pass the overrides to the command and to the processes that it starts."""
    if overrides:
        from stylex.config.loading import OVERRIDES, parse_overrides

        os.environ[OVERRIDES] = parse_overrides(overrides)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's mistake or a full disk is one line on stderr and exit code 2, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that the terminal cannot encode
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
        return fail(f"{error.strerror}: {error.filename or 'a file being written'}; free space or fix the permissions")
    return 0


def fail(message: str, exit_code: int = StylexError.exit_code) -> int:
    """Print `message` on stderr as one line and return the exit code."""
    typer.echo("error: " + " ".join(message.split()), err=True)
    return exit_code
