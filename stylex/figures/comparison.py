"""StylEx beside other explanations, as figure 2 of [L]: Grad-CAM, one learned direction, and one attribute at a time.

A row is one image; the caption (catalog.yaml) says which images, and how each is changed. Grad-CAM (Selvaraju et al.
2017) is computed by captum on the last convolutional stage; theta is the one direction of `stylex ganalyze`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from stylex.artifacts import load_tensors
from stylex.classifiers import Classifier
from stylex.errors import ArtifactError
from stylex.figures.experiment import AnalysedExperiment, opposite
from stylex.figures.style import MARGIN, Board, Image, common, frame_of, rgb, show, squares, styled
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector

OF_EACH_SIDE = 2  # images not classified y, and images classified y
ATTRIBUTES = 3
BEFORE_ATTRIBUTES = 4  # image, Grad-CAM, both ways of the direction
HEAT = "inferno"  # brightness rises with the value: read with any colour vision, and in grey
STRONGEST = 0.75  # of the heat over the image
GAP, DIVIDE, HEADER, TITLE = 0.04, 0.09, 0.3, 0.14  # inches


class Cell(NamedTuple):
    """One image of a row."""

    image: Image
    probability: float | None = None  # of y; None: it is a map
    raises: bool | None = None  # what the image was changed for; None: it was not


@dataclass(frozen=True)
class ComparedImage:
    """One row, one tile per column."""

    predicted: str  # what the classifier makes of the reconstruction
    is_target: bool  # that is y
    tiles: tuple[Cell, ...]


def comparison_figure(experiment: AnalysedExperiment) -> Figure:
    """Return StylEx beside Grad-CAM and GANalyze."""
    heat = "Grad-CAM" if experiment.classifier.last_maps is not None else "gradient"
    return draw_comparison(render_compared(experiment), experiment.class_name, read_direction(experiment)[1], heat)


def choose_compared(latents: Latents, target: int) -> tuple[list[int], list[int]]:
    """Return rows of measured images not classified y, and of those classified y, at most `OF_EACH_SIDE` each.

    Of the images rightly classified, and so rebuilt, the ones whose error is nearest the median of their side.
    """
    decided, error = latents.reconstruction_logits.argmax(dim=1), latents.reconstruction_l1
    right = (latents.logits.argmax(dim=1) == latents.labels) & (decided == latents.labels)
    chosen = []
    for side in (latents.measured & (decided != target), latents.measured & (decided == target)):
        rows = torch.nonzero(side & right if (side & right).any() else side).flatten()
        if len(rows):
            rows = rows[(error[rows] - error[rows].median()).abs().argsort(stable=True)[:OF_EACH_SIDE]]
        chosen.append(rows.tolist())
    return chosen[0], chosen[1]


def read_direction(experiment: AnalysedExperiment) -> tuple[Tensor, float]:
    """Return theta [W] and its reach in logits; raise `ArtifactError` when they are of another class or network."""
    path = experiment.paths.ganalyze
    tensors, header = load_tensors(path)
    theta, width = tensors.get("theta"), experiment.latents.w.shape[1]
    if theta is None or theta.shape != (width,) or header.get("target_class") != experiment.class_name:
        wanted = f"direction of {width} numbers towards {experiment.class_name}"
        raise ArtifactError(f"{path} holds no {wanted}; delete it and run its stage again")
    return theta, float(header["reach"])


def render_compared(experiment: AnalysedExperiment) -> list[ComparedImage]:
    """Render all rows, and classify what is shown."""
    others, targets = choose_compared(experiment.latents, experiment.target)
    return [_row(experiment, row, is_target) for rows, is_target in ((others, False), (targets, True)) for row in rows]


def _row(experiment: AnalysedExperiment, row: int, is_target: bool) -> ComparedImage:
    latents, target = experiment.latents, experiment.target
    theta, reach = read_direction(experiment)
    attributes = experiment.attributes.get(experiment.class_name, [])[:ATTRIBUTES]
    moves = [(one.style_index, opposite(one.direction) if is_target else one.direction) for one in attributes]
    styles = [*_along(experiment, row, theta, (-reach, reach)), *(experiment.styles(row, [one]) for one in moves)]
    images, chances = experiment.rendered(styles)
    image = experiment.originals([row])[0]
    decision = latents.logits[row].argmax()
    device = next(experiment.classifier.parameters()).device
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
    heat = grad_cam(experiment.classifier, batch, decision[None])[0].cpu().numpy()
    tiles = [Cell(image, float(latents.logits[row].softmax(dim=0)[target])), Cell(2 * overlay(image, heat) - 1)]
    meant = [False, True] + [not is_target] * len(moves)
    for moved, chance, raises in zip(images, chances, meant, strict=True):
        tiles.append(Cell(moved, float(chance[target]), raises))
    predicted = latents.class_names[int(latents.reconstruction_logits[row].argmax())]
    return ComparedImage(predicted, is_target, tuple(tiles))


@torch.no_grad()
def _along(experiment: AnalysedExperiment, row: int, theta: Tensor, alphas: Sequence[float]) -> list[StyleVector]:
    """Return the styles of w + alpha theta, with the conditioning of the image itself."""
    networks, device = experiment.networks, next(experiment.networks.parameters()).device
    w = experiment.latents.w[row] + torch.tensor(alphas)[:, None] * theta
    logits = experiment.latents.logits[row].expand(len(alphas), -1)
    styles = networks.synthesis.styles(networks.w_plus(w.to(device), logits.to(device))).to("cpu")
    return [styles.select(slice(number, number + 1)) for number in range(len(alphas))]


def grad_cam(classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Return heat maps [N, H, W] in [0, 1] of `classes` [N]; images [N, C, H, W] in [-1, 1] on the classifier's device.

    Each map is scaled to a largest value of 1; one without positive evidence is 0. The classifier is left as it is:
    frozen parameters take no gradient, the copied images do. Without maps: the largest gradient of a pixel's channels.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    copied = images.detach().clone().requires_grad_()
    if (layer := classifier.last_maps) is None:  # of a user's own transformer: the gradient of the pixels
        logits = classifier(copied).gather(1, classes.to(images.device)[:, None])
        heat = torch.autograd.grad(logits.sum(), copied)[0].abs().amax(1)
        return heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
    method = LayerGradCam(classifier, layer)
    maps = cast(Tensor, method.attribute(copied, target=classes.to(images.device), relu_attributions=True)).detach()
    sides = images.shape[2], images.shape[3]
    heat = cast(Tensor, LayerAttribution.interpolate(maps, sides, interpolate_mode="bilinear"))[:, 0]
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)


def overlay(image: Image, heat: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """Return [H, W, 3] in [0, 1]: the image in grey under the heat map [H, W], which covers it the more the hotter."""
    grey = rgb(image).mean(axis=2, keepdims=True)
    colours = colormaps[HEAT](heat)[..., :3]
    cover = STRONGEST * heat[..., None]
    return ((1 - cover) * grey + cover * colours).astype(numpy.float32)


@styled()
def draw_comparison(rows: Sequence[ComparedImage], class_name: str, reach: float, heat: str = "Grad-CAM") -> Figure:
    """Draw all rows under the names of the methods; `reach`: of GANalyze, in logits; `heat`: what the maps are."""
    side, lefts = squares([DIVIDE, DIVIDE, GAP, DIVIDE, *[GAP] * (ATTRIBUTES - 1)])
    groups = [[row for row in rows if row.is_target == is_target] for is_target in (False, True)]
    groups = [group for group in groups if group]
    board = Board(HEADER + len(rows) * (side + GAP) + len(groups) * TITLE + MARGIN)
    _headings(board, [left + side / 2 for left in lefts], reach, heat)
    top = HEADER
    for group in groups:
        name = common(row.predicted for row in group)
        kind = "several classes" if name is None else f"classified {name}"  # the former no class comes out as
        board.text(MARGIN, top, f"{kind}: P({class_name})", size=6, weight="bold")
        top += TITLE
        for row in group:
            for left, tile in zip(lefts, row.tiles, strict=False):
                corner = "" if tile.probability is None else f"{tile.probability:.2f}"
                show(board.axes(left, top, side), tile.image, corner, frame_of(tile.raises), small=True)
            if len(row.tiles) == BEFORE_ATTRIBUTES:
                board.text(lefts[BEFORE_ATTRIBUTES], top + side / 2 - 0.04, "AttFind found no attribute")
            top += side + GAP
    return board.figure


def _headings(board: Board, centres: Sequence[float], reach: float, heat: str) -> None:
    for name, first, last in (("image", 0, 0), (heat, 1, 1), ("GANalyze", 2, 3), ("StylEx", 4, -1)):
        board.text((centres[first] + centres[last]) / 2, 0.05, name, size=6.5, ha="center", weight="bold")
    details = [f"α = −{reach:.0f}", f"α = +{reach:.0f}", *(f"attribute {number + 1}" for number in range(ATTRIBUTES))]
    for centre, text in zip(centres[2:], details, strict=True):
        board.text(centre, 0.17, text, size=5.2, ha="center")
