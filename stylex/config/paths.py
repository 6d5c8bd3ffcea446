"""Where every artifact lives, relative to the project's root (architecture: files are the interfaces)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

# Folders of results/ that no suite has for itself.
SHARED = ("backbones", "benchmarks", "experiments", "logs", "oracles", "published", "regressors")


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

    @property
    def model(self) -> Path:
        """Weights, with the architecture in the header."""
        return self.folder / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """What it achieves on the test split: accuracy and confusion matrix, or R² of each factor."""
        return self.folder / "metrics.json"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.folder / "history.csv"


@dataclass(frozen=True)
class ExperimentPaths:
    """results/experiments/<experiment>."""

    root: Path
    name: str
    classifier_of: str | None = None
    """The experiment whose classifier is explained; None: its own. `stylex.config.experiment_paths` fills it in."""
    aside: str | None = None
    """The protocol whose search these are the files of; None: the main one. `under` fills it in."""

    def under(self, protocol: str, main: str) -> ExperimentPaths:
        """Return the same paths, those of AttFind under a protocol of the experiment, whose main one is `main`."""
        return replace(self, aside=None if protocol == main else protocol)

    @property
    def folder(self) -> Path:
        """Everything this experiment wrote."""
        return self._folder(self.name)

    def _folder(self, name: str) -> Path:
        return self.root / "results" / "experiments" / name

    @property
    def classifier(self) -> NetworkPaths:
        """The explained classifier."""
        return NetworkPaths(self._folder(self.classifier_of or self.name) / "classifier")

    @property
    def stylex_model(self) -> Path:
        """EMA weights of encoder, mapping and synthesis; discriminator; fixed noise."""
        return self.folder / "stylex" / "model.safetensors"

    @property
    def stylex_history(self) -> Path:
        """Loss terms and periodic measurements."""
        return self.folder / "stylex" / "history.csv"

    @property
    def stylex_samples(self) -> Path:
        """Grid of originals, reconstructions and samples."""
        return self.folder / "stylex" / "samples.png"

    @property
    def diagnosis(self) -> Path:
        """Which parts of the trained model have failed, and by which number."""
        return self.folder / "diagnosis.csv"

    @property
    def checkpoints(self) -> Path:
        """Resumable training state; never a declared output of a rule."""
        return self.folder / "stylex" / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The history as event files, where asked for; no output of a rule either."""
        return self.folder / "stylex" / "tensorboard"

    @property
    def latents(self) -> Path:
        """One row an analysed image."""
        return self.folder / "latents.parquet"

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

    @property
    def samples(self) -> Path:
        """Of which classes the generator makes images."""
        return self.folder / "samples.csv"

    @property
    def sufficiency(self) -> Path:
        """Fraction of flipped decisions."""
        return self.folder / "sufficiency.csv"

    @property
    def flips(self) -> Path:
        """After how many attributes each image flips."""
        return self.folder / "flips.csv"

    @property
    def random_flips(self) -> Path:
        """The same with random moves behind the first attribute."""
        return self.folder / "random_flips.csv"

    @property
    def frechet(self) -> Path:
        """Fréchet distance against the number of attributes."""
        return self.folder / "frechet.csv"

    @property
    def counterfactuals(self) -> Path:
        """What the counterfactuals of each method are worth."""
        return self.folder / "counterfactuals.csv"

    @property
    def counterfactual_images(self) -> Path:
        """The same of each image."""
        return self.folder / "counterfactual_images.csv"

    @property
    def factors(self) -> Path:
        """The known factors that each attribute moves."""
        return self.folder / "factors.csv"

    @property
    def factor_fit(self) -> Path:
        """How well the known factors are told from the images and from their reconstructions."""
        return self.folder / "factor_fit.csv"

    @property
    def maps(self) -> Path:
        """Where each of the top attributes changes the images: a map an attribute."""
        return self.folder / "attribute_maps.safetensors"

    @property
    def map_numbers(self) -> Path:
        """What these maps are in a few numbers."""
        return self.folder / "attribute_maps.csv"

    @property
    def ganalyze(self) -> Path:
        """The single direction in W that the figures compare with."""
        return self.folder / "ganalyze.safetensors"

    @property
    def independent(self) -> Path:
        """Explanations of single images: the coordinates with the largest effects."""
        return self.folder / "independent.csv"

    @property
    def subset(self) -> Path:
        """Explanations of single images: a greedy search for a flip."""
        return self.folder / "subset.csv"

    @property
    def study_page(self) -> Path:
        """The questionnaire of the user study."""
        return self.folder / "study" / "index.html"

    @property
    def study_key(self) -> Path:
        """Its questions and their right answers, for those who analyse."""
        return self.folder / "study" / "key.csv"

    @property
    def study_people(self) -> Path:
        """What participants answered, once there are some; no output of a rule."""
        return self.folder / "study" / "people.csv"

    @property
    def observer(self) -> Path:
        """What the machine observer answered."""
        return self.folder / "observer.csv"


@dataclass(frozen=True)
class SuitePaths:
    """results/<suite>."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """Tables, figures and the report."""
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

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.folder / "index.html"


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
