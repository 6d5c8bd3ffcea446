"""The searches of [L] and [N], on tables computed by hand and by plain loops."""

import itertools
import operator

import pytest
import torch

from stylex.attfind.algorithms import ALGORITHMS, Limits, explained_in_order, image_fraction, notebook, paper
from stylex.attfind.records import Direction

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX
EXPLAINING = (paper, notebook)  # the searches that images leave


def everything(effect):
    return torch.ones(effect.shape[1:], dtype=torch.bool)


def moves(search):
    return [(each.style_index, each.direction, each.explained) for each in search.found]


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
    search = notebook(HAND_MADE, everything(HAND_MADE), Limits(2.0, 10))
    assert moves(search) == [(0, TO_MAX, 0), (1, TO_MIN, 1), (2, TO_MAX, 0), (2, TO_MIN, 1)]
    assert [each.mean_effect for each in search.found] == pytest.approx([1, 2 / 3, 0.45, 0.35])
    assert search.stopped == "no coordinate left raises the class"


def test_paper_on_the_same_table():
    # s0 to_max has the mean -2 when image 2 counts in full, s2 raises the class both ways, no sum is kept.
    search = paper(HAND_MADE, everything(HAND_MADE), Limits(2.0, 10))
    assert moves(search) == [(1, TO_MIN, 0)]


def test_rounding_at_an_extreme_does_not_discard_a_coordinate_within_the_tolerance():
    # Two images at the minimum of s0: to_min is a move by nothing, to_max turns them. s1 raises the class both ways.
    effect = torch.tensor([[[1e-6, 0.5], [9.0, 2.0]], [[1e-6, 0.5], [8.0, 3.0]]])
    assert moves(paper(effect, everything(effect), Limits(20.0, 10))) == []
    assert moves(paper(effect, everything(effect), Limits(20.0, 10, tolerance=0.1))) == [(0, TO_MAX, 0)]
    assert moves(paper(effect, everything(effect), Limits(20.0, 10, tolerance=0.5)))[1] == (1, TO_MAX, 0)


@pytest.mark.parametrize("run", EXPLAINING)
def test_stops_when_every_image_is_explained(run):
    # The replications took the mean of an empty slice: NaN, then index 0 again and again.
    effect = torch.tensor([[[-1.0, 0.5], [3.0, -0.5]], [[-1.0, 0.5], [4.0, -0.5]]])
    search = run(effect, everything(effect), Limits(2.0, 10))
    assert moves(search) == [(0, TO_MAX, 2)] and search.stopped == "every image is explained"


def test_paper_uses_no_coordinate_twice_and_notebook_no_move():
    effect = torch.rand(30, 2, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    one_way = effect * torch.tensor([1.0, -1.0])[:, None]
    found = paper(one_way, everything(effect), Limits(1000.0, 20)).found
    assert sorted(each.style_index for each in found) == list(range(8))
    found = notebook(effect, everything(effect), Limits(1000.0, 20)).found
    assert sorted((each.style_index, each.direction) for each in found) == list(itertools.product(range(8), Direction))


def test_an_image_leaves_the_search_of_the_paper_above_the_threshold_and_that_of_the_notebook_at_it():
    effect = torch.tensor([[[0.0, 0.0], [1.0, 0.5]]])
    allowed = everything(effect)
    assert moves(paper(effect, allowed, Limits(1.0, 1))) == [(0, TO_MAX, 0)]
    assert moves(notebook(effect, allowed, Limits(1.5, 10))) == [(0, TO_MAX, 0), (1, TO_MAX, 1)]
    assert moves(notebook(effect, allowed, Limits(1.6, 10))) == [(0, TO_MAX, 0), (1, TO_MAX, 0)]


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
    search = image_fraction(MANY_OR_FEW, everything(MANY_OR_FEW), Limits(2.0, 10))
    assert moves(search) == [(0, TO_MAX, 3), (1, TO_MIN, 2), (1, TO_MAX, 2), (3, TO_MAX, 1), (2, TO_MAX, 1)]
    assert [each.mean_effect for each in search.found] == pytest.approx([7.5 / 4, 2, 1.5, 5, 2.5 / 4])
    assert search.stopped == "no move left raises enough images by more than the threshold"


def test_image_fraction_ends_below_the_smallest_fraction():
    for fraction, expected in ((0.5, 3), (0.51, 1), (0.75, 1), (0.76, 0)):
        found = image_fraction(MANY_OR_FEW, everything(MANY_OR_FEW), Limits(2.0, 10, fraction)).found
        assert len(found) == expected, fraction


def test_image_fraction_passes_over_what_is_not_allowed_among_the_first_twice_as_many():
    allowed = everything(MANY_OR_FEW)
    allowed[TO_MAX, 0] = allowed[TO_MIN, 1] = False
    search = image_fraction(MANY_OR_FEW, allowed, Limits(2.0, 2))
    assert moves(search) == [(1, TO_MAX, 2), (3, TO_MAX, 1)] and search.stopped == "the limit of 2 is reached"
    allowed[TO_MAX, 1] = False
    search = image_fraction(MANY_OR_FEW, allowed, Limits(2.0, 2))
    assert moves(search) == [(3, TO_MAX, 1)] and search.stopped == "the first 4 moves have been looked at"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_not_measured_is_never_chosen(algorithm):
    effect = torch.zeros(4, 2, 3)
    effect[1:3, TO_MAX, 2] = 3.0
    effect[0:3, TO_MAX, 0] = 9.0
    effect[3, TO_MAX, 0] = torch.nan  # s0 on some images, s1 on none
    effect[:, :, 1] = torch.nan
    search = ALGORITHMS[algorithm](effect, everything(effect), Limits(2.0, 10))
    assert moves(search) == [(2, TO_MAX, 2)]


@pytest.mark.parametrize("run", EXPLAINING)
def test_a_move_that_is_not_allowed_is_passed_over(run):
    allowed = everything(MANY_OR_FEW)
    allowed[:, 1] = allowed[TO_MAX, 3] = False
    assert moves(run(MANY_OR_FEW, allowed, Limits(2.0, 10))) == [(0, TO_MAX, 3), (2, TO_MAX, 1)]


def test_a_direction_that_is_not_allowed_still_makes_its_coordinate_inconsistent():
    effect = torch.tensor([[[1.0, 0.0], [2.0, 0.5]]])
    allowed = everything(effect)
    allowed[TO_MAX, 0] = False
    assert moves(paper(effect, allowed, Limits(5.0, 10))) == [(1, TO_MAX, 0)]
    assert moves(notebook(effect, allowed, Limits(5.0, 10))) == [(0, TO_MIN, 0), (1, TO_MAX, 0)]


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
    search = ALGORITHMS[algorithm](effect, allowed, Limits(1.5, 12, 0.1))
    given = effect.tolist(), allowed.tolist(), 1.5, 12
    expected = plain_fraction(*given, 0.1) if algorithm == "image_fraction" else plain(algorithm, *given)
    assert moves(search) == expected
    assert len(search.found) > 3, "the comparison must compare something"
