"""Where every artifact lives, relative to the project's root (architecture: files are the interfaces)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

# Folders of results/ that no suite has for itself.
SHARED = ("backbones", "benchmarks", "experiments", "logs", "oracles", "published", "regressors")


class _HasFolder(Protocol):
    @property
    def folder(self) -> Path: ...


class At:
    """An attribute that is a path: a fixed place in its owner's `folder`."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, owner: _HasFolder, kind: type) -> Path:
        """Return the path."""
        return owner.folder / self.place


@dataclass(frozen=True)
class DatasetPaths:
    """data/raw/<dataset> and data/processed/<dataset>/<resolution>."""

    root: Path
    name: str

    @property
    def raw(self) -> Path:
        """Folder of verified downloads."""
        return self.root / "data" / "raw" / self.name

    def processed(self, resolution: int) -> Path:
        """Folder of the prepared Arrow shards."""
        return self.root / "data" / "processed" / self.name / str(resolution)

    def manifest(self, resolution: int) -> Path:
        """Return the file of counts, classes, checksums, provenance and licence of the prepared images."""
        return self.processed(resolution) / "manifest.json"

    def factors(self, resolution: int) -> Path:
        """Return the file of the known factors of every image, of a drawn dataset; the manifest has its checksum."""
        return self.processed(resolution) / "factors.parquet"


@dataclass(frozen=True)
class NetworkPaths:
    """The files of one trained classifier, backbone, oracle or regressor."""

    folder: Path

    model = At("model.safetensors")  # weights, with the architecture in the header
    metrics = At("metrics.json")  # on the test split: accuracy and confusion matrix, or R² of each factor
    history = At("history.csv")  # one row per epoch


@dataclass(frozen=True)
class ExperimentPaths:
    """results/experiments/<experiment>."""

    root: Path
    name: str
    classifier_of: str | None = None
    """The experiment whose classifier is explained; None: its own. `stylex.config.experiment_paths` fills it in."""
    aside: str | None = None
    """The protocol whose search these are the files of; None: the main one. `under` fills it in."""

    stylex_model = At("stylex/model.safetensors")  # EMA weights of E, M and synthesis; discriminator; fixed noise
    stylex_history = At("stylex/history.csv")  # loss terms and periodic measurements
    stylex_samples = At("stylex/samples.png")  # originals, reconstructions and samples
    checkpoints = At("stylex/checkpoints")  # resumable training state; never a declared output of a rule
    tensorboard = At("stylex/tensorboard")  # the history as event files, where asked for; no output of a rule either
    diagnosis = At("diagnosis.csv")  # which parts of the trained model have failed, and by which number
    latents = At("latents.parquet")  # one row per analysed image
    samples = At("samples.csv")  # of which classes the generator makes images
    sufficiency = At("sufficiency.csv")  # fraction of flipped decisions
    flips = At("flips.csv")  # after how many attributes each image flips
    random_flips = At("random_flips.csv")  # the same with random moves behind the first attribute
    frechet = At("frechet.csv")  # Fréchet distance against the number of attributes
    counterfactuals = At("counterfactuals.csv")  # quality of the counterfactuals of each method
    counterfactual_images = At("counterfactual_images.csv")  # the same of each image
    factors = At("factors.csv")  # the known factors that each attribute moves
    factor_fit = At("factor_fit.csv")  # how well these are told from the images and from their reconstructions
    maps = At("attribute_maps.safetensors")  # where each of the top attributes changes the images
    map_numbers = At("attribute_maps.csv")  # these maps in a few numbers
    ganalyze = At("ganalyze.safetensors")  # the single direction in W that the figures compare with
    independent = At("independent.csv")  # explanations of single images: the coordinates with the largest effects
    subset = At("subset.csv")  # explanations of single images: a greedy search for a flip
    study_page = At("study/index.html")  # the questionnaire of the user study
    study_key = At("study/key.csv")  # its questions and their right answers, for those who analyse
    study_people = At("study/people.csv")  # what participants answered, once there are some; no output of a rule
    names = At("names.json")  # what people call the attributes, once they do (`stylex names`); no output of a rule
    observer = At("observer.csv")  # what the machine observer answered

    def under(self, protocol: str, main: str) -> ExperimentPaths:
        """Return the same paths, those of AttFind under a protocol of the experiment, whose main one is `main`."""
        return replace(self, aside=None if protocol == main else protocol)

    @property
    def folder(self) -> Path:
        """Everything this experiment wrote."""
        return self.root / "results" / "experiments" / self.name

    @property
    def classifier(self) -> NetworkPaths:
        """The explained classifier."""
        return NetworkPaths(self.folder.with_name(self.classifier_of or self.name) / "classifier")

    def encoded(self, shard: int) -> Path:
        """Return the file of one part of the latents, where several jobs encode."""
        return self.folder / "latents" / f"{shard:05d}.parquet"

    @property
    def attfind(self) -> Path:
        """What AttFind measured and selected; by a protocol beside the main one, in a folder of its name."""
        return self.folder / "attfind" / (self.aside or "")

    def effects(self, shard: int = 0) -> Path:
        """Return the file of one shard of the effects of every coordinate on the searched images."""
        return self.attfind / f"effects-{shard:05d}.parquet"

    def effects_shards(self, count: int) -> list[Path]:
        """Return the files of all shards, in the order of the images."""
        return [self.effects(shard) for shard in range(count)]

    @property
    def attributes(self) -> Path:
        """The selected coordinates."""
        return self.attfind / "attributes.csv"

    @property
    def wu_2021(self) -> Path:
        """The coordinates that Wu et al. would select; of experiments without classifier-specific training."""
        return self.attfind / "wu_2021.csv"

    def attribute_lists(self, method: str) -> dict[str, Path]:
        """Return the lists of attributes by method; `method` is what `ExperimentConfig.method` says."""
        return {method: self.attributes} | ({"wu_2021": self.wu_2021} if method == "without_cst" else {})


@dataclass(frozen=True)
class SuitePaths:
    """results/<suite>: tables, figures and the report."""

    root: Path
    name: str

    report = At("index.html")  # the page, which refers to the figures beside it
    claims = At("claims.csv")  # the verdicts that the page shows
    bundle = At("report.html")  # the same in one file, where asked for; no output of a rule

    @property
    def folder(self) -> Path:
        """Everything that is made of the suite as a whole."""
        return self.root / "results" / self.name

    def table(self, name: str, suffix: str) -> Path:
        """Return the file of a table as csv, md or tex."""
        return self.folder / "tables" / f"{name}.{suffix}"

    def metrics(self, experiment: str) -> Path:
        """Return the file of an experiment's main numbers, for `dvc metrics`."""
        return self.folder / "metrics" / f"{experiment}.json"

    def figure(self, experiment: str, name: str, suffix: str) -> Path:
        """Return the file of a figure of one experiment as png or pdf."""
        return self.folder / "figures" / f"{experiment}-{name}.{suffix}"


@dataclass(frozen=True)
class GalleryPaths:
    """results/<suite>/gallery, a folder that is complete in itself."""

    root: Path
    suite: str

    page = At("index.html")

    @property
    def folder(self) -> Path:
        """Everything that the gallery shows."""
        return SuitePaths(self.root, self.suite).folder / "gallery"

    def frames(self, experiment: str) -> Path:
        """Return the file of an experiment's frames, a script that the page loads."""
        return self.folder / f"{experiment}.js"

    def numbers(self, experiment: str) -> Path:
        """Return the table of what the classifier says of each frame."""
        return self.folder / f"{experiment}.csv"


def weights_path(root: Path, name: str, given: str | None = None) -> Path:
    """Return the file of published weights: `given` (in the project's root, or absolute), else data/weights."""
    return root / given if given else root / "data" / "weights" / f"{name}.pth"


def released_folder(root: Path) -> Path:
    """data/weights/explaining-in-style: what the authors of StylEx released, as fetched and unpacked."""
    return root / "data" / "weights" / "explaining-in-style"


def backbone_paths(root: Path, name: str) -> NetworkPaths:
    """results/backbones/<backbone>, shared by the experiments that name it."""
    return NetworkPaths(root / "results" / "backbones" / name)


def oracle_paths(root: Path, name: str) -> NetworkPaths:
    """results/oracles/<oracle>, shared by the experiments that name it."""
    return NetworkPaths(root / "results" / "oracles" / name)


def regressor_paths(root: Path, name: str) -> NetworkPaths:
    """results/regressors/<regressor>, shared by the experiments that name it."""
    return NetworkPaths(root / "results" / "regressors" / name)


def recomputed_user_study(root: Path) -> Path:
    """Return the file of what the replications' raw answers give, if they were downloaded; no output of a rule."""
    return root / "results" / "published" / "user_study.csv"
