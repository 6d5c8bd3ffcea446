"""The searches of [L] and [N] against tables computed by hand and plain loops, their options, and the stage."""

import itertools
import operator

import pandas
import pytest
import torch
import yaml

from stylex.artifacts import read_json
from stylex.attfind.records import Direction, Effects, EffectsHeader, EffectsRow, effects_writer, read_attributes
from stylex.attfind.selection import (
    ALGORITHMS,
    allowed_moves,
    explained_in_order,
    image_fraction,
    images_to_explain,
    merged,
    notebook,
    paper,
    select,
    select_attributes,
    targets,
    unstable_images,
    without_effects,
)
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import DiscriminatorFilter, UnstableFilter
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX
DIGITS = tuple("0123456789")


def options(threshold, max_attributes=10, **changed):
    values = {"images": 4, "shift": 1, "batch_size": 1, "min_images_fraction": 0} | changed
    return AttFindConfig(threshold=threshold, max_attributes=max_attributes, **values)


def effects_of(effect, decisions, class_names="ab", change=None):
    """Effects [N, 2, K, classes] on reconstructions classified as `decisions`, by a margin of 1; [N, 2, K]: on b."""
    if effect.dim() == 3:
        effect = torch.stack([torch.zeros_like(effect), effect], dim=-1)
    size = effect.shape[2]
    places = [s // 2 for s in range(size)], [s % 2 for s in range(size)]
    header = EffectsHeader(tuple(class_names), 1.0, "float32", [0.0] * size, [1.0] * size, *places, {})
    base = torch.nn.functional.one_hot(torch.as_tensor(decisions), len(class_names)).float()
    return Effects([f"image-{row}" for row in range(len(effect))], base, effect, header, change)


def searched(run, effect, given, allowed=None):
    """Return (coordinate, direction, explained) of each move found, the mean effects, and why the search ended."""
    allowed = torch.ones(effect.shape[1:], dtype=torch.bool) if allowed is None else allowed
    found, stopped = run(effect, allowed, given)
    return [(one.style_index, one.direction, one.explained) for one in found], [one[2] for one in found], stopped


def moves(run, effect, given, allowed=None):
    return searched(run, effect, given, allowed)[0]


def chosen(selection):
    return [attribute.move for attribute in selection.attributes]


# --- the searches

# Three images, three coordinates. Threshold 2.
#            to_min: s0   s1   s2     to_max: s0    s1   s2
HAND_MADE = torch.tensor(
    [
        [[-1.0, +1.0, +0.0], [+1.5, -1.0, +0.6]],
        [[-1.0, +0.0, +0.0], [+1.5, -1.0, +0.4]],
        [[-1.0, +1.0, +0.7], [-9.0, -1.0, +0.5]],
    ]
)
# [N], means from 0 up: s0 to_max 3/3 = 1, s1 to_min 2/3, s2 to_max 1.5/3, s2 to_min 0.7/3.
# 1. s0 to_max: sums 1.5, 1.5, 0. 2. s1 to_min, 2/3: sums 2.5, 1.5, 1: image 0 leaves, explained by both together.
# 3. s2 to_max on images 1 and 2: 0.9/2. Sums 1.9, 1.5. 4. s2 again, to_min: 0.7/2. Sums 1.9, 2.2: image 2 leaves.
# On image 1 nothing is left. Were no coordinate used twice, the search would end after the third.


def test_notebook_on_a_hand_computed_table():
    found, means, stopped = searched(notebook, HAND_MADE, options(2.0))
    assert found == [(0, TO_MAX, 0), (1, TO_MIN, 1), (2, TO_MAX, 0), (2, TO_MIN, 1)]
    assert means == pytest.approx([1, 2 / 3, 0.45, 0.35]) and stopped == "no coordinate left raises the class"
    # For [L], s0 to_max has the mean -2 when image 2 counts in full, s2 raises the class both ways, no sum is kept.
    assert moves(paper, HAND_MADE, options(2.0)) == [(1, TO_MIN, 0)]


# Five images, four coordinates; image 4 is of class b already and must not count: a replication split the classes the
# wrong way round. Threshold 2.
#            to_min: s0    s1    s2    s3      to_max: s0    s1    s2    s3
OF_THE_PAPER = torch.tensor(
    [
        [[-1.0, +9.0, +0.5, -0.2], [+3.0, +9.0, -1.0, +0.1]],
        [[-1.0, +9.0, +2.5, -0.2], [+3.0, +9.0, -1.0, +0.1]],
        [[-1.0, +9.0, +1.5, -0.2], [+0.0, +9.0, -1.0, +0.7]],
        [[-1.0, +9.0, +0.5, -0.2], [+1.0, +9.0, -1.0, +0.7]],
        [[+99.0, +99.0, +99.0, +99.0], [-99.0, -99.0, -99.0, +99.0]],
    ]
)
# Means of images 0-3: s0 to_max 7/4 = 1.75, s1 9 and 9 (inconsistent), s2 to_min 5/4 = 1.25, s3 to_max 1.6/4 = 0.4.
# 1. s0 to_max, 1.75: explains images 0 and 1 (3 > 2). Left: 2 and 3, on which s2 to_min is 1.0 and s3 to_max 0.7.
# 2. s2 to_min, 1.0: explains none. 3. s3 to_max, 0.7: explains none. Nothing is left (s1 is inconsistent).
DECISIONS = [0, 0, 0, 0, 1]


def test_paper_on_a_hand_computed_table():
    effects = effects_of(OF_THE_PAPER, DECISIONS)
    before = effects.effect.clone()
    attributes, images, stopped = select_attributes(effects, 1, options(2))
    found = [(a.target_class, a.rank, a.style_index, a.layer, a.channel, a.direction) for a in attributes]
    assert found == [("b", 1, 0, 0, 0, TO_MAX), ("b", 2, 2, 1, 0, TO_MIN), ("b", 3, 3, 1, 1, TO_MAX)]
    assert [a.images_explained for a in attributes] == [2, 0, 0] and images == 4
    assert [a.mean_effect for a in attributes] == pytest.approx([1.75, 1.0, 0.7])
    assert stopped == "no coordinate left raises the class" and torch.equal(effects.effect, before)
    limited = select_attributes(effects, 1, options(2, 2))
    assert limited.attributes == attributes[:2] and limited.stopped == "the limit of 2 is reached"


def test_rounding_at_an_extreme_does_not_discard_a_coordinate_within_the_tolerance():
    # Two images at the minimum of s0: to_min is a move by nothing, to_max turns them. s1 raises the class both ways.
    effect = torch.tensor([[[1e-6, 0.5], [9.0, 2.0]], [[1e-6, 0.5], [8.0, 3.0]]])
    assert moves(paper, effect, options(20.0)) == []
    assert moves(paper, effect, options(20.0, tolerance=0.1)) == [(0, TO_MAX, 0)]
    assert moves(paper, effect, options(20.0, tolerance=0.5))[1] == (1, TO_MAX, 0)


@pytest.mark.parametrize("run", [paper, notebook])
def test_stops_when_every_image_is_explained(run):
    # The replications took the mean of an empty slice: NaN, then index 0 again and again.
    effect = torch.tensor([[[-1.0, 0.5], [3.0, -0.5]], [[-1.0, 0.5], [4.0, -0.5]]])
    found, _, stopped = searched(run, effect, options(2.0))
    assert found == [(0, TO_MAX, 2)] and stopped == "every image is explained"


def test_an_image_leaves_the_search_of_the_paper_above_the_threshold_and_that_of_the_notebook_at_it():
    effect = torch.tensor([[[0.0, 0.0], [1.0, 0.5]]])
    assert moves(paper, effect, options(1.0, 1)) == [(0, TO_MAX, 0)]
    assert moves(paper, effect, options(0.9, 1)) == [(0, TO_MAX, 1)]
    assert moves(notebook, effect, options(1.5)) == [(0, TO_MAX, 0), (1, TO_MAX, 1)]
    assert moves(notebook, effect, options(1.6)) == [(0, TO_MAX, 0), (1, TO_MAX, 0)]


# Four images. s0 raises three of them by more than 2, s1 two of those, and two others the other way, s2 the fourth; s3
# raises the first by much and none else.
MANY_OR_FEW = torch.zeros(4, 2, 4)
MANY_OR_FEW[0:3, TO_MAX, 0] = 2.5
MANY_OR_FEW[0:2, TO_MAX, 1] = 3.0
MANY_OR_FEW[2:4, TO_MIN, 1] = 4.0
MANY_OR_FEW[3, TO_MAX, 2] = 2.5
MANY_OR_FEW[0, TO_MAX, 3] = 20.0


def test_image_fraction_counts_once_over_all_images_and_none_leaves():
    # Counted anew on the images left, as before, s0 would leave image 3 alone, and s1 to_max would raise none.
    found, means, stopped = searched(image_fraction, MANY_OR_FEW, options(2.0))
    assert found == [(0, TO_MAX, 3), (1, TO_MIN, 2), (1, TO_MAX, 2), (3, TO_MAX, 1), (2, TO_MAX, 1)]
    assert means == pytest.approx([7.5 / 4, 2, 1.5, 5, 2.5 / 4])
    assert stopped == "no move left raises enough images by more than the threshold"
    for fraction, expected in ((0.5, 3), (0.51, 1), (0.75, 1), (0.76, 0)):
        assert moves(image_fraction, MANY_OR_FEW, options(2.0, min_images_fraction=fraction)) == found[:expected]


def test_image_fraction_passes_over_what_is_not_allowed_among_the_first_twice_as_many():
    allowed = torch.ones(2, 4, dtype=torch.bool)
    allowed[TO_MAX, 0] = allowed[TO_MIN, 1] = False
    found, _, stopped = searched(image_fraction, MANY_OR_FEW, options(2.0, 2), allowed)
    assert found == [(1, TO_MAX, 2), (3, TO_MAX, 1)] and stopped == "the limit of 2 is reached"
    allowed[TO_MAX, 1] = False
    found, _, stopped = searched(image_fraction, MANY_OR_FEW, options(2.0, 2), allowed)
    assert found == [(3, TO_MAX, 1)] and stopped == "the first 4 moves have been looked at"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_not_measured_is_never_chosen(algorithm):
    effect = torch.zeros(4, 2, 3)
    effect[1:3, TO_MAX, 2] = 3.0
    effect[0:3, TO_MAX, 0] = 9.0
    effect[3, TO_MAX, 0] = torch.nan  # s0 on some images, s1 on none
    effect[:, :, 1] = torch.nan
    assert moves(ALGORITHMS[algorithm], effect, options(2.0)) == [(2, TO_MAX, 2)]


def test_explained_in_order():
    order = [(TO_MAX, 0), (TO_MIN, 1), (TO_MAX, 2)]
    assert explained_in_order(HAND_MADE, order, 2.0) == [0, 1, 0]
    assert explained_in_order(HAND_MADE, order[::-1], 1.5) == [0, 2, 1]  # 0.6, 0.4, 0.5; 1.6, 0.4, 1.5; 3.1, 1.9, 1.5
    assert explained_in_order(HAND_MADE, order, 1.5) == [2, 0, 1]  # sums 1.5, 1.5, 0; 2.5, 1.5, 1; 3.1, 1.9, 1.5


def plain(algorithm, effect, allowed, threshold, limit):
    """Search with plain loops over plain numbers; return (index, direction, explained) of each found."""
    left, total, found = list(range(len(effect))), [0.0] * len(effect), []
    while left and len(found) < limit:
        candidates = []
        for d, s in itertools.product(range(2), range(len(effect[0][0]))):
            values = [effect[x][d][s] for x in left]
            opposite = [effect[x][1 - d][s] for x in left]
            taken = s in [one[0] for one in found]
            if algorithm == "notebook":
                values, opposite = [max(0.0, value) for value in values], [0.0]
                taken = (s, d) in [one[:2] for one in found]
            if allowed[d][s] and sum(values) > 0 and not sum(opposite) > 0 and not taken:
                candidates.append((sum(values) / len(left), d, s))
        if not candidates:
            break
        _, d, s = max(candidates, key=lambda candidate: candidate[0])
        for x in left:
            total[x] = max(0.0, effect[x][d][s]) + (total[x] if algorithm == "notebook" else 0.0)
        stays = operator.lt if algorithm == "notebook" else operator.le
        remaining = [x for x in left if stays(total[x], threshold)]
        found.append((s, Direction(d), len(left) - len(remaining)))
        left = remaining
    return found


def plain_fraction(effect, allowed, threshold, limit, fraction):
    every = []
    for d, s in itertools.product(range(2), range(len(effect[0][0]))):
        values = [image[d][s] for image in effect]
        every.append((sum(value > threshold for value in values), sum(values) / len(values), s, Direction(d)))
    every = sorted(every, key=lambda one: one[:2], reverse=True)[: 2 * limit]
    enough = [one for one in every if one[0] >= max(1, fraction * len(effect))]
    return [(s, d, count) for count, _, s, d in enough if allowed[d][s]][:limit]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loops(algorithm, seed):
    generator = torch.Generator().manual_seed(seed)
    effect = torch.randn(40, 2, 25, generator=generator).double() - 0.1
    allowed = torch.rand(2, 25, generator=generator) > 0.2
    found = moves(ALGORITHMS[algorithm], effect, options(1.5, 12, min_images_fraction=0.1), allowed)
    given = effect.tolist(), allowed.tolist(), 1.5, 12
    assert found == (plain_fraction(*given, 0.1) if algorithm == "image_fraction" else plain(algorithm, *given))
    assert len(found) > 3, "the comparison must compare something"


# --- which images and effects a search sees


@pytest.mark.parametrize("size", [1, 7, 3000])
def test_as_many_coordinates_as_there_are(size):
    # The replications had K = 2464 written into the code.
    effect = torch.full((2, 2, size), -1.0)
    effect[:, TO_MAX, -1] = 1.0
    assert chosen(select_attributes(effects_of(effect, [0, 0]), 1, options(2))) == [(size - 1, TO_MAX)]


def three_classes():
    """Images 0 (an a), 1 and 2 (c's); s0 raises b and c alike, s1 raises b and lowers c, s2 is for a's only."""
    effect = torch.zeros(3, 2, 3, 3)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 5.0, 5.0])
    effect[1:, TO_MIN, 1] = torch.tensor([0.0, 1.0, -2.0])
    effect[0, TO_MAX, 2] = torch.tensor([0.0, 90.0, 0.0])
    return effects_of(effect, [0, 2, 2], "abc")


def test_against_one_class_takes_its_images_and_the_difference_of_the_logits():
    selection = select_attributes(three_classes(), 1, options(10.0, against="c"))
    assert chosen(selection) == [(1, TO_MIN)] and selection.images == 2
    assert selection.attributes[0].mean_effect == pytest.approx(3.0)
    against_all = select_attributes(three_classes(), 1, options(100.0))
    assert chosen(against_all) == [(2, TO_MAX), (0, TO_MAX), (1, TO_MIN)] and against_all.images == 3
    assert targets(three_classes(), None) == [0, 1, 2] and targets(three_classes(), "b") == [0, 2]


def test_against_the_other_of_two_classes_is_another_question():
    effect = torch.zeros(2, 2, 2, 2)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 1.0])
    effect[:, TO_MIN, 1] = torch.tensor([-4.0, 0.0])  # does not raise b, lowers a
    effects = effects_of(effect, [0, 0])
    assert chosen(select_attributes(effects, 1, options(10.0))) == [(0, TO_MAX)]
    assert chosen(select_attributes(effects, 1, options(10.0, against="a"))) == [(1, TO_MIN), (0, TO_MAX)]


def test_what_cannot_be_searched_is_one_line():
    with pytest.raises(AttributesNotFoundError, match="every reconstruction is classified as 'b'"):
        images_to_explain(effects_of(OF_THE_PAPER, [1] * 5), 1, None)
    with pytest.raises(AttributesNotFoundError, match="no reconstruction is classified as 'b', .* turned into 'a'"):
        images_to_explain(three_classes(), 0, "b")
    with pytest.raises(ConfigError) as caught:
        targets(three_classes(), "d")
    assert str(caught.value) == "attfind.against: unknown class 'd'; choose one of a, b, c, or leave it out"


HOW = "train longer (stylex.training.images), raise attfind.shift"
NOTHING = [
    ({}, f" in one direction only; {HOW.replace(', ', ' or ')}"),
    ({"algorithm": "notebook"}, f"; {HOW.replace(', ', ' or ')}"),
    (
        {"algorithm": "image_fraction"},
        f" on enough images; {HOW} or lower attfind.threshold or attfind.min_images_fraction",
    ),
    (
        {"discriminator_filter": {"change": 0.2, "effect": 0.5, "images": 2}},
        f" in one direction only and passes the discriminator filter; {HOW} or raise"
        " attfind.discriminator_filter.change",
    ),
]


@pytest.mark.parametrize(("changed", "message"), NOTHING)
def test_nothing_raises_the_class(changed, message):
    effects = effects_of(torch.tensor([[[-1.0, -2.0], [0.0, -1.0]]]), [0], change=torch.ones(1, 2, 2))
    with pytest.raises(AttributesNotFoundError) as caught:
        select_attributes(effects, 1, options(2.0, **changed))
    assert str(caught.value) == f"no style coordinate raises 'b'{message}"


# --- filters, as in [N]


def filtered(change, /, **limits):
    """Search the class b on images 0 to 3; image 4 is a b. Both coordinates raise it, s0 by 2 and s1 by 1."""
    effect = torch.zeros(5, 2, 2)
    effect[:, TO_MAX, 0], effect[:, TO_MIN, 1] = 2.0, 1.0
    effect[0, TO_MAX, 0] = 0.5
    limits = {"change": 0.2, "effect": 0.5, "images": 2} | limits
    given = options(99.0, algorithm="notebook", discriminator_filter=limits)
    return chosen(select_attributes(effects_of(effect, DECISIONS, "ab", change), 1, given))


def test_discriminator_filter_drops_a_coordinate_for_one_of_the_first_images_that_it_raises():
    both, second = [(0, TO_MAX), (1, TO_MIN)], [(1, TO_MIN)]
    change = torch.zeros(5, 2, 2)
    change[2, TO_MAX, 0] = 0.5  # 0.125 on average, which the mean over all images would let pass
    assert filtered(change) == second  # images 1 and 2: image 0 is not raised by more than 0.5
    assert filtered(change, images=1) == both
    assert filtered(change, effect=0.4) == both, "now images 0 and 1 are the first ones raised"
    assert filtered(change, change=0.5) == both, "as much as the filter allows"
    change[4, TO_MIN, 1] = 99.0  # an image that is a b already
    assert filtered(change) == second
    change = torch.zeros(5, 2, 2)
    change[:, TO_MIN, 0] = 99.0  # by the mean of its changes this move was dropped; it raises no image
    assert filtered(change) == both
    with pytest.raises(ArtifactError, match="attfind.discriminator_filter needs; .* run `stylex effects` again"):
        filtered(None)


def test_discriminator_filter_drops_both_directions_of_a_coordinate():
    effect, change = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    effect[:, TO_MAX, 0], effect[:, TO_MIN, 0], effect[:, TO_MAX, 1] = 2.0, 1.0, 0.6
    change[1, TO_MIN, 0] = 0.3
    limits = DiscriminatorFilter(change=0.2, effect=0.5, images=2)
    allowed = allowed_moves(effects_of(effect, [0, 0], "ab", change), torch.tensor([0, 1]), effect, limits)
    assert allowed.tolist() == [[False, True], [False, True]]


def test_unstable_are_the_images_that_many_moves_change_either_way_and_on_any_class():
    effect = torch.zeros(3, 2, 4, 2)
    effect[0, TO_MIN, :2, 0] = 3.0
    effect[0, TO_MAX, 3] = -3.0  # of both classes: four large effects in all
    effect[1, TO_MIN, :, 1] = 2.0  # as large as the limit
    effect[2, TO_MAX, :3, 1] = 2.5
    effects = effects_of(effect, [0, 0, 0])
    for count, expected in ((2, [True, False, True]), (3, [True, False, False]), (4, [False, False, False])):
        assert unstable_images(effects, UnstableFilter(effect=2.0, count=count)).tolist() == expected, count
    assert unstable_images(effects, UnstableFilter(effect=1.9, count=3)).tolist() == [True, True, False]


def test_an_unstable_image_has_no_effects_and_stays_among_those_averaged_over():
    effect = torch.zeros(2, 2, 2)
    effect[0, TO_MAX, 0] = 50.0
    effect[1, TO_MAX, 1] = 3.0
    effects = effects_of(effect, [0, 0])
    selection = select_attributes(without_effects(effects, torch.tensor([True, False])), 1, options(2.0))
    assert chosen(selection) == [(1, TO_MAX)] and selection.images == 2
    assert selection.attributes[0].mean_effect == 1.5
    assert effects.effect[0].any(), "the effects themselves are as they were"
    with pytest.raises(AttributesNotFoundError, match="all 2 images are unstable; raise attfind.unstable"):
        without_effects(effects, torch.ones(2, dtype=torch.bool))


# --- the merged lists of two classes


def two_sided():
    """Images 0 and 1 are b's, 2 and 3 a's. Towards a: s0 to_max, s1 to_min. Towards b: s1 to_max, s2 to_max."""
    effect = torch.zeros(4, 2, 3, 2)
    effect[:2, TO_MAX, 0, 0] = 4.0
    effect[:2, TO_MIN, 1, 0] = 2.0
    effect[2:, TO_MAX, 1, 1] = 5.0
    effect[2:, TO_MAX, 2, 1] = 3.0
    effect[:, TO_MIN, 2, 0] = -1.0
    return effects_of(effect, [1, 1, 0, 0])


def lists_merged(effects, threshold, max_attributes=10):
    given = options(threshold, max_attributes, algorithm="notebook")
    lists = [attribute for target in (0, 1) for attribute in select_attributes(effects, target, given).attributes]
    rows = merged(effects, lists, given)
    return rows, [(a.target_class, *a.move) for a in rows]


def test_merged_by_the_two_sided_score():
    # Scores, means over all four images: s1 2/2 + 5/2 = 3.5, s0 4/2 = 2, s2 -1 + 3/2 = 0.5.
    rows, found = lists_merged(two_sided(), 5.5)
    assert found == [
        ("a", 1, TO_MIN), ("a", 0, TO_MAX), ("a", 2, TO_MIN), ("b", 1, TO_MAX), ("b", 0, TO_MIN), ("b", 2, TO_MAX),
    ]  # fmt: skip
    assert [a.images_explained for a in rows] == [0, 2, 0, 0, 0, 2]  # sums 2, 6, 6 and 5, 5, 8
    assert [a.rank for a in rows] == [1, 2, 3, 1, 2, 3]
    assert [a.mean_effect for a in rows] == pytest.approx([1.0, 2.0, -1.0, 2.5, 0.0, 1.5])
    assert lists_merged(two_sided(), 5.5, 2)[1] == [*found[:2], *found[3:5]]


def test_merged_where_a_coordinate_raises_the_first_class_both_ways():
    # s0 is in the list of a both ways, so both are ranked; the b's s0 is left out, as a knows the coordinate.
    effect = torch.zeros(2, 2, 2, 2)
    effect[0, TO_MAX, 0, 0], effect[0, TO_MIN, 0, 0] = 4.0, 1.0
    effect[1, TO_MAX, 0, 1], effect[1, TO_MAX, 1, 1] = 8.0, 2.0
    # Scores: s0 to_min (1 + 8)/2, s0 to_max (4 + 0)/2, s1 to_min (0 + 2)/2.
    assert lists_merged(effects_of(effect, [1, 0]), 99.0)[1] == [
        ("a", 0, TO_MIN), ("a", 0, TO_MAX), ("a", 1, TO_MIN), ("b", 0, TO_MAX), ("b", 0, TO_MIN), ("b", 1, TO_MAX),
    ]  # fmt: skip


# --- the stage, and many classes


def ten_classes():
    """100 images, ten of each class; in each, coordinate 10 i + c raises class c, the less the larger i is."""
    generator = torch.Generator().manual_seed(0)
    effect = 0.02 * torch.randn(100, 2, 50, 10, generator=generator)
    for label in range(10):
        for number in range(3):
            effect[:, TO_MAX, 10 * number + label, label] += 3.0 - number
            effect[:, TO_MIN, 10 * number + label, label] -= (3.0 - number) / 2
    change = torch.zeros(100, 2, 50)
    change[:, :, :10] = 1.0  # the strongest of each class changes D too
    return effects_of(effect, torch.arange(100) % 10, DIGITS, change)


def stage(root, effects, shards=(slice(None),), **attfind):
    """Run the stage on these effects."""
    path = root / "config" / "experiments" / "mnist.yaml"
    content = yaml.safe_load(path.read_text())
    content["dataset"].pop("classes", None)
    content["attfind"] = {"threshold": 50.0, "max_attributes": 10, "shards": len(shards)} | attfind
    content["evaluation"] = {"sufficiency_k": [1]}
    path.write_text(yaml.safe_dump(content))
    paths = ExperimentPaths(root, "mnist")
    changes = [None] * len(effects.ids) if effects.discriminator_change is None else effects.discriminator_change
    for shard, rows in enumerate(shards):
        with effects_writer(paths.effects(shard), effects.header, changes[0] is not None) as writer:
            for row in range(len(effects.ids))[rows]:
                writer.add(effects.ids[row], EffectsRow(effects.base_logits[row], effects.effect[row], changes[row]))
    select(root, "mnist")
    return read_attributes(paths.attributes), read_json(paths.attributes.with_suffix(".provenance.json"))


@pytest.mark.parametrize("algorithm", ["paper", "notebook", "image_fraction"])
@pytest.mark.parametrize("against", [None, "4"])
def test_ten_classes_with_every_option(root, algorithm, against):
    effects = ten_classes()
    effects.effect[:10] *= 1.5  # ten images on which s0 to s9 change the class by 4.5
    filters = {"unstable_filter": {"effect": 4.0, "count": 0}}
    filters |= {"discriminator_filter": {"change": 0.5, "effect": 0.5, "images": 10}}
    found, origin = stage(root, effects, algorithm=algorithm, against=against, threshold=0.5, **filters)
    assert set(found) == set(DIGITS) - {against}
    images = 10 if against == "4" else 90
    for label, name in enumerate(DIGITS):
        if name != against:
            # The strongest coordinate changes D; the next raises all images but the unstable ones by 2.
            first = found[name][0]
            assert first.move == (10 + label, TO_MAX)
            assert first.images_explained == images - (1 if against == "4" else 9)
            assert origin[f"search {name}"].startswith(f"{len(found[name])} attributes of {images} images: ")
    asked = {"algorithm": algorithm, "against": against or "*", "threshold": "0.5", "max_attributes": "10"}
    asked |= {"discriminator_filter": "change=0.5 effect=0.5 images=10", "unstable_filter": "effect=4.0 count=0"}
    assert {key: origin[key] for key in asked} == asked
    assert origin["unstable images"] == "10 of 100"
    assert (origin["min_images_fraction"], origin["engine"], origin["shift"]) == ("0.03", "exhaustive", "1.0")


def test_ten_classes_without_options_in_any_number_of_shards(root):
    found, origin = stage(root, ten_classes())
    for label, name in enumerate(DIGITS):
        assert [a.style_index for a in found[name][:3]] == [label, 10 + label, 20 + label]
    assert origin["unstable_filter"] == origin["discriminator_filter"] == "None"
    assert (origin["algorithm"], origin["against"]) == ("paper", "*")
    assert "unstable images" not in origin and "merged" not in origin
    assert stage(root, ten_classes(), (slice(37), slice(37, None)))[0] == found
    shipped = load_experiment(root, "fashion-mnist-10")
    assert shipped.dataset.classes is shipped.dataset.one_vs_rest is shipped.attfind.against is None


def test_the_stage_merges_the_lists_of_two_classes(root):
    effects = effects_of(two_sided().effect, [1, 1, 0, 0], "35")
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5)
    assert [a.style_index for a in found["3"]] == [a.style_index for a in found["5"]] == [1, 0, 2]
    assert origin["merged"].startswith("the lists of both classes")
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5, against="5")
    assert set(found) == {"3"} and "merged" not in origin


def test_the_stage_writes_the_table_and_why_each_search_ended(root):
    effects = effects_of(OF_THE_PAPER, DECISIONS, "49")
    found, origin = stage(root, effects, threshold=2.0)
    assert set(found) == {"9"}, "towards 4 nothing is found, which is no error where another class has attributes"
    assert origin["search 4"].startswith("no style coordinate raises '4'")
    effects.effect[4, TO_MAX, 3, 0] = 1.0  # towards class 4, on the only image that is a 9
    found, origin = stage(root, effects, threshold=2.0)
    frame = pandas.read_csv(ExperimentPaths(root, "mnist").attributes)
    assert list(frame.columns) == [
        "target_class", "rank", "style_index", "layer", "channel", "direction", "mean_effect", "images_explained",
    ]  # fmt: skip
    assert frame["direction"].tolist() == ["to_max", "to_max", "to_min", "to_max"]
    assert [a.style_index for a in found["9"]] == [0, 2, 3]
    assert origin["search 9"] == "3 attributes of 4 images: no coordinate left raises the class"
    assert origin["search 4"].startswith("1 attributes of 1 images")
