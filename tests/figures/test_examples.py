"""Which attributes and images are shown, and that the probabilities are those of the images shown."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from stylex.attfind.records import Attribute, Direction, Effects, EffectsHeader, map_name, write_maps
from stylex.figures.attributes import choose_examples, render_attributes, top_attributes
from stylex.figures.experiment import AnalysedExperiment
from stylex.latents.table import Latents

COORDINATES = 3


def attribute(target: str, rank: int, style_index: int, effect: float = 1.0) -> Attribute:
    return Attribute(target, rank, style_index, 0, style_index, Direction.TO_MAX, effect, 5)


def latents(labels: list[int], names: tuple[str, ...], errors: list[float] | None = None) -> Latents:
    count = len(labels)
    logits = 2.0 * nn.functional.one_hot(torch.tensor(labels), len(names))
    return Latents(
        ids=[f"image-{index}" for index in range(count)],
        labels=torch.tensor(labels),
        logits=logits,
        w=torch.zeros(count, 2),
        styles=torch.linspace(-1, 1, count * COORDINATES).reshape(count, COORDINATES),
        to_rgb_styles=torch.zeros(count, 1),
        reconstruction_l1=torch.tensor(errors or [0.1] * count),
        reconstruction_perceptual=torch.zeros(count),
        reconstruction_logits=logits,
        discriminator=torch.zeros(count),
        class_names=names,
        provenance={},
    )


def effects(source: Latents, effect: Tensor, shift: float = 1.0) -> Effects:
    header = EffectsHeader(
        source.class_names, shift, "float32", source.minima.tolist(), source.maxima.tolist(), [0] * 3, [0, 1, 2], {}
    )
    return Effects(source.ids, source.reconstruction_logits, effect, header)


def no_effect(source: Latents) -> Tensor:
    return torch.zeros(len(source.ids), 2, COORDINATES, len(source.class_names))


def test_lists_are_merged_by_rank_and_a_coordinate_appears_once():
    lists = {
        "4": [attribute("4", 1, 7, 1.0), attribute("4", 2, 9, 5.0)],
        "9": [attribute("9", 1, 8, 2.0), attribute("9", 2, 7, 9.0), attribute("9", 3, 6)],
    }
    assert [(one.target_class, one.style_index) for one in top_attributes(lists, 3)] == [("9", 8), ("4", 7), ("4", 9)]
    assert [one.style_index for one in top_attributes(lists, 10)] == [8, 7, 9, 6]


def test_the_image_with_the_largest_change_is_shown_on_either_side():
    source = latents([0, 0, 0, 1, 1], ("4", "9"))
    effect = no_effect(source)
    effect[1, Direction.TO_MAX, 2, 1] = 3.0  # raises 9 on image 1, a 4
    effect[4, Direction.TO_MIN, 2, 1] = -3.0  # lowers 9 on image 4, a 9
    ((first, second),) = choose_examples([attribute("9", 1, 2)], effects(source, effect), source)
    assert first is not None and second is not None
    assert (first.image, first.raises, first.direction, first.predicted) == (1, True, Direction.TO_MAX, 0)
    assert (second.image, second.raises, second.direction, second.predicted) == (4, False, Direction.TO_MIN, 1)


def test_blocks_keep_the_order_of_two_classes():
    source = latents([0, 0, 1, 1], ("4", "9"))
    chosen = choose_examples([attribute("4", 1, 0), attribute("9", 1, 1)], effects(source, no_effect(source)), source)
    assert [[example.predicted for example in pair if example] for pair in chosen] == [[0, 1], [0, 1]]
    assert [[example.raises for example in pair if example] for pair in chosen] == [[False, True], [True, False]]


def test_an_image_is_not_shown_twice_while_others_remain():
    source = latents([0, 0, 1, 1], ("4", "9"))
    effect = no_effect(source)
    effect[0, :, :, 1] = 5.0
    chosen = choose_examples([attribute("9", rank, rank - 1) for rank in (1, 2)], effects(source, effect), source)
    assert [pair[0].image for pair in chosen if pair[0]] == [0, 1]


def test_images_without_a_measurement_are_not_shown():
    source = latents([0, 0, 0, 1, 1], ("4", "9"))
    effect = torch.full_like(no_effect(source), torch.nan)  # as a screened search leaves it
    effect[2, Direction.TO_MAX, 2] = torch.tensor([0.0, 1.0])
    ((raised, lowered),) = choose_examples([attribute("9", 1, 2)], effects(source, effect), source)
    assert raised is not None and raised.image == 2 and lowered is None


def test_faithful_reconstructions_come_before_larger_effects():
    source = latents([0, 0, 1], ("4", "9"), errors=[0.5, 0.1, 0.1])
    effect = no_effect(source)
    effect[0, :, :, 1] = 5.0
    effect[1, :, :, 1] = 2.0
    ((first, _),) = choose_examples([attribute("9", 1, 0)], effects(source, effect), source)
    assert first is not None and first.image == 1


def test_latents_are_joined_by_id():
    source = latents([0, 0, 0, 1], ("4", "9"))
    effect = no_effect(source)
    effect[2, :, :, 1] = 3.0
    records = effects(source, effect)
    order = [3, 1, 0, 2]
    records = replace(
        records, ids=[source.ids[i] for i in order], base_logits=records.base_logits[order], effect=effect[order]
    )
    ((first, _),) = choose_examples([attribute("9", 1, 0)], records, source)
    assert first is not None and first.image == 2


def test_a_class_that_nothing_is_classified_as_leaves_its_block_empty():
    source = latents([0, 0, 1], ("0", "1", "2"))
    chosen = choose_examples([attribute("2", 1, 0)], effects(source, no_effect(source)), source)
    assert chosen[0][0] is not None and chosen[0][1] is None


class Mean(nn.Module):
    """A classifier: the logit of the second class is the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3)) * self.scale
        return torch.stack([torch.zeros_like(mean), mean], 1)


class Flat(nn.Module):
    """A generator: a flat image of the value of coordinate 1."""

    def __init__(self) -> None:
        super().__init__()
        self.synthesis = self

    def render(self, styles) -> Tensor:
        return styles.space[:, 1, None, None, None].expand(-1, 1, 4, 4)


def test_the_printed_probability_is_that_of_the_image_shown(tmp_path):
    source = latents([0, 0, 1, 1], ("4", "9"))
    records = effects(source, no_effect(source), shift=2.0)
    config = SimpleNamespace(attfind=SimpleNamespace(shift=2.0), evaluation=SimpleNamespace(batch_size=2))
    paths, one, change = SimpleNamespace(maps=tmp_path / "maps.safetensors"), attribute("9", 1, 1), torch.rand(4, 4)
    write_maps(paths.maps, {map_name(one): change}, {})
    analysed = AnalysedExperiment(config, paths, "", source, records, {}, Flat(), Mean(), None)  # pyright: ignore
    (chosen,) = choose_examples([one], records, source)
    (row,) = render_attributes(analysed, [one])
    assert (row.change == change.numpy()).all()
    for example, pair in zip(chosen, row.pairs, strict=True):
        assert example is not None and pair is not None
        extreme = source.maxima[1] if example.direction == Direction.TO_MAX else source.minima[1]
        start = source.styles[example.image, 1]
        assert pair.counterfactual.max() == pytest.approx((start + 2 * (extreme - start)).item())
        assert pair.before == pytest.approx(torch.sigmoid(start).item())
        assert pair.after == pytest.approx(torch.sigmoid(torch.tensor(pair.counterfactual.max())).item())
