"""The user's own classifier as the rest of the package sees it: what is declared of it, and its file in an artifact.

It is never trained, changed or folded. Its file lies in classifier/model.safetensors as it is, byte by byte, with what
is declared of images and outputs in the header; `load_classifier` gives a network that takes the experiment's images.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy
import torch
from pydantic import ValidationError
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from stylex.artifacts import save_tensors, sha256
from stylex.classifiers.formats import (
    Format,
    Network,
    Source,
    batched,
    external_files,
    read_metadata,
    read_network,
    source_of,
)
from stylex.classifiers.frozen import HEADER, Classifier
from stylex.config import ImportedClassifierConfig
from stylex.config.base import REST, Section
from stylex.config.imported import Output, Range
from stylex.errors import ArtifactError, ConfigError

PACKED = "file/"  # before the names of the user's files among the tensors
LUMINANCE = (0.299, 0.587, 0.114)  # of ITU-R 601-2, as Pillow's mode L
SMALLEST = 1e-12  # of probabilities, before their logarithm
SATURATED = 1e-7  # of one sigmoid output, from 0 and from 1
CHANNELS = "nchw"  # the layout of torch


class Declaration(Section):
    """All that is known of a classifier's inputs and outputs: declared, or said by its file, or by default."""

    classes: tuple[str, ...]
    output: Output
    architecture: str | None = None
    size: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    antialias: bool = True
    channels: Literal[1, 3] = 3
    channel_order: Literal["rgb", "bgr"] = "rgb"
    range: Range
    mean: tuple[float, ...] = (0.0,)
    sd: tuple[float, ...] = (1.0,)
    layout: Literal["nchw", "nhwc"] = "nchw"
    precision: Literal["float32", "bfloat16"] = "float32"

    def changed(self, **values: Any) -> Self:
        """Return the declaration with other values."""
        return self.model_copy(update=values)

    def preprocess(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W], float in [-1, 1], to what the network takes; differentiable."""
        images = (images.float() + 1) / 2
        if self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        elif images.shape[1] == 3:
            images = (images * _of_channels(LUMINANCE, images)).sum(1, keepdim=True)
        images = self._resized(images)
        if self.channel_order == "bgr":
            images = images.flip(1)
        if self.range != "0..1":
            images = images * 255 if self.range == "0..255" else images * 2 - 1
        if any(self.mean) or self.sd != (1.0,):
            images = (images - _of_channels(self.mean, images)) / _of_channels(self.sd, images)
        return images if self.layout == CHANNELS else images.permute(0, 2, 3, 1).contiguous()

    def logits(self, outputs: Tensor) -> Tensor:
        """Map what the network returns [N, K] to logits [N, classes]; one output is the sigmoid of the second class."""
        if outputs.shape[1] not in (len(self.classes), 1) or (outputs.shape[1] == 1 and len(self.classes) != 2):
            count = outputs.shape[1]
            raise ConfigError(
                f"classifier.classes names {len(self.classes)} classes ({_listed(self.classes)}), but the network has"
                f" {count} output{'s' * (count > 1)}: name {'the two of one sigmoid output' if count == 1 else 'each'}"
            )
        if outputs.shape[1] == 1:
            logit = outputs if self.output == "logits" else torch.logit(outputs, SATURATED)
            return torch.cat([torch.zeros_like(logit), logit], dim=1)
        return outputs if self.output == "logits" else outputs.clamp_min(SMALLEST).log()

    def columns(self, class_names: Sequence[str]) -> list[int]:
        """Return which output each class of the dataset is; raise `ConfigError` with the nearest names for none."""
        for name in class_names:
            if name not in self.classes:
                near = get_close_matches(name, self.classes, n=3, cutoff=0.4) or self.classes[:3]
                hint = " (all other classes together need an output of their own)" if name == REST else ""
                raise ConfigError(
                    f"classifier.classes: the dataset's class '{name}'{hint} is none of the"
                    f" {len(self.classes)} outputs; near are {', '.join(map(repr, near))}: name the outputs as"
                    " the dataset does, in their order"
                )
        return [self.classes.index(name) for name in class_names]

    def _resized(self, images: Tensor) -> Tensor:
        size = self.size or (images.shape[2], images.shape[3])
        if (target := self.resize or size) != tuple(images.shape[2:]):
            if self.interpolation == "nearest":
                images = functional.interpolate(images, target, mode="nearest-exact")
            elif self.interpolation == "bilinear":
                images = functional.interpolate(images, target, mode="bilinear", antialias=self.antialias)
            else:  # overshoots, and the bytes of Pillow do not: neither after its rows nor after its columns
                for part in ((images.shape[2], target[1]), target):
                    images = functional.interpolate(images, part, mode="bicubic", antialias=self.antialias).clamp(0, 1)
        top, left = (round((whole - part) / 2) for whole, part in zip(target, size, strict=True))
        return images[:, :, top : top + size[0], left : left + size[1]]


def _of_channels(values: Sequence[float], images: Tensor) -> Tensor:
    """Return a value a channel, [1, C, 1, 1], on the images' device, without waiting for it."""
    return torch.tensor(values).to(images.device, non_blocking=True).reshape(1, -1, 1, 1)


class ImportedDescription(Section):
    """What the files in an artifact belong to: stored as JSON in its header, where a trained network has its own."""

    role: Literal["classifier"] = "classifier"
    name: str
    channels: int
    resolution: int
    class_names: tuple[str, ...]  # of the dataset
    declaration: Declaration
    format: Format
    file: str  # the name of the main one; module:function
    files: dict[str, str]  # the sha256 of each, by its name
    weights_digest: str


class Resolved(NamedTuple):
    """A classifier where the user has it, read and understood."""

    source: Source
    declaration: Declaration
    origins: dict[str, str]  # of each value of the declaration


class ImportedClassifier(Classifier):
    """C, the user's own: preprocessing, network and the order of classes; float32 unless declared otherwise."""

    def __init__(self, network: Network, description: ImportedDescription) -> None:
        nn.Module.__init__(self)
        declaration = description.declaration
        self.user_network, self.batch, self.declaration = network.module, network.batch, declaration
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)  # tells the device, whatever the network has
        self.columns = declaration.columns(description.class_names)
        self.name, self.architecture = description.name, declaration.architecture or description.file
        self.resolution, self.channels = description.resolution, description.channels
        self.class_names = description.class_names
        self.training = False

    def outputs(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 outputs [N, K] as the network returns them."""
        low = self.declaration.precision == "bfloat16"
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=low):
            return batched(Network(self.user_network, self.batch), self.declaration.preprocess(images))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 logits [N, class_names]."""
        columns = torch.tensor(self.columns).to(images.device, non_blocking=True)
        return self.declaration.logits(self.outputs(images))[:, columns]

    @property
    def last_maps(self) -> nn.Module | None:
        """The last module whose output are maps [N, C, H, W]; None where tokens follow, or no module can be looked at.

        TorchScript and torch.export run no modules of their own.
        """
        if isinstance(self.user_network, torch.jit.ScriptModule):
            return None
        seen: list[tuple[nn.Module, int]] = []

        def record(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() in (3, 4) and min(output.shape[2:]) > 1:
                seen.append((module, output.dim()))

        hooks = [
            each.register_forward_hook(record) for each in self.user_network.modules() if not list(each.children())
        ]
        try:
            with torch.no_grad():
                self(self.anchor.new_zeros(1, self.channels, self.resolution, self.resolution))
        finally:
            for hook in hooks:
                hook.remove()
        return seen[-1][0] if seen and seen[-1][1] == 4 and self.declaration.layout == CHANNELS else None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Go to another device only: its number format is the user's."""
        return super()._apply(lambda value: value.to(fn(value.new_empty(0)).device), recurse)


def resolve(config: ImportedClassifierConfig, root: Path) -> Resolved:
    """Put together what is declared and what the file says; raise `ConfigError` for a key of which neither knows."""
    source = source_of(config, root)
    metadata, place = read_metadata(source)
    declared = {**config.inputs.model_dump(exclude_none=True), "classes": config.classes, "output": config.output}
    said = {**metadata.inputs.model_dump(exclude_none=True), "classes": metadata.classes, "output": metadata.output}
    values: dict[str, Any] = {"architecture": source.architecture, "precision": config.precision}
    origins = {}
    for origin, given in ((place, said), ("declared", declared)):
        for key, value in given.items():
            if value is not None:
                values[key], origins[key] = value, origin
    if "size" in config.inputs.model_fields_set and "resize" not in config.inputs.model_fields_set:
        values.pop("resize", None)  # of the size that the file says
    for key, example in (("classes", "the outputs' names in their order"), ("output", "logits or probabilities")):
        if key not in values:
            raise ConfigError(f"classifier.{key}: {source} does not say it; declare {example}")
    if "range" not in values:
        raise ConfigError(f"classifier.inputs.range: {source} does not say it; declare 0..1, 0..255 or -1..1")
    for key in ("mean", "sd"):
        if (given := values.get(key)) and len(given) not in (1, count := values.get("channels", 3)):
            raise ConfigError(f"classifier.inputs.{key} has {len(given)} values, the network takes {count} channels")
    size, resize = values.get("size"), values.get("resize")
    if resize and (size is None or any(part > whole for part, whole in zip(size, resize, strict=True))):
        raise ConfigError(f"classifier.inputs.resize {list(resize)} is less than `size`, which is cut out of it")
    if values.get("channels") == 1 and values.get("channel_order") == "bgr":
        raise ConfigError("classifier.inputs.channel_order: bgr goes with three channels: leave it out")
    return Resolved(source, Declaration.model_validate(values), origins)


def describe(
    resolved: Resolved, network: Network, name: str, class_names: Sequence[str], channels: int, resolution: int
) -> ImportedDescription:
    """Describe a resolved classifier on images of a dataset."""
    source = resolved.source
    files = {each.name: sha256(each) for each in _files(source)}
    digest = _digest(network.module) if source.function else next(iter(files.values()))
    if len(files) > 1:
        digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return ImportedDescription(
        name=name, channels=channels, resolution=resolution, class_names=tuple(class_names),
        declaration=resolved.declaration, format=source.format, files=files, weights_digest=digest,
        file=str(source) if source.function else source.path.name,
    )  # fmt: skip


def read_imported(
    config: ImportedClassifierConfig,
    root: Path,
    class_names: Sequence[str],
    channels: int,
    resolution: int,
    name: str = "classifier",
    device: str = "cpu",
) -> tuple[ImportedClassifier, ImportedDescription, Resolved]:
    """Read the user's classifier from where it is; raise `ConfigError` or `ArtifactError` when that fails."""
    resolved = resolve(config, root)
    network = read_network(resolved.source, device, len(resolved.declaration.classes))
    description = describe(resolved, network, name, class_names, channels, resolution)
    return ImportedClassifier(network, description).to(device), description, resolved


def save_imported(path: Path, source: Source, description: ImportedDescription, origin: Mapping[str, str]) -> None:
    """Write the user's files unchanged, as bytes, with the description and provenance as header."""
    tensors = {PACKED + each.name: torch.from_numpy(numpy.fromfile(each, numpy.uint8)) for each in _files(source)}
    tensors = tensors or {"weights_digest": torch.tensor(list(bytes.fromhex(description.weights_digest))).byte()}
    save_tensors(path, tensors, {HEADER: description.model_dump_json(exclude_defaults=True), **origin})


def unpack(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str], device: str) -> ImportedClassifier:
    """Return the classifier of an artifact; raise `ArtifactError` when it is damaged or its function has changed."""
    try:
        description = ImportedDescription.model_validate_json(header[HEADER])
    except ValidationError:
        raise ArtifactError(f"{path} is no imported classifier of this version; run its stage again") from None
    declaration = description.declaration
    if description.format is Format.FUNCTION:
        module, _, function = description.file.partition(":")
        network = read_network(Source(Format.FUNCTION, Path(), None, (module, function)), device)
        if _digest(network.module) != description.weights_digest:
            raise ArtifactError(
                f"{path}: '{description.file}' returns other weights than when it was imported; run `stylex classifier`"
                " and what follows again"
            )
        return ImportedClassifier(network, description).to(device)
    with tempfile.TemporaryDirectory(prefix="stylex-") as folder:
        for name, digest in description.files.items():
            content = tensors[PACKED + name].numpy() if PACKED + name in tensors else numpy.empty(0, numpy.uint8)
            if hashlib.sha256(content.tobytes()).hexdigest() != digest or Path(name).name != name:
                raise ArtifactError(f"{path} is damaged: {name} is not what was imported; run its stage again")
            content.tofile(Path(folder, name))
        whole = description.format is Format.TRANSFORMERS
        place = Path(folder) if whole else Path(folder, description.file)
        source = Source(description.format, place, declaration.architecture)
        network = read_network(source, device, len(declaration.classes))
        return ImportedClassifier(network, description).to(device)


def names_code(path: Path) -> bool:
    """Whether a classifier's artifact names a function of a module, which loading it would run."""
    with safe_open(path, "pt") as file:
        header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    return header.get("format") == Format.FUNCTION


def _files(source: Source) -> list[Path]:
    """Return the files that make up a classifier, the main one first."""
    match source.format:
        case Format.FUNCTION:
            return []
        case Format.TRANSFORMERS:
            return sorted(each for each in source.path.iterdir() if each.suffix in (".json", ".safetensors"))
        case Format.WEIGHTS:
            beside = source.path.with_name("config.json")
            return [source.path, *([beside] if beside.is_file() else [])]
    return [source.path, *(source.path.with_name(name) for name in external_files(source))]


def _digest(network: nn.Module) -> str:
    """Return the sha256 of all parameters and buffers with their names, in the order of these."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
