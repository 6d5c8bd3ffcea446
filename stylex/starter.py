"""`stylex init`: the files of an experiment on a user's own images, with sizes and a budget measured on this machine.

It looks at the images, checks a classifier that is given, measures how fast this machine trains at each resolution, and
writes commented YAML: a dataset, a backbone, an oracle, an experiment and a suite of one name. Nothing is trained.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pandas
import torch
import yaml
from PIL import Image
from torch import Tensor

from stylex.artifacts import write_text
from stylex.classifiers import Classifier, FeatureBackbone
from stylex.classifiers.checks import check_classifier, chosen, failures
from stylex.classifiers.formats import read_metadata, source_of
from stylex.classifiers.frozen import NetworkDescription, Role
from stylex.classifiers.imported import read_imported, resolve
from stylex.classifiers.networks import ImageNetwork
from stylex.config import FineTuningConfig, ImportedClassifierConfig, load_backbone_config, load_experiment
from stylex.config.loading import keys_and_values
from stylex.config.reading import validated
from stylex.datasets.layouts.own import Tree, folders, table
from stylex.datasets.layouts.records import ImageRecord
from stylex.datasets.single import Preparation, read_squares
from stylex.errors import ConfigError, DatasetError
from stylex.precision import autocast_to
from stylex.quantization import from_uint8
from stylex.training.sampler import FrozenNetworks, RealBatch
from stylex.training.state import initial_state, training_dtype
from stylex.training.step import Step

NAME = re.compile(r"[^a-z0-9._-]+")
KINDS = ("datasets", "backbones", "oracles", "experiments", "suites")
SAMPLE = 400  # images whose headers are read
NAMED = 3  # images that a line names
RESERVE, RESERVED_PART = 240, 0.35  # seconds of a run that are not StylEx training, at least; and the part of all of it
EVENLY = 1000  # budgets are multiples of this
MOST = 400_000  # images: the presets have not been tried beyond
SMALL = 5000  # training images below which the discriminator sees augmented ones
MEASURED = 15.0  # seconds of training at one resolution
BATCH = 64  # images that are classified at a time


@dataclass(frozen=True)
class Preset:
    """A preset by its resolution, and the training images that we take as enough for it."""

    name: str
    resolution: int
    needed: int


# Largest first. 24,000 are enough for digits at 32x32 (docs/performance.md); twice as many at 64x64 are a guess.
PRESETS = (Preset("cpu-64", 64, 48_000), Preset("cpu-32", 32, 24_000))


@dataclass(frozen=True)
class Images:
    """What was found in a folder or a table of images."""

    place: Path
    table: Path | None
    class_names: tuple[str, ...]  # empty: nothing says what is on the images
    labels: tuple[int, ...]  # of each image, a position in class_names; empty likewise
    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    side: int  # the median of the smaller sides of a sample
    channels: int

    def lines(self) -> list[str]:
        """Return what to tell the user, a line each."""
        counts = Counter(self.labels)
        classes = [f"  {name}: {counts[position]} images" for position, name in enumerate(self.class_names)]
        return [f"{len(self.paths)} images in {self.place}", *classes, *(f"  {note}" for note in self.notes)]


def look_at(place: Path, labels: Path | None) -> Images:
    """Read the names of the images and the headers of a sample of them.

    place: one folder for each class, or, without classes, images in a folder. labels: a table with the columns path and
    label, whose paths are relative to it. Raises `DatasetError` for what cannot be a dataset.
    """
    if not place.is_dir():
        raise DatasetError(f"--images {place}: there is no such folder")
    if labels is not None and not labels.is_file():
        raise DatasetError(f"--labels {labels}: there is no such file")
    listing = None
    if labels is not None:
        listing = table(labels, None, None)
    elif any(each.is_dir() and not each.name.startswith(".") for each in place.iterdir()):
        listing = folders(place, None, None)
    records: Sequence[ImageRecord] = listing.records if listing else ()
    names = listing.class_names if listing else ()
    paths = tuple(record.path for record in records) or tuple(sorted(Tree(place).images_below(place)))
    if not paths:
        raise DatasetError(f"--images {place}: no image is there; put them into one folder per class")
    side, channels, notes = _headers(paths)
    of_images = tuple(record.label for record in records)
    every_note = (*(listing.notes if listing else ()), *notes)
    return Images(place, labels, names, of_images, paths, every_note, side, channels)


def _headers(paths: Sequence[Path]) -> tuple[int, int, list[str]]:
    """Return the median of the smaller sides of a sample, the channels that it needs, and what is odd about it."""
    sample = paths[:: max(1, len(paths) // SAMPLE)]
    sizes, unreadable, odd, coloured = [], [], Counter[str](), False
    for path in sample:
        try:
            with Image.open(path) as image:
                sizes.append(image.size)
                coloured |= image.mode not in ("1", "L", "I;16", "I", "F", "LA")
                odd["transparent"] += image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                odd["16 bits"] += image.mode.startswith("I")
                odd["not square"] += image.width != image.height
                odd["animated"] += getattr(image, "n_frames", 1) > 1
        except (OSError, SyntaxError, ValueError):
            unreadable.append(path)
    if not sizes:
        raise DatasetError(f"{paths[0]}: neither this image nor any other of {len(sample)} can be read")
    sides = sorted(min(size) for size in sizes)
    notes = [f"smaller sides of {len(sizes)} images: {sides[0]} to {sides[-1]} pixels, median {sides[len(sides) // 2]}"]
    notes += [f"{count} of {len(sizes)} are {what}" for what, count in odd.items() if count]
    if unreadable:
        named = ", ".join(map(str, unreadable[:NAMED]))
        notes.append(f"{len(unreadable)} of {len(sample)} cannot be read: {named}")
    return int(statistics.median(sides)), 3 if coloured else 1, notes


def suite_name(given: str | None, place: Path) -> str:
    """Return the name of the files to write, which the folder of images gives unless one is given."""
    name = given or NAME.sub("-", place.resolve().name.lower()).strip("-._")
    if NAME.search(name) or not name:
        raise ConfigError(f"--name {(given or place.name)!r}: lower-case letters, digits, '.', '_' and '-' make a name")
    return name


def files_of(root: Path, name: str) -> list[Path]:
    """Return the files of config/ that a name stands for, in the order of `KINDS`."""
    return [root / "config" / kind / f"{name}.yaml" for kind in KINDS]


def refuse_existing(root: Path, name: str) -> None:
    """Raise `ConfigError` when a file that would be written is there."""
    if there := [path for path in (*files_of(root, name), labels_table(root, name)) if path.exists()]:
        raise ConfigError(f"{there[0]} is there already: give another --name, or delete it and its like")


@dataclass(frozen=True)
class GivenClassifier:
    """A classifier of the user's own: the section `classifier` of the experiment, and what reads it."""

    root: Path
    section: dict[str, Any]
    config: ImportedClassifierConfig
    class_names: tuple[str, ...]  # of its outputs

    @classmethod
    def declared(cls, root: Path, file: str, declarations: Sequence[str], found: Images) -> Self:
        """Read what the file says of itself; declarations: `key=value` of the section, as `inputs.range=0..1`.

        Without names of the outputs, they are taken to be the classes of the images in alphabetical order. Raises
        `ConfigError` for what is declared wrongly, or not at all.
        """
        section = {"file": file} | keys_and_values(declarations, "--declare", "inputs.range=0..1")
        config = validated(ImportedClassifierConfig, section, Path("--classifier"))
        if config.classes is None and read_metadata(source_of(config, root))[0].classes is None and found.class_names:
            section["classes"] = list(found.class_names)
            config = validated(ImportedClassifierConfig, section, Path("--classifier"))
        return cls(root, section, config, resolve(config, root).declaration.classes)

    def read(self, found: Images, resolution: int, device: str) -> Classifier:
        """Return the classifier of images of that resolution."""
        names = found.class_names or self.class_names
        return read_imported(self.config, self.root, names, found.channels, resolution, device=device)[0]

    def check(self, found: Images, resolution: int, device: str) -> list[str]:
        """Return what `stylex check-classifier` says, a line each; raise `ConfigError` when a check fails."""
        rows = chosen(len(found.paths)).tolist()
        images = _read(found, resolution, [found.paths[row] for row in rows])
        labels = torch.tensor([found.labels[row] for row in rows]) if found.labels else None
        names = found.class_names or self.class_names
        checks = check_classifier(self.config, self.root, images, labels, names, device)
        if failed := failures(checks):
            raise ConfigError(f"--classifier {self.config.file}: {failed}")
        return [f"  {check.name}: {check.finding}" for check in checks]

    def label(self, found: Images, resolution: int, device: str, table: Path) -> Images:
        """Return the images with the classifier's decisions as labels, which `table` will hold."""
        classifier, decisions = self.read(found, resolution, device), []
        for start in range(0, len(found.paths), BATCH):
            images = _read(found, resolution, found.paths[start : start + BATCH]).to(device)
            with torch.no_grad():
                decisions += classifier(images).argmax(dim=1).tolist()
        decided = sorted(set(decisions))
        if len(decided) < 2:
            raise DatasetError(
                f"--images {found.place}: the classifier says '{self.class_names[decided[0]]}' of every image; add"
                " images that it decides otherwise"
            )
        names = tuple(self.class_names[label] for label in decided)
        labels = tuple(decided.index(label) for label in decisions)
        return replace(found, table=table, class_names=names, labels=labels)


def _read(found: Images, resolution: int, paths: Sequence[Path]) -> Tensor:
    """Return images, float [N, C, resolution, resolution] in [-1, 1]."""
    return from_uint8(read_squares(Preparation(found.channels, resolution), paths))


def labels_table(root: Path, name: str) -> Path:
    """Return the table of labels that is written where the classifier's decisions are the classes."""
    return root / "config" / "datasets" / f"{name}.csv"


@dataclass(frozen=True)
class Plan:
    """What is written: a preset and the images that it trains with in the time that there is."""

    preset: Preset
    images: int
    rate: float  # images a second, measured


def plan(root: Path, name: str, found: Images, minutes: float, device: str, given: GivenClassifier | None) -> Plan:
    """Measure how fast this machine trains, and return the largest resolution that becomes good in the minutes.

    Where none does: the smallest, with the images that the time allows.
    """
    seconds = max(60 * minutes - max(RESERVE, RESERVED_PART * 60 * minutes), 60.0)
    fitting = [preset for preset in PRESETS if preset.resolution <= found.side] or [PRESETS[-1]]
    chosen = None
    for preset in fitting:
        classifier = given.read(found, preset.resolution, device) if given else None
        rate = measured_rate(root, name, found, preset, device, classifier)
        images = int(min(rate * seconds, MOST)) // EVENLY * EVENLY
        chosen = Plan(preset, max(images, EVENLY), rate)
        if images >= preset.needed:
            break
    assert chosen is not None
    return chosen


def measured_rate(
    root: Path, name: str, found: Images, preset: Preset, device: str, classifier: Classifier | None
) -> float:
    """Return the images a second that a training of the preset takes here, on noise, with random weights.

    Of the time, half is an autoencoder's and half the whole step's, as the files say.
    """
    with TemporaryDirectory() as folder:
        trial = Path(folder)
        (trial / "config").mkdir()
        (trial / "config/presets").symlink_to((root / "config/presets").resolve())
        write(trial, name, found, Plan(preset, EVENLY, 0.0), 0, None)
        experiment, backbone = load_experiment(trial, name), load_backbone_config(trial, name)
    config, names = experiment.stylex, classifier.class_names if classifier else found.class_names

    def random_network(role: Role, options: FineTuningConfig) -> tuple[ImageNetwork, NetworkDescription]:
        described = NetworkDescription.of(role, name, options, found.channels, preset.resolution, names)
        return described.build(), described

    if classifier is None:
        assert isinstance(experiment.classifier, FineTuningConfig), "the preset's, which is trained"
        classifier = Classifier(*random_network("classifier", experiment.classifier)).to(device)
    features = FeatureBackbone(*random_network("backbone", backbone)).to(device)
    frozen = FrozenNetworks(classifier, features, training_dtype(config.training, device))
    state = initial_state(config, preset.resolution, found.channels, len(names), 0, device)
    size = (config.training.batch_size, found.channels, preset.resolution, preset.resolution)
    images = torch.rand(size, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
    with torch.no_grad(), autocast_to(frozen.dtype, device):
        reals = RealBatch(images, classifier(images), frozen.perceptual.features(images))
    seconds = 0.0
    for begin in (0, config.training.autoencoder_images):  # of the two kinds of steps
        state.images = begin
        Step(state, config, frozen, reals).run()  # warms up
        steps, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < MEASURED / 2 or steps % config.losses.r1_interval:
            state.images = begin
            Step(state, config, frozen, reals).run()
            steps += 1
        seconds += spent / steps / 2
    return config.training.batch_size / seconds


def write(root: Path, name: str, found: Images, plan: Plan, minutes: float, classifier: dict[str, Any] | None) -> None:
    """Write the five files; classifier: the section of one that is given, else one is trained.

    Labels that nobody has given are written, too.
    """
    if found.table == (table := labels_table(root, name)):
        rows = zip(
            (str(path.resolve()) for path in found.paths), (found.class_names[i] for i in found.labels), strict=True
        )
        write_text(table, pandas.DataFrame(rows, columns=["path", "label"]).to_csv(index=False))
    for path, text in zip(files_of(root, name), _texts(name, found, plan, minutes, classifier), strict=True):
        write_text(path, text)


def _texts(
    name: str, found: Images, plan: Plan, minutes: float, classifier: dict[str, Any] | None
) -> tuple[str, str, str, str, str]:
    quoted = partial(json.dumps, ensure_ascii=False)  # a text of JSON is one of YAML
    size, needed, title = plan.preset.resolution, plan.preset.needed, quoted(found.place.resolve().name)
    where = f"layout: folders\nfolder: {quoted(str(found.place))}"
    if found.table:
        where = f"layout: table\ncsv: {quoted(str(found.table))}"
    kinds = "RGB" if found.channels == 3 else "grey"
    dataset = f"""\
# The images, as `stylex init` found them (docs/datasets.md; `stylex keys --file dataset` explains every key).
title: {title}
{where}
licence: "not stated"  # is printed in the report
channels: {found.channels}  # {kinds}
classes: {quoted(list(found.class_names))}
max_unreadable: {len(found.paths) // 100}  # images that may be left out because they cannot be read
"""
    backbone = f"""\
# Trained on the images: features for the perceptual loss and the Fréchet distance. It never sees the classifier.
extends: backbone-32
dataset: {name}
resolution: {size}
"""
    oracle = f"""\
# An independent classifier of the same classes: is asked what counterfactuals show, and takes part in nothing else.
extends: oracle-32
dataset: {name}
resolution: {size}
stem: small  # the preset halves the resolution first, which costs accuracy on a small set
"""
    explained = "classifier:\n  min_accuracy: 0.6  # balanced, on validation images; below it the run stops\n"
    if classifier is not None:
        explained = "# Yours: loaded, checked and explained as it is, never trained (docs/classifiers.md).\n"
        explained += yaml.safe_dump({"classifier": classifier}, sort_keys=False, allow_unicode=True)
    augment = "[translation, cutout]" if len(found.paths) < SMALL else "[]"
    experiment = f"""\
# What does the classifier look at? `stylex keys` explains every key; what is not here is in
# config/presets/{plan.preset.name}.yaml.
extends: {plan.preset.name}
title: {title}
domain: {title}
dataset:
  name: {name}
{explained}\
stylex:
  perceptual_backbone: {name}
  training:
    # For {minutes:g} minutes in all: this machine does {plan.rate:.0f} per second. We take {needed} as enough.
    images: {plan.images}
    autoencoder_images: {plan.images // 2}
    checkpoint_interval: {max(plan.images // 10, EVENLY)}
    sample_interval: {max(plan.images // 10, EVENLY)}
    augment: {augment}  # of what the discriminator sees: for fewer than {SMALL} images
attfind:
  # Twice the median margin of the classifier's decisions: hardly any single move explains an image.
  threshold_margins: 2.0
  protocols: [held_out]
evaluation:
  oracle: {name}
"""
    suite = f"""\
# Run it: snakemake --cores 2 --config suite={name}
title: {title}
experiments:
  - {name}
tables:
  - classifiers
  - samples
  - sufficiency
  - subset
  - frechet
  - counterfactuals
"""
    return dataset, backbone, oracle, experiment, suite
