"""A user's own classifier: which file it is, and what is declared of its images and outputs.

What is declared wins over what the file says of itself. Nothing of it is trained.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from stylex.config.base import ClassName, Positive, Section, each_once
from stylex.config.finetuning import TIMM, ClassifierConfig

TORCHVISION = "torchvision:"  # before the name of a model of the package torchvision
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # of a module, that returns the network
Output = Literal["logits", "probabilities"]
Range = Literal["0..1", "0..255", "-1..1"]


def _side(value: object) -> object:
    """Take one number as both sides."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _known_source(value: str) -> str:
    if any(value.startswith(prefix) and value != prefix for prefix in (TIMM, TORCHVISION)):
        return value
    raise ValueError(f"give the package before the name: '{TIMM}<name>' or '{TORCHVISION}<name>'")


Size = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(_side, json_schema_input_type=Positive | tuple[Positive, Positive]),
]
PerChannel = Annotated[list[float], Field(min_length=1, max_length=3)]


class InputsConfig(Section):
    """How the network wants its images; each key that is left out is what the file says, or else the default."""

    size: Size | None = Field(default=None, description="Side, or [height, width]; default: the images' own.")
    resize: Size | None = Field(
        default=None,
        description="Before the centre of `size` is cut out, the image is scaled to this; default: `size`.",
    )
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = Field(
        default=None, description="Default: bilinear."
    )
    antialias: bool | None = Field(
        default=None, description="When an image gets smaller, as Pillow does; default: true."
    )
    channels: Literal[1, 3] | None = Field(
        default=None,
        description="1: colours become their luminance, as Pillow's mode L; 3: grey is repeated. Default: 3.",
    )
    channel_order: Literal["rgb", "bgr"] | None = Field(default=None, description="bgr: as OpenCV reads; default: rgb.")
    range: Range | None = Field(default=None, description="What black and white are, before mean and sd.")
    mean: PerChannel | None = Field(
        default=None,
        description="Subtracted, in units of `range` and in `channel_order`; one for each channel. Default: 0.",
    )
    sd: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=3)] | None = Field(
        default=None, description="What is left is divided by it, channel by channel; default: 1."
    )
    layout: Literal["nchw", "nhwc"] | None = Field(
        default=None, description="nhwc: channels last, as Keras; default: nchw."
    )


class ImportedClassifierConfig(Section):
    """The user's own classifier, explained as it is."""

    imported: ClassVar[bool] = True

    file: Annotated[str, Field(min_length=1)] = Field(
        description="TorchScript (.pt), torch.export (.pt2), ONNX (.onnx), .safetensors with `architecture`, a folder"
        " of transformers or timm, or module:function, which returns an nn.Module."
    )
    architecture: Annotated[str, AfterValidator(_known_source)] | None = Field(
        None, description=f"Of .safetensors alone: '{TIMM}<name>' or '{TORCHVISION}<name>'."
    )
    classes: Annotated[list[ClassName], Field(min_length=2)] | None = Field(
        None, description="Names of the outputs, in their order; of one sigmoid output: of 0 and of 1."
    )
    output: Output | None = Field(
        None, description="What the network returns: logits, or probabilities (after softmax or sigmoid)."
    )
    inputs: InputsConfig = InputsConfig()
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the network, whatever StylEx is trained and analysed in."
    )
    min_accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Balanced accuracy on validation images below which the experiment stops."
    )

    @property
    def label(self) -> str:
        """What the report calls the network."""
        return self.architecture or Path(self.file).name

    @property
    def function(self) -> tuple[str, str] | None:
        """Module and name of the function that returns the network, or None for a file."""
        if not FUNCTION.fullmatch(self.file):
            return None
        module, name = self.file.split(":")
        return module, name

    def files(self, root: Path) -> list[Path]:
        """Return the files of the network, sorted; those that a `.onnx` keeps its weights in by their names."""
        if self.function:
            return []
        path = root / self.file
        if path.is_dir():
            return sorted(each for each in path.iterdir() if each.suffix in (".json", ".safetensors"))
        beside = path.with_name("config.json")
        return [
            path,
            *sorted(path.parent.glob(f"{path.name}.data*")),
            *([beside] if path.suffix == ".safetensors" and beside.is_file() else []),
        ]

    @model_validator(mode="after")
    def _fitting(self) -> ImportedClassifierConfig:
        if self.classes is not None:
            each_once(self.classes, "a class")
        if self.architecture and Path(self.file).suffix != ".safetensors":
            raise ValueError("architecture goes with a .safetensors file alone: leave it out")
        mean, sd = self.inputs.mean, self.inputs.sd
        if mean and sd and len(mean) != len(sd):
            raise ValueError(f"inputs.mean has {len(mean)} values and inputs.sd {len(sd)}: one for each channel")
        return self


# Tags of the two kinds of classifier; no key is called so.
KINDS: dict[str, type[Section]] = {"<trained>": ClassifierConfig, "<imported>": ImportedClassifierConfig}
TRAINED, IMPORTED = KINDS


def _kind(value: object) -> str:
    """Return the kind of classifier, told by the key `file`, or else by keys that may be misspelt."""
    keys = [str(key) for key in dict(value)] if isinstance(value, (dict, Section)) else []
    if "file" in keys:
        return IMPORTED

    def known(kind: str) -> int:
        return sum(bool(get_close_matches(key, KINDS[kind].model_fields)) for key in keys)

    return IMPORTED if known(IMPORTED) > known(TRAINED) else TRAINED


AnyClassifier = Annotated[
    Annotated[ClassifierConfig, Tag(TRAINED)] | Annotated[ImportedClassifierConfig, Tag(IMPORTED)],
    Discriminator(_kind),
]
