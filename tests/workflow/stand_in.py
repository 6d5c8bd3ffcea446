"""Stands in for `python -m stylex VERB`: logs the verb and writes the declared files, without computing.

verbs.log: what began; writes.log: each file written, and by which Slurm job. While there is a file hold-VERB, the verb
goes no further.
"""

import os
import sys
import time
from pathlib import Path

from stylex import cli
from stylex.config import (
    DatasetPaths,
    ExperimentPaths,
    NetworkPaths,
    SuitePaths,
    backbone_paths,
    regressor_paths,
    weights_path,
)
from stylex.config.loading import load_suite
from stylex.figures.names import figure_files

ROOT = Path()


def outputs(verb: str, first: str, rest: list[str]) -> list[Path]:
    experiment, suite = ExperimentPaths(ROOT, first), SuitePaths(ROOT, first)
    match verb:
        case "download":
            return [DatasetPaths(ROOT, first).raw / "source.json"]
        case "weights":
            return [weights_path(ROOT, first)]
        case "prepare":
            return [DatasetPaths(ROOT, first).manifest(int(rest[1]))]
        case "backbone":
            return network(backbone_paths(ROOT, first))
        case "regressor":
            return network(regressor_paths(ROOT, first))
        case "classifier":
            return network(experiment.classifier)
        case "train":
            return [experiment.stylex_model, experiment.stylex_history, experiment.stylex_samples]
        case "encode":
            shard = int(rest[rest.index("--shard") + 1]) if "--shard" in rest else None
            return [experiment.latents if shard is None else experiment.encoded(shard)]
        case "effects":
            return [experiment.effects(int(rest[rest.index("--shard") + 1]))]
        case "attributes" | "frechet":
            return with_provenance(getattr(experiment, verb))
        case "baseline":
            return with_provenance(experiment.wu_2021)
        case "sufficiency":
            return with_provenance(experiment.sufficiency, experiment.flips)
        case "explain":
            return with_provenance(experiment.independent, experiment.subset)
        case "factors":
            return with_provenance(experiment.factors, experiment.factor_fit)
        case "ganalyze":
            return [experiment.ganalyze]
        case "study":
            ours = ExperimentPaths(ROOT, rest[0])
            if first == "build":
                return [ours.study_page, *with_provenance(ours.study_key)]
            return with_provenance(ours.observer)
        case "figures":
            return [suite.figure(rest[0], name, suffix) for name, suffix in figure_files()]
        case "tables":
            names = load_suite(ROOT, first).tables
            return [suite.table(name, suffix) for name in names for suffix in ("csv", "md", "tex")]
        case "report":
            return [suite.report]
    raise SystemExit(f"no such verb: {verb}")


def with_provenance(*tables: Path) -> list[Path]:
    return [path for table in tables for path in (table, table.with_suffix(".provenance.json"))]


def network(paths: NetworkPaths) -> list[Path]:
    return [paths.model, paths.metrics, paths.history]


def main(verb: str, first: str, *rest: str) -> None:
    with (ROOT / "verbs.log").open("a") as log:
        log.write(f"{verb}\n")
    while (ROOT / f"hold-{verb}").exists():
        time.sleep(0.05)
    for path in outputs(verb, first, list(rest)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
        with (ROOT / "writes.log").open("a") as log:
            log.write(f"{os.environ.get('SLURM_JOB_ID')} {path}\n")


if sys.argv[1] == "resume":
    sys.exit(cli.main())
main(*sys.argv[1:])
