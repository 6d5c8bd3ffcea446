"""A small classifier of designed colour images, trained by plain torch, and the ways in which people save one."""

import json
import shutil
import sys
import types
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from stylex.datasets import download, prepare

CLASSES = ("ember", "flame", "orchid")
COLOURS = ((110, 25, 60), (250, 60, 30), (200, 60, 200))
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 32
# What a user declares of the network below, whose file says nothing.
DECLARED = {
    "classes": list(CLASSES),
    "output": "logits",
    "inputs": {"range": "0..1", "mean": list(MEAN), "sd": list(SD)},
}


def pictures(count: int, seed: int) -> tuple[numpy.ndarray, list[int]]:
    """Discs of three colours, of two brightnesses: uint8 [count, SIDE, SIDE, 3], and which colour each has."""
    random = numpy.random.default_rng(seed)
    pixels = random.integers(0, 50, (count, SIDE, SIDE, 3))
    y, x = numpy.mgrid[:SIDE, :SIDE]
    for number in range(count):
        row, column, radius = random.integers(10, 22), random.integers(10, 22), random.integers(7, 10)
        disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
        pixels[number][disc] = numpy.array(COLOURS[number % 3]) + random.integers(-15, 16, (disc.sum(), 3))
    return pixels.clip(0, 255).astype(numpy.uint8), [number % 3 for number in range(count)]


def write_pngs(folder: Path, count: int, seed: int = 5) -> list[Path]:
    """Write a folder for each class."""
    paths = []
    for number, (pixels, label) in enumerate(zip(*pictures(count, seed), strict=True)):
        path = folder / CLASSES[label] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


def read_bytes(paths: list[Path]) -> Tensor:
    """PNG files as uint8 [N, 3, SIDE, SIDE], read by Pillow alone."""
    return torch.stack([torch.from_numpy(numpy.asarray(Image.open(path)).copy()).permute(2, 0, 1) for path in paths])


def normalised(pixels: Tensor) -> Tensor:
    """What the network was trained on, computed as people do."""
    mean, sd = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, SD))
    return (pixels / 255 - mean) / sd


def network(outputs: int = 3) -> nn.Sequential:
    layers = [nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, outputs))


@cache
def trained() -> nn.Sequential:
    """The network after two seconds of training, in eval mode."""
    torch.manual_seed(0)
    pixels, labels = pictures(240, 1)
    images, targets = normalised(torch.from_numpy(pixels).permute(0, 3, 1, 2)), torch.tensor(labels)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(12):
        for rows in torch.randperm(len(images)).split(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), targets[rows]).backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


class ChannelsLast(nn.Module):
    """Takes images as Keras does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.permute(0, 3, 1, 2))


def save_torchscript(path: Path, model: nn.Module, says: dict | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)
        traced = torch.jit.trace(model, torch.zeros(2, 3, SIDE, SIDE))
        torch.jit.save(traced, str(path), _extra_files={"stylex.json": json.dumps(says)} if says else {})
    return path


def save_exported(path: Path, model: nn.Module, says: dict | None = None, batch: int | None = None) -> Path:
    shapes = ({0: torch.export.Dim("n")},) if batch is None else None
    program = torch.export.export(model, (torch.zeros(batch or 2, 3, SIDE, SIDE),), dynamic_shapes=shapes)
    torch.export.save(program, path, extra_files={"stylex.json": json.dumps(says)} if says else None)
    return path


def save_onnx(path: Path, model: nn.Module, says: dict | None = None, batch: int | None = None, last=False) -> Path:
    """By torch's own exporter, which keeps the weights in a file beside it."""
    import onnx

    shape = (batch or 2, SIDE, SIDE, 3) if last else (batch or 2, 3, SIDE, SIDE)
    shapes = ({0: torch.export.Dim("n")},) if batch is None else None
    torch.onnx.export(model, (torch.zeros(shape),), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    if says:
        held = onnx.load(path, load_external_data=False)
        held.metadata_props.add(key="stylex.json", value=json.dumps(says))
        onnx.save(held, path)
    return path


def timm_vit(side: int = SIDE) -> nn.Module:
    import timm

    torch.manual_seed(1)
    return timm.create_model("vit_tiny_patch16_224", **vit_arguments(side), num_classes=3).eval().requires_grad_(False)


def vit_arguments(side: int) -> dict:
    return {"img_size": side, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}


def save_timm(folder: Path, model: nn.Module, side: int = SIDE, crop: float = 1.0) -> Path:
    """As timm's `save_for_hf` writes a folder."""
    from timm.models import save_for_hf

    model.pretrained_cfg.update(crop_pct=crop)
    said = {"label_names": list(CLASSES)}
    save_for_hf(model, str(folder), model_config=said, model_args=vit_arguments(side), safe_serialization=True)
    return folder


def save_transformers(folder: Path, side: int = SIDE) -> nn.Module:
    """A tiny vision transformer with its processor, as `save_pretrained` writes a folder."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(2)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=side, patch_size=8,
        id2label=dict(enumerate(CLASSES)), label2id={name: number for number, name in enumerate(CLASSES)},
    )  # fmt: skip
    model = ViTForImageClassification(config).eval().requires_grad_(False)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return model


def save_weights(path: Path, model: nn.Module, says: dict | None = None) -> Path:
    save_file(model.state_dict(), path, {"stylex.json": json.dumps(says)} if says else None)
    return path


def write_config(root: Path, path: str, content: dict) -> None:
    (root / "config" / path).parent.mkdir(parents=True, exist_ok=True)
    (root / "config" / path).write_text(yaml.safe_dump(content), encoding="utf-8")


def prepared_project(root: Path) -> Path:
    """A project with 180 designed images in a folder, prepared."""
    shutil.copytree(Path(__file__).parents[2] / "config", root / "config")
    write_pngs(root / "images", 180)
    dataset = {"title": "Discs", "layout": "folders", "licence": "mine", "folder": "images", "classes": list(CLASSES)}
    write_config(root, "datasets/discs.yaml", dataset)
    write_config(root, "backbones/tiny.yaml", {"extends": "backbone-32", "dataset": "discs"})
    download(root, "discs")
    prepare(root, "discs", SIDE)
    return root


def write_experiment(root: Path, classifier: dict) -> None:
    content = {
        "extends": "cpu-32", "title": "Discs", "domain": "Discs", "classifier": classifier,
        "dataset": {"name": "discs"}, "stylex": {"perceptual_backbone": "tiny"},
    }  # fmt: skip
    write_config(root, "experiments/tiny.yaml", content)


def define(monkeypatch, build: Callable[[], nn.Module], name: str = "mine") -> str:
    """Have a module of the user's own that returns the network; return the reference to it."""
    module = types.ModuleType(name)
    module.network = build
    monkeypatch.setitem(sys.modules, name, module)
    return f"{name}:network"
