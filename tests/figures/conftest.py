"""A small analysed experiment in memory: random networks, colour images of 64x64 or grey ones of 32x32.

And how tests look at a figure.
"""

import io
from itertools import combinations
from pathlib import Path

import numpy
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from stylex.artifacts import save_tensors
from stylex.attfind.records import Attribute, Direction, Effects, EffectsHeader, map_name, write_maps
from stylex.classifiers import Classifier
from stylex.classifiers.frozen import NetworkDescription
from stylex.classifiers.networks import build_network
from stylex.config import ExperimentPaths, load_experiment
from stylex.datasets import ImageSplit
from stylex.figures.experiment import AnalysedExperiment
from stylex.figures.style import COLUMN_WIDTH, DPI
from stylex.latents.table import Latents
from stylex.networks.model import build_networks

NAMES = ("dull", "bright")
COUNT = 12
REACH = 3.0


@pytest.fixture(params=[(1, 32), (3, 64)], ids=["grey 32", "colour 64"])
def experiment(request, root: Path) -> AnalysedExperiment:
    """Half of the reconstructions are decided either way."""
    return make_experiment(root, *request.param)


def make_experiment(root: Path, channels: int, side: int) -> AnalysedExperiment:
    config = small_config(root, side)
    torch.manual_seed(0)
    description = NetworkDescription(
        role="classifier", name="random", architecture="resnet18", width=0.125, channels=channels, resolution=side,
        class_names=NAMES,
    )  # fmt: skip
    classifier = Classifier(build_network("resnet18", channels, 2, 0.125), description)
    networks = build_networks(config.stylex, side, channels, 2, seed=0).eval().requires_grad_(False)
    table = torch.randint(0, 256, (COUNT, channels, side, side), dtype=torch.uint8).numpy()
    ids = [f"image-{row}" for row in range(COUNT)]
    split = ImageSplit(torch.arange(COUNT) % 2, ids, NAMES, channels, side, table, torch.arange(COUNT).numpy())
    latents = make_latents(networks, classifier, split)
    layout = networks.synthesis.layout
    places = [layout.locate(index) for index in range(layout.size)]
    header = EffectsHeader(
        NAMES, config.attfind.shift, "float32", latents.minima.tolist(), latents.maxima.tolist(),
        [layer for layer, _ in places], [channel for _, channel in places], {},
    )  # fmt: skip
    effects = Effects(ids, latents.reconstruction_logits, torch.randn(COUNT, *header.shape), header)
    found = {
        name: [
            Attribute(name, rank, 5 * rank + side, *layout.locate(5 * rank + side), Direction(rank % 2), 2.0 / rank, 3)
            for rank in range(1, 7)
        ]
        for side, name in enumerate(NAMES)
    }
    paths = ExperimentPaths(root, "mnist")
    theta = 0.1 * torch.randn(latents.w.shape[1])
    save_tensors(paths.ganalyze, {"theta": theta}, {"target_class": "bright", "reach": str(REACH), "error": "1.0"})
    maps = {map_name(each): torch.rand(side, side) for name in NAMES for each in found[name]}
    write_maps(paths.maps, maps, {})
    return AnalysedExperiment(config, paths, "suite", latents, effects, found, networks, classifier, split)


@torch.no_grad()
def make_latents(networks, classifier: Classifier, split: ImageSplit) -> Latents:
    images = split.images()
    w, logits = 3 * networks.encoder(images), torch.eye(2)[split.labels] * 4
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    rendered = networks.synthesis.render(styles)
    answers = classifier(rendered)
    bias = classifier.network.head.bias
    bias[1] -= (answers[:, 1] - answers[:, 0]).median() - 1e-4
    error = (rendered - images).abs().mean(dim=(1, 2, 3))
    return Latents(
        ids=split.ids, labels=split.labels, logits=logits, w=w, styles=styles.space, to_rgb_styles=styles.to_rgb,
        reconstruction_l1=error, reconstruction_perceptual=error, reconstruction_logits=classifier(rendered),
        discriminator=torch.zeros(len(w)), class_names=NAMES, provenance={},
    )  # fmt: skip


def small_config(root: Path, side: int):
    config = load_experiment(root, "mnist")
    content = config.model_dump()
    channels = [8] * (side.bit_length() - 2)
    content["stylex"]["networks"] |= {
        f"{kind}_channels": channels for kind in ("generator", "encoder", "discriminator")
    }
    content["dataset"] |= {"resolution": side, "classes": list(NAMES)}
    return type(config).model_validate(content)


def pixels(figure: Figure) -> numpy.ndarray:
    """Return [H, W, 3] in 256 levels, as the file has them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return numpy.asarray(Image.open(buffer).convert("RGB"))


def around(raster: numpy.ndarray, axes: Axes, margin: int = 4) -> numpy.ndarray:
    """Cut out the axes with a margin of pixels."""
    box, (height, width) = axes.get_position(), raster.shape[:2]
    top, bottom = round((1 - box.y1) * height) - margin, round((1 - box.y0) * height) + margin
    return raster[top:bottom, round(box.x0 * width) - margin : round(box.x1 * width) + margin]


def frames_of(figure: Figure) -> list[str | None]:
    """Return the colour of the edge of each of the axes, None where there is none."""
    edges = [axes.spines["top"] for axes in figure.axes]
    return [to_hex(edge.get_edgecolor()).upper() if edge.get_visible() else None for edge in edges]


def assert_apart(figure: Figure) -> None:
    """Nothing leaves the page column, and nothing covers anything else."""
    assert figure.get_size_inches()[0] == COLUMN_WIDTH
    figure.draw_without_rendering()
    edge, boxes = figure.bbox, [each.get_window_extent() for each in (*figure.axes, *figure.texts)]
    assert all(box.x0 >= edge.x0 and box.x1 <= edge.x1 and box.y0 >= edge.y0 and box.y1 <= edge.y1 for box in boxes)
    for one, other in combinations(boxes, 2):
        assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0, (one, other)


def corners(figure: Figure) -> list[str]:
    """Return what is written into the axes, in order."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]
