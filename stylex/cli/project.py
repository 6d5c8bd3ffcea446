"""Verbs on the project: its configuration, its data, and its workflow on a cluster."""

from __future__ import annotations

import logging
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from stylex.cli.options import DatasetArgument
from stylex.errors import ConfigError

if TYPE_CHECKING:
    from stylex.config import ExperimentConfig
    from stylex.project import KeySection

RESUME_SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
LISTED_CLASSES = 12
logger = logging.getLogger("stylex")


def datasets() -> None:
    """List all datasets with their classes, licences and conditions of access."""
    from stylex.datasets.catalog import dataset_names, dataset_spec

    for name in dataset_names(Path()):
        spec = dataset_spec(Path(), name)
        names = spec.class_names or ("classes as its files have them",)
        more = f" and {len(names) - LISTED_CLASSES} more" if len(names) > LISTED_CLASSES else ""
        typer.echo(f"{name}: {spec.title}: {', '.join(names[:LISTED_CLASSES])}{more} ({spec.licence})")
        if spec.access:
            typer.echo(f"  access: {spec.access}")


def plan(
    name: Annotated[str, typer.Argument(help="A file of config/experiments or of config/suites, without .yaml.")],
    suite: Annotated[
        bool, typer.Option("--suite", help="NAME is a suite, though an experiment is called so, too.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="GPUs that share a training.")] = 1,
    gpu: Annotated[
        str, typer.Option(help="v100, a100, h100 or h200: whose matrix peak the time is reckoned by.")
    ] = "h100",
) -> None:
    """Say what a training will take: parameters, operations, GPU memory, GPU hours by a stated model, disk."""
    from stylex.config import load_suite
    from stylex.config.loading import available
    from stylex.project import load_checked_experiment
    from stylex.training.plan import plan, text

    root = Path()
    suite = suite or (name in available(root, "suites") and name not in available(root, "experiments"))
    names = load_suite(root, name).runs if suite else [name]
    configs = {each: load_checked_experiment(root, each) for each in names}
    plans = {each: plan(root, config, processes, gpu) for each, config in configs.items() if config.runs("train")}
    if not plans:
        raise ConfigError(
            f"'{name}' trains nothing, as the models are released; plan an experiment that is trained here"
        )
    for each, found in plans.items():
        typer.echo(text(each, found, processes, gpu))
    if len(plans) > 1:
        typer.echo(f"{name}: {sum(found.hours for found in plans.values()):.0f} GPU hours in all")


def validate(
    suite: Annotated[str | None, typer.Argument(help="A file of config/suites; default: config/config.yaml's.")] = None,
) -> None:
    """Check a suite, and every experiment, dataset and network that measures; say what the suite will run."""
    from stylex.config import load_backbone_config, load_oracle_config, load_suite
    from stylex.config.loading import available
    from stylex.datasets.catalog import dataset_names, dataset_spec
    from stylex.figures.catalog import check_names
    from stylex.project import load_checked_experiment, load_project

    root = Path()
    project = load_project(root, suite)
    check_names(project.suite_name, project.suite.pictured)
    if project.suite.next:
        load_suite(root, project.suite.next)
    names = available(root, "experiments")
    for name in names:
        load_checked_experiment(root, name, overrides={})  # of the suite alone
    for name in dataset_names(root):
        dataset_spec(root, name)
    for name in available(root, "backbones"):
        load_backbone_config(root, name)
    for name in available(root, "oracles"):
        load_oracle_config(root, name)
    typer.echo(f"suite {project.suite_name}: {project.suite.title}")
    for name, config in project.experiments.items():
        typer.echo(f"  {name}: {described(config)}")
        if warning := font_warning(root, config):
            logger.warning("%s: %s", name, warning)
    typer.echo(f"all {len(names)} experiments of config/experiments are valid")


def described(config: ExperimentConfig) -> str:
    """Return what an experiment is about, in a line."""
    dataset = config.dataset
    classes = f"{dataset.one_vs_rest} against all others" if dataset.one_vs_rest else "all classes"
    classes = ", ".join(dataset.classes) if dataset.classes else classes
    budget = f"{config.stylex.training.images} images" if config.runs("train") else "released"
    line = f"{dataset.name} ({classes}), {dataset.resolution}x{dataset.resolution}, {budget}"
    return line + (f", classifier of {config.classifier_of}" if config.classifier_of else "")


def font_warning(root: Path, config: ExperimentConfig) -> str | None:
    """Return one line when no installed font has what the classes are called, as far as these are known."""
    from stylex.datasets.catalog import dataset_spec, known_classes

    names = config.dataset.class_names
    if names is None and config.runs("train"):
        names = known_classes(root, dataset_spec(root, config.dataset.name), config.dataset.resolution)
    if "".join(names or ()).isascii():
        return None
    from stylex.figures.fonts import warning

    return warning(names or ())


def keys(
    section: Annotated[
        str | None, typer.Argument(help="A section or a key, as stylex.losses or r1_gamma; default: all of the file.")
    ] = None,
    file: Annotated[
        str, typer.Option(help="experiment, suite, dataset, backbone, oracle, regressor, site or config.")
    ] = "experiment",
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables in Markdown.")] = False,
) -> None:
    """Say what the keys of a configuration file mean, which values they take, and their defaults."""
    from stylex.project import PAPERS, described_keys

    found = described_keys(file, section)
    if markdown:
        typer.echo("\n".join(line for each in found for line in in_markdown(each)))
    else:
        print_keys(found)
    said = [each.meaning for each in found] + [key.meaning for each in found for key in each.keys]
    if cited := [f"{sign} {paper}" for sign, paper in PAPERS.items() if any(sign in text for text in said)]:
        typer.echo("; ".join(cited))


def print_keys(sections: list[KeySection]) -> None:
    """Print sections as text as wide as the terminal."""

    def paragraph(text: str, indent: int) -> str:
        return fill(text, columns, initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False)

    columns = get_terminal_size().columns
    for section in sections:
        typer.secho(section.heading, bold=True)
        typer.echo(paragraph(section.meaning, 2) + "\n")
        for key in section.keys:
            typer.echo(f"  {typer.style(key.name, bold=True)}: {key.values}; {key.given}")
            typer.echo(paragraph(key.meaning, 6) + "\n")


def in_markdown(section: KeySection) -> list[str]:
    """Return the lines of a section with a table of its keys."""
    rows = [(f"`{key.name}`", f"`{key.values}`", key.given, key.meaning.replace("<", "&lt;")) for key in section.keys]
    table = [("key", "values", "default", "meaning"), ("---",) * 4, *rows]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in table]
    return [f"## {section.heading}", "", section.meaning.replace("<", "&lt;"), "", *lines, ""]


def schemas() -> None:
    """Write workflow/schemas/*.schema.json, by which an editor completes and checks the files of config/."""
    from stylex.artifacts import write_text
    from stylex.project import schema_texts

    for path, text in schema_texts(Path()).items():
        write_text(path, text)
        typer.echo(path)


def download(
    dataset: DatasetArgument,
    offline: Annotated[bool, typer.Option("--offline", help="Use data/raw and STYLEX_DATA_CACHE only.")] = False,
) -> None:
    """Download a dataset into data/raw/<dataset>, resuming and verifying."""
    from stylex.datasets import download

    download(Path(), dataset, offline)


def prepare(
    dataset: DatasetArgument,
    resolution: Annotated[int, typer.Option(help="Side of the square images in pixels, a power of two.")],
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode image files; default: one per core.")
    ] = None,
) -> None:
    """Prepare a downloaded dataset at one resolution into data/processed/<dataset>/<resolution>."""
    from stylex.datasets import prepare

    prepare(Path(), dataset, resolution, processes)


def weights(name: Annotated[str, typer.Argument(help="inception: of the FID; alexnet, vgg16: of LPIPS.")]) -> None:
    """Download published weights into data/weights, resuming and verifying."""
    from stylex.pretrained import download_weights

    typer.echo(download_weights(Path(), name))


def resume(
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments of Snakemake, as it was started.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Let the jobs of the killed run finish first.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the jobs of the killed run first.")] = False,
) -> None:
    """Go on after Snakemake was killed on a cluster: wait for its jobs or cancel them, unlock, start it again."""
    from stylex.slurm import resume

    resume(arguments or [], wait, cancel)
