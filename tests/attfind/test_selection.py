"""Algorithm 1 ([L] 3.3) against tables computed by hand, and what the replications got wrong."""

import pandas
import pytest
import torch
import yaml

from stylex.artifacts import read_json
from stylex.attfind.records import Direction, Effects, EffectsHeader, EffectsRow, effects_writer, read_attributes
from stylex.attfind.selection import select, select_attributes
from stylex.config import ExperimentPaths
from stylex.errors import AttributesNotFoundError

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX


def effects_from(rows, predicted, class_names=("a", "b"), target=1):
    """Build effects on `target` from rows[image] = [[to_min of s0, s1, …], [to_max of s0, s1, …]]."""
    table = torch.tensor(rows, dtype=torch.float32)
    effect = torch.zeros(*table.shape, len(class_names))
    effect[..., target] = table
    base = torch.nn.functional.one_hot(torch.tensor(predicted), len(class_names)).float()
    size = table.shape[2]
    header = EffectsHeader(
        class_names,
        1.0,
        "float32",
        [0.0] * size,
        [1.0] * size,
        [s // 2 for s in range(size)],
        [s % 2 for s in range(size)],
        {},
    )
    return Effects([f"image-{row}" for row in range(len(rows))], base, effect, header)


# Five images, four coordinates; image 4 is of class b already and must not count. Threshold 2.
#            to_min: s0    s1    s2    s3      to_max: s0    s1    s2    s3
HAND_MADE = [
    [[-1.0, +9.0, +0.5, -0.2], [+3.0, +9.0, -1.0, +0.1]],
    [[-1.0, +9.0, +2.5, -0.2], [+3.0, +9.0, -1.0, +0.1]],
    [[-1.0, +9.0, +1.5, -0.2], [+0.0, +9.0, -1.0, +0.7]],
    [[-1.0, +9.0, +0.5, -0.2], [+1.0, +9.0, -1.0, +0.7]],
    [[+99.0, +99.0, +99.0, +99.0], [-99.0, -99.0, -99.0, +99.0]],
]
# Means of images 0-3: s0 to_max 7/4 = 1.75, s1 9 and 9 (inconsistent), s2 to_min 5/4 = 1.25, s3 to_max 1.6/4 = 0.4.
# 1. s0 to_max, 1.75: explains images 0 and 1 (3 > 2). Left: 2 and 3, on which s2 to_min is 1.0 and s3 to_max 0.7.
# 2. s2 to_min, 1.0: explains none. 3. s3 to_max, 0.7: explains none. Nothing is left (s1 is inconsistent).


def test_hand_computed_table():
    selection = select_attributes(effects_from(HAND_MADE, [0, 0, 0, 0, 1]), target=1, threshold=2, max_attributes=10)
    found = [(a.rank, a.style_index, a.layer, a.channel, a.direction, a.images_explained) for a in selection.attributes]
    assert found == [(1, 0, 0, 0, TO_MAX, 2), (2, 2, 1, 0, TO_MIN, 0), (3, 3, 1, 1, TO_MAX, 0)]
    assert [a.mean_effect for a in selection.attributes] == pytest.approx([1.75, 1.0, 0.7])
    assert selection.images == 4
    assert selection.stopped == "no coordinate left raises the class"
    assert {a.target_class for a in selection.attributes} == {"b"}


def test_images_of_the_target_class_are_left_out():
    # A replication split the classes the wrong way round: it explained the images of class y.
    with_own_class = effects_from(HAND_MADE, [0, 0, 0, 0, 1])
    without = effects_from(HAND_MADE[:4], [0, 0, 0, 0])
    assert select_attributes(with_own_class, 1, 2, 10) == select_attributes(without, 1, 2, 10)


def test_an_image_of_the_target_class_does_not_hide_what_raises_it():
    # The reversed split again: an image of the target class, which everything lowers, must not hide what raises it.
    effects = effects_from([[[0.0], [3.0]], [[0.0], [-100.0]]], [0, 1])
    found = select_attributes(effects, 1, 2, 10).attributes
    assert [(a.style_index, a.direction, a.mean_effect) for a in found] == [(0, TO_MAX, 3.0)]


def test_as_many_coordinates_as_there_are():
    # The replications had K = 2464 written into the code.
    for size in (1, 7, 3000):
        rows = torch.full((2, 2, size), -1.0)
        rows[:, TO_MAX, -1] = 1.0
        found = select_attributes(effects_from(rows.tolist(), [0, 0]), 1, 2, 10).attributes
        assert [(a.style_index, a.direction) for a in found] == [(size - 1, TO_MAX)]


def test_stops_at_the_limit():
    selection = select_attributes(effects_from(HAND_MADE, [0, 0, 0, 0, 1]), target=1, threshold=2, max_attributes=2)
    assert [a.style_index for a in selection.attributes] == [0, 2]
    assert selection.stopped == "the limit of 2 is reached"


def test_stops_when_every_image_is_explained():
    # A replication took the mean of an empty slice: NaN, then index 0 again and again.
    rows = [[[-1.0, 0.5], [3.0, -0.5]], [[-1.0, 0.5], [4.0, -0.5]]]
    selection = select_attributes(effects_from(rows, [0, 0]), target=1, threshold=2, max_attributes=10)
    assert [(a.style_index, a.images_explained) for a in selection.attributes] == [(0, 2)]
    assert selection.stopped == "every image is explained"


def test_a_coordinate_may_become_consistent_once_images_have_left():
    # s1 raises b both ways over images 0 and 1, but one way on image 1, which is left when s0 has explained image 0.
    rows = [[[0.0, 2.0], [5.0, 1.0]], [[0.0, -1.0], [0.5, 1.5]]]
    selection = select_attributes(effects_from(rows, [0, 0]), target=1, threshold=2, max_attributes=10)
    assert [(a.style_index, a.direction) for a in selection.attributes] == [(0, TO_MAX), (1, TO_MAX)]


def test_an_image_leaves_only_above_the_threshold():
    rows = [[[0.0], [2.0]]]
    assert select_attributes(effects_from(rows, [0]), 1, 2.0, 10).attributes[0].images_explained == 0
    assert select_attributes(effects_from(rows, [0]), 1, 1.9, 10).attributes[0].images_explained == 1


def test_no_coordinate_is_used_twice():
    generator = torch.Generator().manual_seed(0)
    rows = (
        torch.randn(30, 2, 8, generator=generator) + torch.tensor([2.0, -2.0])[:, None]
    )  # all of them, to the minimum
    found = select_attributes(effects_from(rows.tolist(), [0] * 30), 1, 100.0, 20).attributes
    assert sorted(a.style_index for a in found) == list(range(8))


def test_no_image_to_explain():
    with pytest.raises(AttributesNotFoundError, match="every reconstruction is classified as 'b'"):
        select_attributes(effects_from(HAND_MADE, [1, 1, 1, 1, 1]), 1, 2, 10)


def test_nothing_raises_the_class():
    with pytest.raises(AttributesNotFoundError, match="no style coordinate raises 'b'"):
        select_attributes(effects_from([[[-1.0, 2.0], [0.0, 1.0]]], [0]), 1, 2, 10)


def test_effects_are_not_changed():
    effects = effects_from(HAND_MADE, [0, 0, 0, 0, 1])
    before = effects.effect.clone()
    select_attributes(effects, 1, 2, 10)
    assert torch.equal(effects.effect, before)


def test_three_classes_take_the_effect_on_the_target():
    effects = effects_from([[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]], [0, 2], ("a", "b", "c"))
    effects.effect[:, TO_MIN, 0, 0] = 50.0  # raises a, not b
    assert [a.style_index for a in select_attributes(effects, 1, 2, 10).attributes] == [1]


def write_experiment_option(root, **attfind):
    path = root / "config" / "experiments" / "mnist.yaml"
    content = yaml.safe_load(path.read_text())
    content["attfind"] = content.get("attfind", {}) | attfind
    content["evaluation"] = {"sufficiency_k": [1]}
    path.write_text(yaml.safe_dump(content))


def test_select_writes_the_table_and_why_it_ended(root):
    write_experiment_option(root, threshold=2.0, max_attributes=10)
    paths = ExperimentPaths(root, "mnist")
    effects = effects_from(HAND_MADE, [0, 0, 0, 0, 1], ("4", "9"))
    effects.effect[4, TO_MAX, 3, 0] = 1.0  # towards class 4, on the only image that is a 9
    with effects_writer(paths.effects(), effects.header) as writer:
        for identity, base, effect in zip(effects.ids, effects.base_logits, effects.effect, strict=True):
            writer.add(identity, EffectsRow(base, effect))
    select(root, "mnist")
    frame = pandas.read_csv(paths.attributes)
    assert list(frame.columns) == [
        "target_class", "rank", "style_index", "layer", "channel", "direction", "mean_effect", "images_explained",
    ]  # fmt: skip
    assert frame["direction"].tolist() == ["to_max", "to_max", "to_min", "to_max"]
    assert [a.style_index for a in read_attributes(paths.attributes)["9"]] == [0, 2, 3]
    origin = read_json(paths.attributes.with_suffix(".provenance.json"))
    assert origin["search 9"] == "3 attributes of 4 images: no coordinate left raises the class"
    assert origin["search 4"].startswith("1 attributes of 1 images")
