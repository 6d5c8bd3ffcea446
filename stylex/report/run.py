"""One run of a suite: configurations, loaded once, artifacts and published figures, each read once, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
from safetensors import SafetensorError, safe_open

from stylex.artifacts import read_json, read_table, require
from stylex.config import ExperimentConfig, ExperimentPaths, SuiteConfig, load_experiment, load_suite
from stylex.config.experiments import TableName
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, damage_reported, json_metadata, read_latents
from stylex.report.published import PROTOCOLS, read_published
from stylex.report.table import Row, Table

ARTIFACTS = (
    "classifier", "stylex", "diagnosis", "latents", "effects", "attributes", "independent", "subset", "sufficiency",
    "frechet",
)  # fmt: skip  # as made
# Of a released model; the others of it where they exist.
RELEASED = ("classifier", "stylex", "latents", "effects", "attributes", "sufficiency")
OPTIONAL = ("samples", "wu_2021", "flips", "counterfactuals", "factors", "map_numbers", "observer")  # not in all suites
SHOWN_AS = {"map_numbers": "maps"}
VERSION = "version_"
PUBLISHED = "published:"  # no experiment is called so


@dataclass(frozen=True)
class Run:
    """The experiments of a suite and what they left in results/experiments; nothing is read before it is asked for.

    `tables`: those of the suite that are built, by name; an absent one is a normal case.
    """

    root: Path
    experiments: Mapping[str, ExperimentConfig]
    tables: Mapping[str, pandas.DataFrame] = field(default_factory=dict)
    _read: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    def paths(self, experiment: str) -> ExperimentPaths:
        """Return where the artifacts of an experiment are, those of its classifier where `classifier_of` says."""
        return ExperimentPaths(self.root, experiment, self.experiments[experiment].classifier_of)

    def table(self, experiment: str, name: str) -> pandas.DataFrame:
        """Return the CSV artifact `ExperimentPaths.<name>`; raise `ArtifactError` when it is missing or damaged."""
        return self._once(experiment, name, lambda: read_table(self._file(experiment, name)))

    def rows(self, experiment: str, name: str) -> list[Row]:
        """Return the rows of the same artifact."""
        return records(self.table(experiment, name))

    def stacked(self, name: str) -> pandas.DataFrame:
        """Return that artifact of all experiments; raise `ArtifactError` when one is missing or damaged."""
        return stacked(self.table(each, name) for each in self.experiments)

    def rows_of_all(self, name: str, *columns: str) -> list[Row]:
        """Return the rows of that artifact of every experiment that has it; none when a column is missing."""
        having = [each for each in self.experiments if (each, name) in self._read or self._file(each, name).is_file()]
        frames = [self.table(each, name).assign(experiment=each) for each in having]
        return _rows_with(stacked(frames), columns) if frames else []

    def rows_of_suite(self, name: str, *columns: str) -> list[Row]:
        """Return the rows of a table of the suite; none when it is not built or a column is missing."""
        return _rows_with(self.tables[name], columns) if name in self.tables else []

    def published(self, name: str) -> pandas.DataFrame:
        """Return config/published/<name>.csv, sources spelled out."""
        return self._once(PUBLISHED, name, lambda: read_published(self.root, name))

    def main(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows of the main protocol: of the images on which an experiment's claims are measured."""
        return [row for row in rows if row["protocol"] == self.experiments[row["experiment"]].attfind.protocol]

    def protocol(self, experiment: str) -> str:
        """Return what a reader's text calls the main protocol of an experiment."""
        return PROTOCOLS[self.experiments[experiment].attfind.protocol]

    def latents(self, experiment: str) -> Latents:
        """Return the latents of an experiment; raise `ArtifactError` when they are missing or damaged."""
        return self._once(experiment, "latents", lambda: read_latents(self.paths(experiment).latents))

    def classifier(self, experiment: str) -> dict[str, Any]:
        """Return the metrics of the explained classifier; raise `ArtifactError` when there are none."""
        return read_json(self.paths(experiment).classifier.metrics)

    def giving(self, table: TableName) -> Run:
        """Return the same run with the experiments that have numbers for a table."""
        having = {name: config for name, config in self.experiments.items() if config.gives(table)}
        return replace(self, experiments=having)

    def with_tables(self, tables: Iterable[Table]) -> Run:
        """Return the same run with the tables of its suite."""
        return replace(self, tables={table.name: table.data for table in tables})

    def artifacts(self, experiment: str) -> list[str]:
        """Return `ARTIFACTS`, which every trained experiment has, and those of `OPTIONAL` that exist."""
        trained = self.experiments[experiment].runs("train")
        found = [name for name in ARTIFACTS if trained or name in RELEASED or self._file(experiment, name).is_file()]
        return found + [SHOWN_AS.get(name, name) for name in OPTIONAL if self._file(experiment, name).is_file()]

    def provenance(self, experiment: str, artifact: str) -> dict[str, str]:
        """Return {config_digest, seed, commit, uncommitted, device, machine, …, version_…} of one of `artifacts`."""
        paths = self.paths(experiment)
        if artifact == "classifier" and self.experiments[experiment].gives("classifiers"):
            return self.classifier(experiment)["provenance"]
        if artifact in ("classifier", "stylex"):  # a converted classifier was not measured here
            return _tensor_header({"classifier": paths.classifier.model, "stylex": paths.stylex_model}[artifact])
        if artifact in ("latents", "effects"):
            return _parquet_header({"latents": paths.latents, "effects": paths.effects()}[artifact])
        return read_json(self.files(experiment, artifact)[0].with_suffix(".provenance.json"))

    def files(self, experiment: str, artifact: str) -> list[Path]:
        """Return the files that hold one of `artifacts`."""
        paths = self.paths(experiment)
        match artifact:
            case "classifier" if self.experiments[experiment].gives("classifiers"):
                return [paths.classifier.metrics]
            case "classifier":
                return [paths.classifier.model]
            case "stylex":
                return [paths.stylex_model, *filter(Path.is_file, [paths.stylex_history])]
            case "effects":
                return paths.effects_shards(self.experiments[experiment].attfind.shards)
        file = next((name for name, shown in SHOWN_AS.items() if shown == artifact), artifact)
        return [self._file(experiment, file)]

    def _file(self, experiment: str, name: str) -> Path:
        return getattr(self.paths(experiment), name)

    def _once(self, of: str, name: str, read: Callable[[], Any]) -> Any:
        if (of, name) not in self._read:
            self._read[of, name] = read()
        return self._read[of, name]


def load_run(root: Path, suite: str) -> tuple[SuiteConfig, Run]:
    """Load a suite and its experiments, in its order; raise `ConfigError` when a file is wrong."""
    config = load_suite(root, suite)
    return config, Run(root, {name: load_experiment(root, name) for name in config.runs})


def stacked(frames: Iterable[pandas.DataFrame]) -> pandas.DataFrame:
    """Stack the frames of several experiments, even where a column is empty throughout one of them."""
    return pandas.concat([frame.astype(object) for frame in frames], ignore_index=True)


def records(frame: pandas.DataFrame) -> list[Row]:
    """Return the rows of a frame by the names of its columns."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _rows_with(frame: pandas.DataFrame, columns: Iterable[str]) -> list[Row]:
    return records(frame) if {*columns} <= {*frame.columns} else []


def grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows by the values of the keys, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def anchor(experiment: str, artifact: str) -> str:
    """Return the id, on the page, of the line that says where an artifact comes from.

    That of all lines of an experiment is `provenance:<experiment>`: no name has a colon, and there may be experiments
    `a` and `a-subset`.
    """
    return f"provenance-{experiment}-{artifact}"


def versions(provenance: dict[str, str]) -> str:
    """Write the package versions of one artifact as text."""
    packages = sorted(key for key in provenance if key.startswith(VERSION))  # a safetensors header has no order
    return ", ".join(f"{key.removeprefix(VERSION)} {provenance[key]}" for key in packages)


def _tensor_header(path: Path) -> dict[str, str]:
    try:
        with safe_open(require(path), "numpy") as file:
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and run its stage again") from None
    return {key: value for key, value in header.items() if not value.startswith("{")}  # without configuration


def _parquet_header(path: Path) -> dict[str, str]:
    with damage_reported(path):
        return json_metadata(pyarrow.parquet.read_schema(require(path)))["provenance"]
