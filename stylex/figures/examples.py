"""Which attributes and images the figure of top attributes shows: data assembly, no drawing.

Attributes: the lists of all target classes, merged by rank (equal ranks: the larger mean effect first); a coordinate in
two lists appears once. Images: for each attribute and block the image whose probability of the target class changes the
most in the intended direction, by AttFind's records. Images that the classifier gets right and whose reconstruction
error, where it is known, is at most the median of their block's come first, and an image that an earlier row shows
comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylex.attfind.records import Attribute, Direction, Effects
from stylex.figures.attributes import AttributeRow, Pair
from stylex.latents.table import Latents
from stylex.networks.model import StylexNetworks
from stylex.networks.stylespace import StyleVector, move


@dataclass(frozen=True)
class Example:
    """One block of a row: an image (row of the latents), moved one way, to raise or to lower the target class."""

    image: int
    direction: Direction
    raises: bool
    predicted: int


def top_attributes(by_class: dict[str, list[Attribute]], count: int) -> list[Attribute]:
    """Merge the lists of all target classes by rank and return the first `count` different coordinates."""
    every = [attribute for attributes in by_class.values() for attribute in attributes]
    every.sort(key=lambda attribute: (attribute.rank, -attribute.mean_effect, attribute.style_index))
    first: dict[int, Attribute] = {}
    for attribute in every:
        first.setdefault(attribute.style_index, attribute)
    return list(first.values())[:count]


def choose_examples(
    attributes: Iterable[Attribute], effects: Effects, latents: Latents
) -> list[tuple[Example | None, Example | None]]:
    """Choose the two blocks of each attribute (None: no image of that kind).

    Two classes: blocks in the order of the classes. More: first an image of another class, then one of the target.
    """
    position = {identity: row for row, identity in enumerate(latents.ids)}
    rows = torch.tensor([position[identity] for identity in effects.ids])
    shown: set[int] = set()
    chosen = []
    for attribute in attributes:
        pair = []
        for raises in (True, False):
            index = _best(attribute, raises, effects, latents, rows, shown)
            if index is None:
                pair.append(None)
                continue
            shown.add(index)
            direction = attribute.direction if raises else Direction(1 - attribute.direction)
            predicted = int(effects.base_logits[index].argmax())
            pair.append(Example(int(rows[index]), direction, raises, predicted))
        by_class = len(effects.header.class_names) == 2 and effects.header.class_names[0] == attribute.target_class
        chosen.append((pair[1], pair[0]) if by_class else (pair[0], pair[1]))
    return chosen


def strongest(attribute: Attribute, raises: bool, effects: Effects, latents: Latents, count: int) -> list[int]:
    """Return the rows of at most `count` images of one side by the rule of `choose_examples`, best first."""
    position = {identity: row for row, identity in enumerate(latents.ids)}
    rows = torch.tensor([position[identity] for identity in effects.ids])
    chosen: list[int] = []
    while len(chosen) < count:
        index = _best(attribute, raises, effects, latents, rows, set(chosen))
        if index is None or index in chosen:
            break
        chosen.append(index)
    return [int(rows[index]) for index in chosen]


def _best(
    attribute: Attribute, raises: bool, effects: Effects, latents: Latents, rows: Tensor, shown: set[int]
) -> int | None:
    """Return the row of `effects` to show; `rows` maps it to the row of `latents`."""
    target = effects.header.class_names.index(attribute.target_class)
    base = effects.base_logits
    direction = attribute.direction if raises else 1 - attribute.direction
    moved = base + effects.effect[:, direction, attribute.style_index]
    change = moved.softmax(1)[:, target] - base.softmax(1)[:, target]  # in [-1, 1]
    candidates = base.argmax(1).ne(target) if raises else base.argmax(1).eq(target)
    candidates &= ~change.isnan()  # a screened search measures some images only
    if not candidates.any():
        return None
    error = latents.reconstruction_l1[rows]
    near = error.isnan() | (error <= error[candidates].median())  # NaN: of a released model, without the images
    faithful = (latents.labels[rows] == base.argmax(1)) & near
    seen = torch.zeros(len(rows), dtype=torch.bool)
    seen[list(shown)] = True
    # Steps larger than the range of a change make the preferences come before the size of the change.
    score = (change if raises else -change) + 2 * faithful - 4 * seen
    return int(score.masked_fill(~candidates, -torch.inf).argmax())


@torch.no_grad()
def render_examples(
    attributes: list[Attribute],
    examples: list[tuple[Example | None, Example | None]],
    effects: Effects,
    latents: Latents,
    networks: StylexNetworks,
    classifier: nn.Module,
    maps: Sequence[Tensor],
) -> list[AttributeRow]:
    """Render reconstructions and counterfactuals and let the classifier judge the very images that are shown.

    examples, maps [H, W]: of each attribute.
    """
    device = next(classifier.parameters()).device
    names = effects.header.class_names
    rows = []
    for number, (attribute, blocks, each) in enumerate(zip(attributes, examples, maps, strict=True), start=1):
        target = names.index(attribute.target_class)
        pairs = []
        for example in blocks:
            if example is None:
                pairs.append(None)
                continue
            styles = _before_and_after(attribute, example, effects, latents)
            images = networks.synthesis.render(styles.to(device))
            probability = classifier(images).softmax(1)[:, target].tolist()
            before, after = images.permute(0, 2, 3, 1).float().cpu().numpy()
            pairs.append(Pair(names[example.predicted], example.raises, before, after, *probability))
        details = f"layer {attribute.layer}\nchannel {attribute.channel}"
        rows.append(AttributeRow(number, attribute.target_class, details, (pairs[0], pairs[1]), each.numpy()))
    return rows


def _before_and_after(attribute: Attribute, example: Example, effects: Effects, latents: Latents) -> StyleVector:
    """Return the styles of an image as they are and with the attribute moved, [2, K]."""
    header = effects.header
    styles = latents.style_vector(torch.tensor([example.image]))
    extreme = (header.maxima if example.direction == Direction.TO_MAX else header.minima)[attribute.style_index]
    moved = move(styles.space, torch.tensor([attribute.style_index]), torch.tensor([extreme]), header.shift)
    return StyleVector(torch.cat([styles.space, moved]), styles.to_rgb.repeat(2, 1))
