"""An export: a folder that explains images without the project around it, and `Source`, what is read from one.

    explainer.json          `Description`: format, classes, preparation of images, attributes, quality, digests
    stylex.safetensors      encoder, mapping, synthesis and its noise maps; `extremes` [2, K] of the style coordinates
    classifier.safetensors  the explained classifier's file as it is
    examples/               some of the analysed images, as they were analysed
    README.md               the model card, made of explainer.json

A project's experiment is the same `Source`, read from its own files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from stylex.artifacts import (
    atomic_folder,
    atomic_path,
    load_tensors,
    provenance,
    read_json,
    read_table,
    save_tensors,
    sha256,
    write_json,
    write_text,
)
from stylex.attfind.explanations import first_of_each_class
from stylex.attfind.records import Attribute, Direction, read_attributes
from stylex.classifiers import Classifier, load_classifier
from stylex.classifiers.imported import names_code
from stylex.config import ExperimentConfig, ExperimentPaths, experiment_paths, load_experiment
from stylex.config.base import Precision, Protocol, Section
from stylex.config.datasets import Colour
from stylex.datasets import dataset_spec, load_split, read_files
from stylex.datasets.images import Rendering
from stylex.datasets.single import Preparation, read_squares
from stylex.diagnosis.verdicts import Finding, sentences
from stylex.errors import ArtifactError, ConfigError
from stylex.latents.table import Latents, read_latents
from stylex.names import read_names
from stylex.networks.model import StylexNetworks, load_stylex, shape_header, stylex_of

FORMAT = 1
DESCRIPTION, MODEL, CLASSIFIER, CARD = "explainer.json", "stylex.safetensors", "classifier.safetensors", "README.md"
EXAMPLES, EXAMPLE_COUNT = "examples", 8
EXTREMES = "extremes"  # the tensor
DAMAGED = "export it again, or take it back from where it came"
CARD_K = (1, 10)  # numbers of attributes whose flipped fractions are in the card


class Images(Section):
    """How a file becomes an image of the networks: `Preparation`."""

    channels: Literal[1, 3]
    resolution: int
    margin: bool
    background: Colour
    white_level: int | None

    @classmethod
    def of(cls, preparation: Preparation) -> Images:
        """Return what an export says of a preparation."""
        same = {key: getattr(preparation, key) for key in ("channels", "resolution", "margin")}
        return cls.model_validate(same | preparation.rendering._asdict())

    def preparation(self) -> Preparation:
        """Return the same for `read_squares`."""
        return Preparation(self.channels, self.resolution, self.margin, Rendering(self.background, self.white_level))


class Options(Section):
    """How coordinates are moved and searched, as the experiment's `attfind` and `evaluation` say."""

    shift: float
    protocol: Protocol
    precision: Precision
    batch_size: int
    steps: int  # at most so many for one image

    @classmethod
    def of(cls, config: ExperimentConfig) -> Options:
        """Return those of an experiment."""
        options, steps = config.attfind, config.evaluation.explanation_steps
        same = {key: getattr(options, key) for key in ("shift", "protocol", "precision", "batch_size")}
        return cls(steps=steps, **same)


class AttributeRow(Section):
    """A row of attributes.csv."""

    target_class: str
    rank: int
    style_index: int
    layer: int
    channel: int
    direction: Literal["to_min", "to_max"]
    mean_effect: float | None  # logits
    images_explained: int | None
    name: str = ""  # what people call it

    @classmethod
    def of(cls, attribute: Attribute, name: str) -> AttributeRow:
        """Return the row of an attribute."""
        effect = None if attribute.mean_effect != attribute.mean_effect else attribute.mean_effect
        return cls(**asdict(attribute) | {"direction": attribute.direction.label, "mean_effect": effect, "name": name})

    def attribute(self) -> Attribute:
        """Return the attribute of the row."""
        effect = float("nan") if self.mean_effect is None else self.mean_effect
        direction = Direction[self.direction.upper()]
        return Attribute(**self.model_dump(exclude={"name"}) | {"direction": direction, "mean_effect": effect})


class Measure(Section):
    """A number that was measured of the networks."""

    measure: str
    value: float
    n: int  # images
    seed: int
    target_class: str | None = None
    k: int | None = None  # attributes moved
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    limit: float | None = None  # of the diagnosis
    verdict: str | None = None


class Example(Section):
    """An image in `examples/`."""

    file: str
    id: str
    label: str


class Data(Section):
    """What the networks were trained on."""

    dataset: str
    title: str
    licence: str
    split: str  # of the analysed images
    analysed: int


class Weights(Section):
    """The sha256 of the weights."""

    stylex: str
    classifier: str

    def by_file(self) -> dict[str, str]:
        """Return them by the names of the files."""
        return {MODEL: self.stylex, CLASSIFIER: self.classifier}


class Description(Section):
    """explainer.json."""

    format: int
    name: str  # of the experiment
    title: str
    class_names: tuple[str, ...]
    images: Images
    options: Options
    attributes: list[AttributeRow]
    quality: list[Measure]
    data: Data
    examples: list[Example]
    sha256: Weights
    config_digest: str
    seed: int
    provenance: dict[str, str]


@dataclass(frozen=True)
class Source:
    """What explains images: the networks of an export or of an experiment, and how images reach them."""

    name: str
    class_names: tuple[str, ...]
    networks: StylexNetworks
    classifier: Classifier
    extremes: Tensor  # [2, K]: minima, maxima
    options: Options
    config_digest: str
    seed: int
    read: Callable[[Sequence[Path]], Tensor]  # files -> uint8 [N, C, H, W]
    attributes: Callable[[], list[Attribute]]
    names: Callable[[], dict[int, str]]  # by style index: what people call attributes


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, by its description."""
    return (folder / DESCRIPTION).is_file()


def read_experiment(root: Path, name: str, device: str) -> Source:
    """Read a project's experiment; raise `ArtifactError` when it is not trained and encoded, or damaged."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    networks = load_stylex(paths.stylex_model, device)
    if config.runs("train"):
        read = partial(read_files, root, config.dataset)
    else:  # a released model, whose dataset is not here
        read = partial(read_squares, Preparation(networks.image_channels, config.dataset.resolution))
    return Source(
        name, latents.class_names, networks, load_classifier(paths.classifier.model, device), latents.extremes,
        Options.of(config), config.digest(), config.seed, read, partial(_attributes, paths.attributes),
        partial(_names, paths),
    )  # fmt: skip


def read_export(folder: Path, device: str) -> Source:
    """Read an export; raise `ArtifactError` when it is of a newer version, damaged, or has other weights."""
    description = read_description(folder)
    for name, digest in description.sha256.by_file().items():
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; {DAMAGED}")
        if sha256(folder / name) != digest:
            raise ArtifactError(f"{folder / name} is not the file that {DESCRIPTION} names, by its sha256; {DAMAGED}")
    if names_code(folder / CLASSIFIER):
        raise ArtifactError(f"{folder / CLASSIFIER} names Python code in place of a network, and is not opened")
    tensors, header = load_tensors(folder / MODEL, DAMAGED)
    if EXTREMES not in tensors:
        raise ArtifactError(f"{folder / MODEL} has no {EXTREMES}; {DAMAGED}")
    extremes = tensors.pop(EXTREMES)
    networks = stylex_of(folder / MODEL, tensors, header, device, DAMAGED)
    return Source(
        description.name, description.class_names, networks, load_classifier(folder / CLASSIFIER, device), extremes,
        description.options, description.config_digest, description.seed,
        partial(read_squares, description.images.preparation()),
        lambda: [row.attribute() for row in description.attributes],
        lambda: {row.style_index: row.name for row in description.attributes if row.name},
    )  # fmt: skip


def read_description(folder: Path) -> Description:
    """Read explainer.json; raise `ArtifactError` when it is of a newer version or damaged."""
    path = folder / DESCRIPTION
    content = read_json(path, DAMAGED)
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise ArtifactError(f"{path} is of format {found}, this version of stylex reads {FORMAT}; install a newer one")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "content"
        raise ArtifactError(f"{path} is damaged ({place}: {first['msg']}); {DAMAGED}") from None


def export(root: Path, name: str, output: Path | None = None) -> Path:
    """Write the export of an experiment, in place of an earlier one; return its folder.

    output: default results/experiments/<name>/export. Raises `ArtifactError` when a stage has not run, `ConfigError`
    when the experiment is a released model, or something else is at `output`.
    """
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    if not config.runs("train"):
        raise ConfigError(f"experiment '{name}' is a released model, which is not ours to pass on; nothing is exported")
    folder = output or paths.folder / "export"
    check_output(folder)
    check_stages(name, config, paths)
    if names_code(paths.classifier.model):
        raise ConfigError(
            f"experiment '{name}': its classifier is a function of a module, which no folder can hold; save the network"
            " with torch.export and name that file in classifier.file"
        )
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    networks = load_stylex(paths.stylex_model)
    del networks.discriminator  # it trains the others, and explains nothing
    with atomic_folder(Path(os.path.realpath(folder))) as new:
        tensors, header = networks.state_dict() | {EXTREMES: latents.extremes}, shape_header(networks)
        save_tensors(new / MODEL, tensors, header)
        with atomic_path(new / CLASSIFIER) as temporary:
            shutil.copyfile(paths.classifier.model, temporary)
        examples = write_examples(root, config, latents, new / EXAMPLES)
        digests = Weights(stylex=sha256(new / MODEL), classifier=sha256(new / CLASSIFIER))
        description = describe(root, name, config, paths, latents, examples, digests)
        write_json(new / DESCRIPTION, description.model_dump(mode="json"))
        write_text(new / CARD, card(description, networks))
    return folder


def check_output(folder: Path) -> None:
    """Raise `ConfigError` unless `folder` is free, or holds an export and nothing else."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not is_export(folder):
        raise ConfigError(f"--output {folder}: something is there that is no export; name another folder")
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if not path.is_dir())
    ours = {Path(file) for file in (DESCRIPTION, MODEL, CLASSIFIER, CARD)}
    foreign = [file for file in files if file not in ours and (file.parent, file.suffix) != (Path(EXAMPLES), ".png")]
    if foreign:
        raise ConfigError(f"--output {folder}: {foreign[0]} is no part of the export that is there; move it elsewhere")


def check_stages(name: str, config: ExperimentConfig, paths: ExperimentPaths) -> None:
    """Raise `ArtifactError`, with the commands to run, when a file that an export needs is missing."""
    needed = {
        f"classifier {config.classifier_of or name}": [paths.classifier.model],
        f"train {name}": [paths.stylex_model],
        f"encode {name}": [paths.latents],
        f"effects {name}": [] if paths.attributes.is_file() else paths.effects_shards(config.attfind.shards),
        f"attributes {name}": [paths.attributes],
        f"diagnose {name}": [paths.diagnosis],
        f"sufficiency {name}": [paths.sufficiency],
    }
    missing = [f"`stylex {verb}`" for verb, files in needed.items() if not all(file.is_file() for file in files)]
    if missing:
        raise ArtifactError(f"experiment '{name}' is not ready to be exported; run {', '.join(missing)} first")


def describe(
    root: Path, name: str, config: ExperimentConfig, paths: ExperimentPaths, latents: Latents,
    examples: list[Example], digests: Weights,
) -> Description:  # fmt: skip
    """Return explainer.json of an experiment."""
    spec, preparation = dataset_spec(root, config.dataset.name), Preparation.of(root, config.dataset)
    origin, names = provenance(config.digest(), config.seed), _names(paths)
    return Description(
        format=FORMAT, name=name, title=config.title, class_names=latents.class_names,
        images=Images.of(preparation),
        options=Options.of(config),
        attributes=[AttributeRow.of(each, names.get(each.style_index, "")) for each in _attributes(paths.attributes)],
        quality=measured(config, paths, latents),
        data=Data(
            dataset=spec.name, title=spec.title, licence=spec.licence, split=config.attfind.split,
            analysed=len(latents.ids),
        ),
        examples=examples, sha256=digests, config_digest=config.digest(), seed=config.seed,
        provenance=origin | {"stylex_sha256": sha256(paths.stylex_model)},
    )  # fmt: skip


def _attributes(path: Path) -> list[Attribute]:
    return [attribute for found in read_attributes(path).values() for attribute in found]


def _names(paths: ExperimentPaths) -> dict[int, str]:
    found = read_names(paths.names, sha256(paths.stylex_model))
    return {index: name.text for index, name in found.items() if name.text}


def write_examples(root: Path, config: ExperimentConfig, latents: Latents, folder: Path) -> list[Example]:
    """Write the first of the measured images, evenly over the classes, as PNG."""
    from PIL import Image

    split = load_split(root, config.dataset, config.attfind.split)
    places = {identity: place for place, identity in enumerate(split.ids)}
    rows = torch.nonzero(latents.measured).flatten()
    rows = rows[first_of_each_class(latents.labels[rows], EXAMPLE_COUNT)].tolist()
    examples = []
    for number, row in enumerate(rows):
        identity, label = latents.ids[row], latents.class_names[int(latents.labels[row])]
        if identity not in places:
            raise ArtifactError(f"image '{identity}' of latents.parquet is not in the dataset; run encode again")
        pixels = split.raw(torch.tensor([places[identity]]))[0].permute(1, 2, 0).numpy()
        file = f"{number}.png"
        with atomic_path(folder / file) as temporary:
            Image.fromarray(pixels.squeeze()).save(temporary, format="PNG")
        examples.append(Example(file=f"{EXAMPLES}/{file}", id=identity, label=label))
    return examples


def measured(config: ExperimentConfig, paths: ExperimentPaths, latents: Latents) -> list[Measure]:
    """Return the numbers that the stages have measured; without an oracle, there is none of its answers."""
    seed, found = config.seed, list[Measure]()
    if paths.classifier.metrics.is_file():  # of a classifier that was not trained here there need be none
        metrics = read_json(paths.classifier.metrics)
        for key in ("accuracy", "balanced_accuracy"):
            found.append(Measure(measure=f"classifier_{key}", value=metrics[key], n=metrics["n"], seed=seed))
    error = float(latents.reconstruction_l1[latents.measured].mean())
    found.append(Measure(measure="reconstruction_l1", value=error, n=int(latents.measured.sum()), seed=seed))
    for row in _rows(paths.sufficiency, config):
        columns = {key: row[key] for key in ("target_class", "k", "n", "seed", "low", "high")}
        found.append(Measure(measure="flipped", value=row["fraction"], **columns))
    for row in _rows(paths.counterfactuals, config) if paths.counterfactuals.is_file() else ():
        if row["n"] and row.get("agreement") is not None:
            interval = {"low": row["agreement_low"], "high": row["agreement_high"]}
            columns = {key: row[key] for key in ("target_class", "n", "seed")} | interval
            found.append(Measure(measure="flipped_and_agreed", value=row["agreement"], **columns))
    for row in _records(paths.diagnosis):
        columns = {key: row[key] for key in ("measure", "value", "limit", "verdict", "n", "seed")}
        found.append(Measure(**columns))
    return found


def _rows(path: Path, config: ExperimentConfig) -> list[dict[str, Any]]:
    """Return the rows of AttFind's own list by the main protocol."""
    wanted = (config.method, config.attfind.protocol.value)
    return [row for row in _records(path) if (row["method"], row["protocol"]) == wanted]


def _records(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table; None where a number is missing."""
    frame = read_table(path)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


MEASURES = {
    "classifier_accuracy": "accuracy of the classifier on the test split",
    "classifier_balanced_accuracy": "the same, mean over the classes",
    "reconstruction_l1": "error of a reconstruction: mean |x' - x| of pixels in [-1, 1]",
    "flipped": "flipped decisions, at most {k} of the attributes moved",
    "flipped_and_agreed": "images that flip and that an independent classifier gives to the target class, too",
}


def card(description: Description, networks: StylexNetworks) -> str:
    """Return README.md, the model card."""
    names, images = description.class_names, description.images
    colour = "grey" if images.channels == 1 else "colour"
    findings = [Finding(row.measure, row.value, row.limit) for row in description.quality if row.limit is not None]
    diagnosis = "\n".join(f"- {sentence}" for sentence in sentences(findings))
    shown = [row for row in description.quality if row.verdict is None and row.k in (None, *CARD_K)]
    rows = [f"| {_cell(_meaning(row))} | {_cell(row.target_class or '')} | {_value(row)} | {row.n} |" for row in shown]
    table = "\n".join(rows)
    digests = "\n".join(f"- `{file}`: sha256 {digest}" for file, digest in description.sha256.by_file().items())
    margin = "; one of 28x28 pixels gets a margin of 2" if images.margin else ""
    commit, data, options = description.provenance["commit"], description.data, description.options
    return f"""\
# {description.title}

A StylEx model of the experiment `{description.name}`. It explains one image classifier of the classes
{", ".join(names)}: which style coordinates of a generated image turn the classifier's decision, and what the image
then looks like.

```sh
stylex explain FOLDER image.png
```

```python
import stylex

explainer = stylex.load("FOLDER")
explanation = explainer.explain("image.png")
```

FOLDER is this folder. An image is read as {colour}, {images.resolution}x{images.resolution} pixels:
of another size, its central square is resized{margin}.
`examples/` has {len(description.examples)} of the analysed images.

## Data

{data.title}. Licence: {data.licence}. {data.analysed} images of the {data.split} split were analysed.

## Quality

| measure | target class | value | images |
|---|---|---:|---:|
{table}

`*`: all target classes together. Intervals: 95 %. Protocol: {options.protocol.value}. Shift: {options.shift:g}.
Seed: {description.seed}. Diagnosis of the training:

{diagnosis}

## Limits

- Everything is shown on the reconstruction of an image. Look at that first: where it is poor, so is the explanation.
- Images unlike those of the data get an explanation, too, and it means little.
- A counterfactual shows what changes this classifier's decision. That need not be what changes the true class.
{_condition(networks)}
## Where it comes from

Commit {commit}, configuration {description.config_digest}, seed {description.seed}.

{digests}
"""


def _condition(networks: StylexNetworks) -> str:
    count = networks.config.networks.condition_coordinates if networks.condition_dim else None
    if count is None:
        return ""
    what = "One coordinate carries" if count == 1 else f"{count} coordinates carry"
    return f"- {what} the whole condition: moving it shows the other class, not the parts that it is made of.\n"


def _meaning(row: Measure) -> str:
    return MEASURES[row.measure].format(k=row.k)


def _value(row: Measure) -> str:
    if row.measure == "reconstruction_l1":
        return f"{row.value:.3f}"
    interval = "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return f"{100 * row.value:.1f} %{interval}"


def _cell(text: str) -> str:
    """Return text as it stands in a cell of a Markdown table."""
    return text.replace("|", "\\|")
