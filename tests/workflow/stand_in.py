"""Stands in for `python -m stylex VERB`: logs the verb and writes the declared files, without computing."""

import sys
from pathlib import Path

from stylex.config import DatasetPaths, ExperimentPaths, NetworkPaths, SuitePaths, backbone_paths
from stylex.config.loading import load_suite
from stylex.figures.names import FIGURE_NAMES

ROOT = Path()


def outputs(verb: str, first: str, rest: list[str]) -> list[Path]:
    experiment, suite = ExperimentPaths(ROOT, first), SuitePaths(ROOT, first)
    match verb:
        case "download":
            return [DatasetPaths(ROOT, first).raw / "source.json"]
        case "prepare":
            return [DatasetPaths(ROOT, first).manifest(int(rest[1]))]
        case "backbone":
            return network(backbone_paths(ROOT, first))
        case "classifier":
            return network(experiment.classifier)
        case "train":
            return [experiment.stylex_model, experiment.stylex_history, experiment.stylex_samples]
        case "encode":
            return [experiment.latents]
        case "effects":
            return [experiment.effects(int(rest[rest.index("--shard") + 1]))]
        case "attributes" | "sufficiency" | "frechet":
            table: Path = getattr(experiment, verb)
            return [table, table.with_suffix(".provenance.json")]
        case "explain":
            tables = experiment.independent, experiment.subset
            return [path for table in tables for path in (table, table.with_suffix(".provenance.json"))]
        case "study":
            ours = ExperimentPaths(ROOT, rest[0])
            table = ours.study_key if first == "build" else ours.observer
            pages = [ours.study_page] if first == "build" else []
            return [*pages, table, table.with_suffix(".provenance.json")]
        case "figures":
            return [suite.figure(rest[0], name, suffix) for name in FIGURE_NAMES for suffix in ("png", "pdf")]
        case "tables":
            names = load_suite(ROOT, first).tables
            return [suite.table(name, suffix) for name in names for suffix in ("csv", "md", "tex")]
        case "report":
            return [suite.report]
    raise SystemExit(f"no such verb: {verb}")


def network(paths: NetworkPaths) -> list[Path]:
    return [paths.model, paths.metrics, paths.history]


def main(verb: str, first: str, *rest: str) -> None:
    with (ROOT / "verbs.log").open("a") as log:
        log.write(f"{verb}\n")
    for path in outputs(verb, first, list(rest)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")


main(*sys.argv[1:])
