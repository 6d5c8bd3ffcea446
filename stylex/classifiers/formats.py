"""The files in which people keep their own classifiers: read without unpickling anything, and what they say of inputs.

What is safe about each format: docs/classifiers.md. Packages that only some formats need are imported when one is read.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from stylex.config.base import ClassName, Section
from stylex.config.finetuning import TIMM
from stylex.config.imported import TORCHVISION, ImportedClassifierConfig, InputsConfig, Output
from stylex.config.loading import unknown_name
from stylex.errors import ArtifactError, ConfigError

NAME = "stylex.json"  # an extra file of TorchScript and torch.export, an entry in the metadata of ONNX and safetensors
EXTRA = "pip install 'stylex[classifiers]'"
PICKLES = (".bin", ".ckpt", ".pkl", ".pickle", ".tar", ".joblib")
KERAS = (".h5", ".hdf5", ".keras", ".pb", ".tflite")
CONVERT = (
    "save the network as torch.export.save(torch.export.export(model.eval(), (images,), dynamic_shapes=({0:"
    " torch.export.Dim('n')},)), 'model.pt2'), or its weights as safetensors.torch.save_file(model.state_dict(),"
    " 'model.safetensors') and name classifier.architecture"
)
# Of torch.export: members of the archive, and names in the graph, that read tensors and call tensor operators only.
MEMBERS = re.compile(
    r"(archive_format|archive_version|byteorder|\.data/\w+|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/(weights|constants)/(model_\w+_config\.json|(weight|tensor)_\d+)|extra/.*)"
)
OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|higher_order)\.\w+(\.\w+)?|_operator\.[a-z]\w*|math\.\w+|torch\.sym_\w+"
)
SHAPES = re.compile(
    r"('[su]\d+'|\b([su]?\d+|Symbol|Integer|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|oo"
    r"|int_oo|positive|nonnegative|negative|zero|integer|True|False)\b|[-+*/(), <>=])*"
)
OPSET = 17  # of ONNX, up to which onnx2torch knows nearly all operators


class Format(StrEnum):
    """In which a classifier is kept."""

    TORCHSCRIPT = "TorchScript"
    EXPORTED = "torch.export"
    ONNX = "ONNX"
    WEIGHTS = "safetensors"
    TRANSFORMERS = "transformers"
    FUNCTION = "function"


SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".ts", ".jit"), Format.TORCHSCRIPT),
    ".pt2": Format.EXPORTED,
    ".onnx": Format.ONNX,
    ".safetensors": Format.WEIGHTS,
}


class Network(NamedTuple):
    """A network as its file holds it: preprocessed images to outputs of any form."""

    module: nn.Module
    batch: int | None = None  # the only number of images that it takes at a time; None: any


class Metadata(Section):
    """What a file says of itself: its own format, or the JSON object `stylex.json` in it."""

    classes: list[ClassName] | None = None
    output: Output | None = None
    inputs: InputsConfig = InputsConfig()


class Runtime(NamedTuple):
    """The user's own way to run the file: an independent reading where there is one."""

    name: str
    network: Callable[[Tensor], Tensor]  # preprocessed images to outputs
    prepare: Callable[[Tensor], Tensor] | None = None  # uint8 [N, C, H, W] to preprocessed images, by its own transform


class Source(NamedTuple):
    """A classifier where the user has it, or unpacked: its format and place."""

    format: Format
    path: Path  # of a function, what stands before and after the colon is in `function`
    architecture: str | None = None
    function: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Return how messages call it."""
        return ":".join(self.function) if self.function else str(self.path)


def source_of(config: ImportedClassifierConfig, root: Path) -> Source:
    """Return the format and place of what is declared; raise `ConfigError` when it is missing or of no known format."""
    if config.function:
        return Source(Format.FUNCTION, root, None, config.function)
    path = root / config.file
    if path.is_dir():
        content = _json(path / "config.json")
        if "model_type" not in content and isinstance(content.get("architecture"), str):
            return Source(Format.WEIGHTS, path / "model.safetensors", TIMM + content["architecture"])
        return Source(Format.TRANSFORMERS, path)
    if not path.exists():
        raise ConfigError(f"classifier.file: {path} does not exist; give a path relative to the project, or absolute")
    format = SUFFIXES.get(path.suffix.lower())
    if path.suffix.lower() in PICKLES or (format == Format.TORCHSCRIPT and not _is_torchscript(path)):
        raise ConfigError(
            f"classifier.file: {path} is no TorchScript but a pickle, which may run any code when it is opened, and so"
            f" is not opened: {CONVERT}"
        )
    if path.suffix.lower() in KERAS:
        raise ConfigError(f"classifier.file: {path} is of TensorFlow: export it to ONNX (python -m tf2onnx.convert)")
    if format is None:
        known = ", ".join(SUFFIXES)
        raise ConfigError(f"classifier.file: {path} is of no known format; give {known}, a folder, or module:function")
    return Source(format, path, config.architecture or _timm_beside(path) if format == Format.WEIGHTS else None)


def read_network(source: Source, device: str = "cpu", outputs: int | None = None) -> Network:
    """Read the network onto a device; raise `ConfigError` or `ArtifactError` with one line when that fails.

    outputs: of a bare file of weights, how many there should be; default: as many as its last layer has.
    """
    with _one_line(source):
        match source.format:
            case Format.TORCHSCRIPT:
                network = Network(_torchscript(source.path, device)[0])
            case Format.EXPORTED:
                network = _exported(source.path, device)[0]
            case Format.ONNX:
                model = _onnx_model(source.path)
                shape = _onnx_shape(model)
                network = Network(_required("onnx2torch").convert(lowered(model)), shape[0])
            case Format.TRANSFORMERS:
                network = Network(_transformers(source.path))
            case Format.FUNCTION:
                network = Network(_called(source))
            case _:
                network = Network(_with_weights(source, outputs))
    for module in network.module.modules():
        module.training = False  # what torch.export gives refuses eval()
    if source.format != Format.EXPORTED:
        network.module.eval()
    for parameter in network.module.parameters():
        parameter.requires_grad_(False)
    return network._replace(module=network.module.to(device))


def read_metadata(source: Source) -> tuple[Metadata, str]:
    """Return what the file says of itself, and where in it; raise as `read_network`."""
    with _one_line(source):
        match source.format:
            case Format.TORCHSCRIPT:
                return _own(_torchscript(source.path, "cpu")[1], source), NAME
            case Format.EXPORTED:
                _, text, shape = _exported(source.path, "cpu")
                return _with_shape(_own(text, source), shape), f"{NAME} and input shape"
            case Format.ONNX:
                model = _onnx_model(source.path)
                text = {each.key: each.value for each in model.metadata_props}.get(NAME)
                return _with_shape(_own(text, source), _onnx_shape(model)), f"{NAME} and input shape"
            case Format.TRANSFORMERS:
                return _of_transformers(source.path), "preprocessor_config.json"
            case Format.FUNCTION:
                return Metadata(), "the function"
            case _:
                return _of_weights(source)


def outputs_of(result: Any) -> Tensor:
    """Return the outputs [N, K] float32 of what a network returned: a tensor, the only one of a list, or its logits."""
    if isinstance(result, Mapping):
        result = result.get("logits")
    elif not isinstance(result, Tensor):
        logits = getattr(result, "logits", None)
        result = result[0] if logits is None and isinstance(result, tuple | list) and len(result) == 1 else logits
    if not isinstance(result, Tensor) or result.dim() not in (1, 2):
        what = f"a tensor of shape {list(result.shape)}" if isinstance(result, Tensor) else "no single tensor"
        raise ConfigError(f"classifier.file: the network returns {what}, not outputs [images, classes]: wrap it")
    return (result[:, None] if result.dim() == 1 else result).float()


def own_runtime(source: Source) -> Runtime:
    """Return the user's own way to run the file, on the CPU."""
    with _one_line(source):
        if source.format == Format.ONNX:
            runtime = _required("onnxruntime")
            options = runtime.SessionOptions()
            options.log_severity_level = 3  # errors alone
            session = runtime.InferenceSession(str(source.path), options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name

            def run(images: Tensor) -> Tensor:
                size = _onnx_shape_of(session.get_inputs()[0].shape)[0] or len(images)
                parts = [session.run(None, {name: part.numpy()})[0] for part in padded(images, size)]
                return torch.from_numpy(numpy.concatenate(parts))[: len(images)]

            return Runtime("onnxruntime", run)
        if source.format == Format.TRANSFORMERS:
            model, package = _transformers(source.path).model.eval(), _required("transformers")
            processor = package.AutoImageProcessor.from_pretrained(
                source.path, local_files_only=True, trust_remote_code=False
            )
            return Runtime(
                "transformers",
                lambda images: model(pixel_values=images).logits,
                lambda pixels: processor(images=pictures(pixels), return_tensors="pt")["pixel_values"],
            )
        network = read_network(source)
        if source.architecture and source.architecture.startswith(TIMM):
            timm = _required("timm")
            config = _timm_config(source)[0]
            options = timm.data.resolve_data_config({}, pretrained_cfg=config)
            transform = timm.data.create_transform(**options, is_training=False)
            return Runtime(
                "timm", network.module, lambda pixels: torch.stack([transform(each) for each in pictures(pixels)])
            )
    return Runtime(source.format, lambda images: batched(network, images))


def batched(network: Network, inputs: Tensor) -> Tensor:
    """Return the outputs [N, K] of preprocessed images; in parts where the file knows one size of a batch only."""
    if network.batch is None:
        return outputs_of(network.module(inputs))
    parts = [outputs_of(network.module(part)) for part in padded(inputs, network.batch)]
    return torch.cat(parts)[: len(inputs)]


def padded(inputs: Tensor, size: int) -> Iterator[Tensor]:
    """Yield parts of exactly `size`, the last one filled up with its last image."""
    for part in inputs.split(size):
        yield torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])]) if len(part) < size else part


def pictures(pixels: Tensor) -> list[Any]:
    """Return uint8 [N, C, H, W] as colour images of Pillow."""
    from PIL import Image

    return [Image.fromarray(each.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()) for each in pixels]


def external_files(source: Source) -> list[str]:
    """Return the names of the files beside an ONNX file in which it keeps weights."""
    if source.format != Format.ONNX:
        return []
    with _one_line(source):
        onnx = _required("onnx")
        model = onnx.load(source.path, load_external_data=False)
        held = {
            entry.value
            for tensor in model.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
    if outside := sorted(name for name in held if Path(name).name != name):
        raise ConfigError(f"classifier.file: {source} keeps weights in '{outside[0]}': put that file beside it")
    return sorted(held)


@contextmanager
def _one_line(source: Source) -> Iterator[None]:
    """Turn whatever a library says of a file that it cannot read into one line."""
    from stylex.errors import StylexError

    try:
        with warnings.catch_warnings():
            # Files of TorchScript exist, whatever people should write today.
            warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)
            yield
    except StylexError:
        raise
    except Exception as error:  # of many libraries, which raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ArtifactError(f"classifier.file: {source} cannot be read as {source.format}: {reason}") from None


def _required(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ConfigError(f"classifier.file needs the package {error.name or package}: {EXTRA}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"classifier.file: {path} does not exist; a folder is one of transformers or timm") from None
    except ValueError as error:
        raise ArtifactError(f"classifier.file: {path} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"classifier.file: {path} holds no object")
    return content


def _own(text: str | bytes | None, source: Source) -> Metadata:
    """Read `stylex.json`, where there is one."""
    if not text:
        return Metadata()
    try:
        return Metadata.model_validate_json(text)
    except ValidationError as error:
        mistake = error.errors()[0]
        place = ".".join(map(str, mistake["loc"]))
        raise ConfigError(f"classifier.file: {NAME} in {source}: {place}: {mistake['msg']}") from None


def _with_shape(metadata: Metadata, shape: tuple[int | None, ...]) -> Metadata:
    """Add what the shape of a network's input says, where `stylex.json` does not: layout, channels and size."""
    if len(shape) != 4:
        raise ConfigError(
            f"classifier.file: the network takes {len(shape)} dimensions, not images [N, C, H, W]: wrap it"
        )
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels, *sides = (shape[3], *shape[1:3]) if last else shape[1:]
    found = {
        "layout": "nhwc" if last else "nchw" if shape[1] is not None else None,
        "channels": channels if channels in (1, 3) else None,
        "size": None if None in sides else tuple(sides),
    }
    inputs = {**found, **metadata.inputs.model_dump(exclude_none=True)}
    return metadata.model_copy(update={"inputs": InputsConfig.model_validate(inputs)})


# TorchScript


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _torchscript(path: Path, device: str) -> tuple[nn.Module, str | bytes]:
    extra = {NAME: ""}
    module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    return module, extra[NAME]


# torch.export


def _exported(path: Path, device: str) -> tuple[Network, str | None, tuple[int | None, ...]]:
    _check_archive(path)
    extra = {NAME: ""}
    program = torch.export.load(path, extra_files=extra)
    if torch.device(device).type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    given = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(given) != 1:
        raise ConfigError(f"classifier.file: {path} takes {len(given)} inputs, not images alone: wrap it")
    shape = tuple(each if isinstance(each, int) else None for each in given[0].meta["val"].shape)
    # Guards are Python code in the file: `module` runs them, unless it is told not to.
    return Network(program.module(check_guards=False), shape[0]), extra.get(NAME), shape


def _check_archive(path: Path) -> None:
    """Refuse an archive that torch.export would unpickle, compile or evaluate anything of but tensors and shapes."""
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if odd := sorted(name for name in members if not MEMBERS.fullmatch(name)):
            raise ConfigError(
                f"classifier.file: {path} holds {odd[0]}, which is no plain network of torch.export: save it again with"
                " torch.export.save of this version of torch"
            )
        if (sample := members.get("data/sample_inputs/model.pt")) and (content := archive.read(sample)):
            torch.load(io.BytesIO(content), weights_only=True)  # else torch.export would open it as any pickle
        for kind in ("weights", "constants"):
            for name, entry in json.loads(archive.read(members[f"data/{kind}/model_{kind}_config.json"]))[
                "config"
            ].items():
                if entry["use_pickle"]:
                    raise ConfigError(
                        f"classifier.file: {path} holds '{name}' as a pickle, and is not opened: {CONVERT}"
                    )
        graph = json.loads(archive.read(members["models/model.json"]))
    for key, value in _texts(graph):
        if (key == "target" and not OPERATORS.fullmatch(value)) or (key == "expr_str" and not SHAPES.fullmatch(value)):
            raise ConfigError(f"classifier.file: {path} calls '{value[:60]}', which is no tensor operator; not opened")


def _texts(content: Any) -> Iterator[tuple[str, str]]:
    """Yield what each key of a graph holds, where that is a text; what nodes say of their origin is never read."""
    if isinstance(content, list):
        for each in content:
            yield from _texts(each)
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str):
                yield key, value
            elif key != "metadata":
                yield from _texts(value)


# ONNX


def _onnx_model(path: Path) -> Any:
    return _required("onnx").load(path)


def _onnx_shape(model: Any) -> tuple[int | None, ...]:
    held = {each.name for each in model.graph.initializer}
    given = [each for each in model.graph.input if each.name not in held]
    if len(given) != 1:
        raise ConfigError(f"classifier.file: the ONNX file takes {len(given)} inputs, not images alone: wrap it")
    return _onnx_shape_of([each.dim_value or each.dim_param for each in given[0].type.tensor_type.shape.dim])


def _onnx_shape_of(shape: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(each if isinstance(each, int) and each > 0 else None for each in shape)


def lowered(model: Any) -> Any:
    """Write a model in the operators of opset 17, which onnx2torch knows; in memory, the file stays as it is.

    Later versions of nearly all operators differ in the types that they take; those of ReduceMean and its like take
    their axes as an input, and GELU is one operator. `allowzero` tells of empty tensors, which images are not. What
    this misses is found when the result is compared with that of onnxruntime.
    """
    onnx, inliner = _required("onnx"), _required("onnx.inliner")
    model = inliner.inline_local_functions(model)
    model = inliner.inline_selected_functions(model, [("", "Gelu")], exclude=False, inline_schema_functions=True)
    constants = {each.name: each for each in model.graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant" and node.attribute
    }
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name not in ("allowzero", "noop_with_empty_axes")]
        if node.op_type == "CastLike":  # of the constants of GELU
            node.op_type = "Identity"
            del node.input[1:]
        elif node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) > 1:
            axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
            kept.append(onnx.helper.make_attribute("axes", axes))
            del node.input[1:]
        del node.attribute[:]
        node.attribute.extend(kept)
    for each in model.opset_import:
        if each.domain in ("", "ai.onnx"):
            each.version = min(each.version, OPSET)
    return model


# Weights of timm and torchvision


def _timm_beside(path: Path) -> str | None:
    """Return the architecture that the config.json of timm beside a file of weights names."""
    beside = path.with_name("config.json")
    name = _json(beside).get("architecture") if beside.is_file() else None
    if isinstance(name, str):
        return TIMM + name
    raise ConfigError(
        f"classifier.architecture: {path} holds weights alone; name their network, '{TIMM}<name>' or"
        f" '{TORCHVISION}<name>'"
    )


def _timm_config(source: Source) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return timm's pretrained_cfg and the arguments of the model, and where they come from."""
    timm, name = _required("timm"), (source.architecture or "").removeprefix(TIMM)
    beside = source.path.with_name("config.json")
    content = _json(beside) if beside.is_file() else {}
    if content.get("architecture") == name and isinstance(content.get("pretrained_cfg"), dict):
        return (
            content["pretrained_cfg"] | {"label_names": content.get("label_names")},
            content.get("model_args", {}),
            "config.json",
        )
    known = timm.get_pretrained_cfg(name) if timm.is_model(name.split(".")[0]) else None
    if known is None:
        message = unknown_name("model of timm", name, timm.list_models())
        raise ConfigError(f"classifier.architecture: {message[:200]}")
    return known.to_dict(), {}, f"timm's {name}"


def _of_weights(source: Source) -> tuple[Metadata, str]:
    from safetensors import safe_open

    with safe_open(source.path, "pt") as file:
        own = _own((file.metadata() or {}).get(NAME), source)
    if not (source.architecture or "").startswith(TIMM):
        return own, f"{NAME} in its header"
    config, _, origin = _timm_config(source)
    (height, width), crop = config["input_size"][1:], config.get("crop_pct") or 1.0
    if config.get("crop_mode", "center") not in ("center", "squash"):
        raise ConfigError(f"{origin}: crop_mode {config['crop_mode']} is not known here: declare classifier.inputs")
    inputs = {
        "channels": config["input_size"][0], "size": (height, width), "interpolation": config.get("interpolation"),
        "resize": (int(height / crop), int(width / crop)), "range": "0..1", "mean": config["mean"], "sd": config["std"],
    }  # fmt: skip
    inputs |= own.inputs.model_dump(exclude_none=True)
    labels = own.classes or config.get("label_names")
    if isinstance(labels, dict):  # by the number of the output
        labels = [labels[key] for key in sorted(labels, key=int)]
    return Metadata(classes=labels, output=own.output or "logits", inputs=InputsConfig.model_validate(inputs)), origin


def _with_weights(source: Source, outputs: int | None) -> nn.Module:
    from safetensors.torch import load_file

    tensors, architecture = load_file(source.path), source.architecture or ""
    if architecture.startswith(TIMM):
        package, name = _required("timm"), architecture.removeprefix(TIMM)
        config, arguments, _ = _timm_config(source)
        head = config.get("classifier")
        bias = tensors.get(f"{head if isinstance(head, str) else ''}.bias")
        arguments = {**arguments, "num_classes": outputs if bias is None else len(bias)}
        channels = {} if "in_chans" in arguments else {"in_chans": config["input_size"][0]}
        network = package.create_model(name, pretrained=False, **channels, **arguments)
    else:
        package, name = _required("torchvision").models, architecture.removeprefix(TORCHVISION)
        if name not in (known := package.list_models(package)):
            raise ConfigError(f"classifier.architecture: {unknown_name('model of torchvision', name, known)[:200]}")
        with torch.device("meta"):
            last = list(package.get_model(name, weights=None).state_dict())[-1]
        bias = tensors.get(last)
        network = package.get_model(name, weights=None, num_classes=outputs if bias is None else len(bias))
    wrong = network.load_state_dict(tensors, strict=False, assign=False)
    if named := [*wrong.missing_keys, *wrong.unexpected_keys]:
        raise ConfigError(
            f"classifier.architecture: '{architecture}' is not the network of {source}: '{named[0]}' is"
            f" {'not in the file' if wrong.missing_keys else 'no tensor of it'} ({len(named)} such)"
        )
    return network


# transformers


class _Logits(nn.Module):
    """The logits alone of a model of transformers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Map preprocessed images [N, C, H, W] to logits [N, K]."""
        return self.model(pixel_values=images).logits


def _transformers(folder: Path) -> _Logits:
    package = _required("transformers")
    logging = package.utils.logging
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:  # code of the folder's own is refused, as is a pickle
        model, found = package.AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    if missing := sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]])):
        raise ConfigError(f"classifier.file: {folder} lacks the weights of {missing[0]}: it holds no classifier")
    return _Logits(model)


def _of_transformers(folder: Path) -> Metadata:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import pil_modes_mapping

    model = _json(folder / "config.json")
    names = {int(number): name for number, name in model.get("id2label", {}).items()}
    classes = [names[number] for number in sorted(names)] or None
    if not (folder / "preprocessor_config.json").is_file():
        return Metadata(classes=classes, output="logits")
    says = _json(folder / "preprocessor_config.json")
    modes = {value: key for key, value in pil_modes_mapping.items()}
    mode = modes.get(says.get("resample", 2), InterpolationMode.LANCZOS).value
    odd = [key for key in ("do_pad", "do_reduce_labels") if says.get(key)]
    if odd or (says.get("do_resize", True) and mode not in ("bilinear", "bicubic", "nearest")):
        raise ConfigError(
            f"{folder / 'preprocessor_config.json'}: {odd[0] if odd else f'resample {mode}'} is not known here; export"
            " the network to ONNX and declare classifier.inputs"
        )
    resize, size = _sides(says.get("size")) if says.get("do_resize", True) else None, None
    if says.get("do_center_crop"):
        size = _sides(says.get("crop_size"))
    elif resize and says.get("crop_pct") and max(resize) < 384:  # as ConvNeXT's own transform
        size, resize = resize, (int(resize[0] / says["crop_pct"]), int(resize[1] / says["crop_pct"]))
    inputs: dict[str, Any] = {
        "interpolation": mode if resize else None, "resize": resize if size else None, "size": size or resize,
        "channels": model.get("num_channels", 3),
        "channel_order": "bgr" if says.get("do_flip_channel_order") else "rgb",
    }  # fmt: skip
    factor = says.get("rescale_factor", 1 / 255) if says.get("do_rescale", True) else 1.0
    ranges = {
        round(1 / 255, 6): "0..1",
        1.0: "0..255",
        round(1 / 127.5, 6): "-1..1" if says.get("rescale_offset") else None,
    }
    inputs["range"] = ranges.get(round(factor, 6))
    if says.get("do_normalize", True):
        inputs |= {"mean": says.get("image_mean"), "sd": says.get("image_std")}
    return Metadata(classes=classes, output="logits", inputs=InputsConfig.model_validate(inputs))


def _sides(says: Any) -> tuple[int, int] | None:
    """Return height and width for a square image."""
    if isinstance(says, int):
        return says, says
    if isinstance(says, dict) and "height" in says:
        return says["height"], says["width"]
    if isinstance(says, dict) and "shortest_edge" in says:
        return says["shortest_edge"], says["shortest_edge"]
    return None


# module:function


def _called(source: Source) -> nn.Module:
    assert source.function is not None
    module, name = source.function
    sys.path.insert(0, str(source.path.resolve()))  # the project's folder, where the user's module lies
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"classifier.file: '{source}' needs the module '{error.name}': install it, or put it into the project"
        ) from None
    finally:
        sys.path.remove(str(source.path.resolve()))
    if not callable(function := getattr(found, name, None)):
        known = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"classifier.file: {unknown_name(f'function of {module}', name, sorted(known))}")
    network = function()
    if not isinstance(network, nn.Module):
        raise ConfigError(f"classifier.file: '{source}' returns {type(network).__name__}, not an nn.Module")
    return network
