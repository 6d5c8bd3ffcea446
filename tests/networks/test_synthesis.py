"""Styles as data: their layout, moves, mixing, rendering in stages, and the generator's options."""

import pytest
import torch
from torch.nn import functional as F

from stylex.networks.stylespace import StyleSpaceLayout, move
from stylex.networks.synthesis import Synthesis

CHANNELS = [6, 5, 4]
LAYERS = 5
OPTIONS = {
    "skip": {},
    "last": {"to_rgb": "last"},
    "no noise": {"noise": False},
    "learned": {"to_rgb_styles": "learned"},
    "condition": {"condition_coordinates": 4, "condition_dim": 2},
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def synthesis(request):
    torch.manual_seed(0)
    network = Synthesis(7, CHANNELS, 3, **request.param).eval().requires_grad_(False)
    for layer in network.layers:
        if layer.noise_strength is not None:
            layer.noise_strength.fill_(0.5)
    return network


def test_mixing_styles_is_styling_mixed_latents(synthesis):
    first, second = torch.randn(6, 7), torch.randn(6, 7)
    from_second = torch.rand(6, LAYERS) < 0.5
    w_plus = torch.where(from_second[:, :, None], second[:, None], first[:, None])
    mixed = synthesis.mix(synthesis.styles(first), synthesis.styles(second), from_second)
    for ours, layer_by_layer in zip(mixed, synthesis.styles(w_plus), strict=True):
        torch.testing.assert_close(ours, layer_by_layer, atol=1e-6, rtol=1e-5)


def test_k_does_not_depend_on_the_options(synthesis):
    a, b, c = CHANNELS
    assert synthesis.layout.size == a + (a + b) + (b + c)
    assert len(synthesis.layers) == LAYERS
    styles = synthesis.styles(torch.randn(2, 7))
    assert styles.space.shape == (2, synthesis.layout.size)
    assert styles.to_rgb.shape == (2, c if synthesis.first_image else a + b + c)


def test_image_is_the_sum_of_what_the_drawing_layers_add(synthesis):
    """skip: every resolution adds to the upsampled image below it; last: the last one alone draws."""
    styles, state, expected = synthesis.styles(torch.randn(2, 7)), synthesis.start(2), None
    to_rgb = list(styles.to_rgb.split(synthesis.to_rgb_layout.widths, dim=1))
    assert len(to_rgb) == len(synthesis.to_image) == (1 if synthesis.first_image else 3)
    for index in range(LAYERS):
        state = synthesis.advance(state, styles)
        if index % 2 or index // 2 < synthesis.first_image:
            continue
        layer, style = synthesis.to_image[index // 2 - synthesis.first_image], to_rgb.pop(0)
        weights = layer.weight[None] * style[:, None, :, None, None]
        drawn = torch.cat([F.conv2d(x[None], w, layer.bias) for x, w in zip(state.features, weights, strict=True)])
        if expected is not None:
            drawn = drawn + F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
        expected = drawn
    torch.testing.assert_close(synthesis.render(styles), expected, atol=1e-5, rtol=1e-4)
    assert expected.shape == (2, 3, 16, 16)


def test_learned_styles_of_to_rgb_are_those_of_no_image():
    synthesis = Synthesis(7, CHANNELS, 3, to_rgb_styles="learned")
    styles = synthesis.styles(torch.randn(4, 7))
    assert torch.equal(styles.to_rgb, synthesis.to_rgb_affine.bias.expand(4, -1))
    synthesis.render(styles).sum().backward()
    assert synthesis.to_rgb_affine.bias.grad.abs().min() > 0


def test_without_noise_there_is_nothing_to_fix_or_draw():
    synthesis = Synthesis(7, CHANNELS, 1, noise=False)
    assert synthesis.noise_sides == []
    assert not [name for name in synthesis.state_dict() if "noise" in name]
    assert Synthesis(7, CHANNELS, 1).noise_sides == [4, 8, 8, 16, 16]


def test_rendering_in_stages_equals_rendering_at_once(synthesis):
    styles = synthesis.styles(torch.randn(2, 7))
    state = synthesis.start(2)
    for _ in range(3):
        state = synthesis.advance(state, styles)
    whole = synthesis.render(styles)
    assert whole.shape == (2, 3, 16, 16)
    torch.testing.assert_close(synthesis.finish(state, styles), whole)


def test_one_state_serves_many_styles_and_one_style_many_states(synthesis):
    styles = synthesis.styles(torch.randn(3, 7))
    touched = synthesis.advance(synthesis.start(1), styles)
    assert touched.features.shape[0] == 3
    many = synthesis.advance(synthesis.start(3), styles)
    torch.testing.assert_close(touched.features, many.features, atol=1e-5, rtol=1e-4)
    one = styles.select(torch.tensor([1]))
    expected = synthesis.finish(touched, one.select(torch.tensor([0, 0, 0])))
    torch.testing.assert_close(synthesis.finish(touched, one), expected, atol=1e-4, rtol=1e-4)


def test_condition_coordinates_follow_the_condition_alone_and_all_others_w_alone():
    synthesis = Synthesis(7, CHANNELS, 3, condition_coordinates=4, condition_dim=2)
    index, size = synthesis.condition_index, synthesis.layout.size
    assert len({synthesis.layout.locate(place)[0] for place in index.tolist()}) == 4  # of five layers
    others = torch.ones(size, dtype=torch.bool).index_fill(0, index, False)
    w_plus = torch.randn(3, 7)
    changed = {"w": w_plus.clone(), "c": w_plus.clone()}
    changed["w"][:, :5] += 1
    changed["c"][:, 5:] += 1
    before, of_w, of_c = (synthesis.styles(each) for each in (w_plus, changed["w"], changed["c"]))
    assert torch.equal(of_w.space[:, index], before.space[:, index]) and (of_w.space != before.space)[:, others].all()
    assert torch.equal(of_c.space[:, others], before.space[:, others]) and (of_c.space != before.space)[:, index].all()
    assert torch.equal(of_c.to_rgb, before.to_rgb) and not torch.equal(of_w.to_rgb, before.to_rgb)
    moved = synthesis.with_condition(before, changed["c"][:, 5:], torch.tensor([True, False, True, False]).expand(3, 4))
    assert torch.equal(moved.space[:, index[::2]], of_c.space[:, index[::2]])
    assert torch.equal(moved.space[:, index[1::2]], before.space[:, index[1::2]])


def test_layout_locates_every_coordinate():
    layout = StyleSpaceLayout((4, 4, 3))
    expected = [(layer, channel) for layer, width in enumerate(layout.widths) for channel in range(width)]
    assert layout.size == 11 and [layout.locate(index) for index in range(11)] == expected
    with pytest.raises(IndexError, match="outside 0..10"):
        layout.locate(11)
    space = torch.arange(22.0).reshape(2, 11)
    for part, rows in zip(layout.split(space), layout.rows(), strict=True):
        assert torch.equal(part, space[:, rows])


def test_a_move_goes_shift_times_the_way_and_leaves_its_input():
    """Of a coordinate that [N]'s search chose in both directions the last move counts, from the image's own value."""
    space = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    before = space.clone()
    moved = move(space, torch.tensor([2, 0]), torch.tensor([7.0, -1.0]), 2.0)
    torch.testing.assert_close(moved, torch.tensor([[-3.0, 2.0, 11.0], [-6.0, 5.0, 8.0]]))
    assert torch.equal(space, before)
    moved = move(space[:1, :2], torch.tensor([0, 1, 0]), torch.tensor([-5.0, 3.0, 9.0]), 2.0)
    torch.testing.assert_close(moved, torch.tensor([[17.0, 4.0]]))
