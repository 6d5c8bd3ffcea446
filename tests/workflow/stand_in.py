"""Stands in for `python -m stylex VERB`: logs the verb and writes the declared files, without computing.

A trained model holds the options of its training, and what follows holds the model, so that other options give others.
verbs.log: what began; writes.log: each file written, and by which Slurm job. While there is a file hold-VERB, the verb
goes no further.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylex.config import ExperimentConfig, NetworkPaths, SuiteConfig

ROOT = Path()
# Its file alone: importing what else stylex.config has would be most of a verb's time, and most need the paths alone.
PATHS = runpy.run_path(str(Path(__file__).parent / "config/paths.py"), run_name="stylex.config.paths")
DatasetPaths, ExperimentPaths, GalleryPaths, SuitePaths = (
    PATHS[f"{name}Paths"] for name in ("Dataset", "Experiment", "Gallery", "Suite")
)
backbone_paths, oracle_paths, regressor_paths = (PATHS[f"{name}_paths"] for name in ("backbone", "oracle", "regressor"))
weights_path = PATHS["weights_path"]
OF_SECOND = ("study", "figures", "frames")  # their second argument is an experiment
OF_SUITES = ("tables", "report", "gallery")


# Tables, with the provenance beside them, by attributes of ExperimentPaths.
TABLES = {
    "diagnose": ["diagnosis"],
    "attributes": ["attributes"],
    "baseline": ["wu_2021"],
    "explain": ["independent", "subset"],
    "samples": ["samples"],
    "sufficiency": ["sufficiency", "flips", "random_flips"],
    "frechet": ["frechet"],
    "counterfactuals": ["counterfactuals", "counterfactual_images"],
    "factors": ["factors", "factor_fit"],
}
NETWORKS = {"backbone": backbone_paths, "oracle": oracle_paths, "regressor": regressor_paths}


def outputs(verb: str, first: str, rest: list[str]) -> list[Path]:
    options = dict(zip(rest, rest[1:], strict=False))
    experiment, suite = ExperimentPaths(ROOT, first, aside=options.get("--protocol")), SuitePaths(ROOT, first)
    if verb in TABLES:
        return with_provenance(*(getattr(experiment, name) for name in TABLES[verb]))
    if verb in NETWORKS:
        return network(NETWORKS[verb](ROOT, first))
    match verb:
        case "download":
            return [DatasetPaths(ROOT, first).raw / "source.json"]
        case "weights":
            return [weights_path(ROOT, first)]
        case "prepare":
            return [DatasetPaths(ROOT, first).manifest(int(options["--resolution"]))]
        case "classifier":
            return network(experiment.classifier)
        case "train":
            return [experiment.stylex_model, experiment.stylex_samples, *with_provenance(experiment.stylex_history)]
        case "encode":
            return [experiment.encoded(int(options["--shard"])) if "--shard" in options else experiment.latents]
        case "effects":
            return [experiment.effects(int(options["--shard"]))]
        case "convert-released":
            return [experiment.stylex_model, experiment.classifier.model, experiment.latents, experiment.effects()]
        case "maps":
            return [experiment.maps, *with_provenance(experiment.map_numbers)]
        case "ganalyze":
            return [experiment.ganalyze]
        case "study":
            ours = ExperimentPaths(ROOT, rest[0])
            built = [ours.study_page, *with_provenance(ours.study_key)]
            return built if first == "build" else with_provenance(ours.observer)
        case "figures":
            from stylex.figures.catalog import figure_files, figure_names

            names = figure_names(load_experiment(rest[0]))
            return [suite.figure(rest[0], name, suffix) for name, suffix in figure_files(names)]
        case "frames":
            gallery = GalleryPaths(ROOT, first)
            return [gallery.frames(rest[0]), *with_provenance(gallery.numbers(rest[0]))]
        case "gallery":
            return [GalleryPaths(ROOT, first).page]
        case "tables":
            content = load_suite(first)
            metrics = [suite.metrics(name) for name in content.runs]
            numbers = with_provenance(*(suite.table(name, "csv") for name in content.tables))
            shown = [suite.table(name, suffix) for name in content.tables for suffix in ("md", "tex")]
            return metrics + numbers + shown
        case "report":
            return [suite.report, *with_provenance(suite.claims)]
    raise SystemExit(f"no such verb: {verb}")


def with_provenance(*tables: Path) -> list[Path]:
    return [path for table in tables for path in (table, table.with_suffix(".provenance.json"))]


def network(paths: NetworkPaths) -> list[Path]:
    return [paths.model, paths.metrics, *with_provenance(paths.history)]


def load_experiment(name: str) -> ExperimentConfig:
    from stylex.config import load_experiment

    return load_experiment(ROOT, name)


def load_suite(name: str) -> SuiteConfig:
    from stylex.config import load_suite

    return load_suite(ROOT, name)


def text(verb: str, first: str, rest: list[str]) -> str:
    if verb in ("train", "convert-released"):
        return json.dumps(load_experiment(first).stylex.model_dump(mode="json"))
    if verb in OF_SUITES:
        names = load_suite(first).runs
    elif verb in OF_SECOND:
        names = rest[:1]
    else:
        names = [first] if verb in (*TABLES, "encode", "effects", "ganalyze", "maps") else []
    return json.dumps([json.loads(ExperimentPaths(ROOT, name).stylex_model.read_text()) for name in names])


def main(verb: str, first: str, *rest: str) -> None:
    with (ROOT / "verbs.log").open("a") as log:
        log.write(f"{verb}\n")
    while (ROOT / f"hold-{verb}").exists():
        time.sleep(0.05)
    for path in outputs(verb, first, list(rest)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # as what is written under another name and renamed
        path.write_text(text(verb, first, list(rest)))
        with (ROOT / "writes.log").open("a") as log:
            log.write(f"{os.environ.get('SLURM_JOB_ID')} {path}\n")


if sys.argv[1] == "resume":
    from stylex import cli

    sys.exit(cli.main())
main(*sys.argv[1:])
