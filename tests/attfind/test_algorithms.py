"""The search of [N], the two rankings and what no search does, on tables computed by hand and by plain loops."""

import itertools

import pytest
import torch

from stylex.attfind.algorithms import ALGORITHMS, explained_in_order, notebook, paper
from stylex.attfind.records import Direction

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX
RANKINGS = ("mean_effect", "image_fraction")


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
# 3. s2 to_max on images 1 and 2: 0.9/2. Sums 1.9, 1.5. Nothing is left.


def test_notebook_on_a_hand_computed_table():
    search = notebook(HAND_MADE, everything(HAND_MADE), 2.0, 10, "mean_effect")
    assert moves(search) == [(0, TO_MAX, 0), (1, TO_MIN, 1), (2, TO_MAX, 0)]
    assert [each.mean_effect for each in search.found] == pytest.approx([1, 2 / 3, 0.45])
    assert search.stopped == "no coordinate left raises the class"


def test_paper_on_the_same_table():
    # s0 to_max has the mean -2 when image 2 counts in full, s2 raises the class both ways, no sum is kept.
    search = paper(HAND_MADE, everything(HAND_MADE), 2.0, 10, "mean_effect")
    assert moves(search) == [(1, TO_MIN, 0)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("ranking", RANKINGS)
def test_stops_when_every_image_is_explained(algorithm, ranking):
    # The replications took the mean of an empty slice: NaN, then index 0 again and again.
    effect = torch.tensor([[[-1.0, 0.5], [3.0, -0.5]], [[-1.0, 0.5], [4.0, -0.5]]])
    search = ALGORITHMS[algorithm](effect, everything(effect), 2.0, 10, ranking)
    assert moves(search) == [(0, TO_MAX, 2)] and search.stopped == "every image is explained"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_coordinate_is_used_twice(algorithm):
    effect = torch.randn(30, 2, 8, generator=torch.Generator().manual_seed(0))
    effect += torch.tensor([2.0, -2.0])[:, None]
    search = ALGORITHMS[algorithm](effect, everything(effect), 1000.0, 20, "mean_effect")
    assert sorted(each.style_index for each in search.found) == list(range(8))


def test_notebook_explains_only_above_the_threshold():
    effect = torch.tensor([[[0.0, 0.0], [1.0, 0.5]]])
    assert moves(notebook(effect, everything(effect), 1.5, 10, "mean_effect")) == [(0, TO_MAX, 0), (1, TO_MAX, 0)]
    assert moves(notebook(effect, everything(effect), 1.4, 10, "mean_effect")) == [(0, TO_MAX, 0), (1, TO_MAX, 1)]


# s0 raises one image by 10, s1 two by 2.5 and s2 two by 3, but s2 less than s0 on average.
FEW_OR_MANY = torch.zeros(4, 2, 3)
FEW_OR_MANY[0, TO_MAX, 0] = 10.0
FEW_OR_MANY[0:2, TO_MIN, 1] = 2.5
FEW_OR_MANY[1:3, TO_MAX, 2] = 3.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ranking(algorithm):
    run = ALGORITHMS[algorithm]
    by_mean = run(FEW_OR_MANY, everything(FEW_OR_MANY), 2.0, 10, "mean_effect")
    assert [each.style_index for each in by_mean.found] == [0, 2]
    assert by_mean.stopped == "no coordinate left raises the class"
    by_fraction = run(FEW_OR_MANY, everything(FEW_OR_MANY), 2.0, 10, "image_fraction")
    # s1 and s2 pass the threshold on two images each: the mean decides. On image 0 s0 has the larger effect.
    assert moves(by_fraction) == [(2, TO_MAX, 2), (0, TO_MAX, 1)]
    assert by_fraction.found[0].mean_effect == pytest.approx(6 / 4), "the ranking does not change what is recorded"
    assert by_fraction.stopped == "no coordinate left raises the class of any image by more than the threshold"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("ranking", RANKINGS)
def test_what_was_not_measured_is_never_chosen(algorithm, ranking):
    effect = FEW_OR_MANY.clone()
    effect[3, TO_MAX, 0] = torch.nan  # s0 on some images, s1 on none
    effect[:, :, 1] = torch.nan
    search = ALGORITHMS[algorithm](effect, everything(effect), 2.0, 10, ranking)
    assert moves(search) == [(2, TO_MAX, 2)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_move_that_is_not_allowed_is_passed_over(algorithm):
    allowed = everything(FEW_OR_MANY)
    allowed[TO_MAX, 0] = False
    search = ALGORITHMS[algorithm](FEW_OR_MANY, allowed, 2.0, 10, "mean_effect")
    assert moves(search) == [(2, TO_MAX, 2), (1, TO_MIN, 1)]


def test_a_direction_that_is_not_allowed_still_makes_its_coordinate_inconsistent():
    effect = torch.tensor([[[1.0, 0.0], [2.0, 0.5]]])
    allowed = everything(effect)
    allowed[TO_MAX, 0] = False
    assert moves(paper(effect, allowed, 5.0, 10, "mean_effect")) == [(1, TO_MAX, 0)]
    assert moves(notebook(effect, allowed, 5.0, 10, "mean_effect")) == [(0, TO_MIN, 0), (1, TO_MAX, 0)]


def test_explained_in_order():
    order = [(TO_MAX, 0), (TO_MIN, 1), (TO_MAX, 2)]
    assert explained_in_order(HAND_MADE, order, 2.0) == [0, 1, 0]
    assert explained_in_order(HAND_MADE, order[::-1], 1.5) == [0, 1, 1]  # sums 1.6, 0.4, 1.5; 3.1, 1.9, 1.5
    assert explained_in_order(HAND_MADE, order, 1.0) == [2, 0, 1]


def plain(algorithm, effect, allowed, threshold, limit, ranking):
    """Search with plain loops over plain numbers; return (index, direction, explained) of each found."""
    left, total, found = list(range(len(effect))), [0.0] * len(effect), []
    while left and len(found) < limit:
        candidates = []
        for d, s in itertools.product(range(2), range(len(effect[0][0]))):
            values = [effect[x][d][s] for x in left]
            opposite = [effect[x][1 - d][s] for x in left]
            if algorithm == "notebook":
                values, opposite = [max(0.0, value) for value in values], [0.0]
            mean, passing = sum(values) / len(left), sum(value > threshold for value in values)
            usable = allowed[d][s] and mean > 0 and not sum(opposite) > 0 and s not in [one[0] for one in found]
            if usable and (passing or ranking == "mean_effect"):
                candidates.append(((passing, mean) if ranking == "image_fraction" else (mean,), d, s))
        if not candidates:
            break
        _, d, s = max(candidates, key=lambda candidate: candidate[0])
        for x in left:
            total[x] = max(0.0, effect[x][d][s]) + (total[x] if algorithm == "notebook" else 0.0)
        remaining = [x for x in left if not total[x] > threshold]
        found.append((s, Direction(d), len(left) - len(remaining)))
        left = remaining
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loops(algorithm, ranking, seed):
    generator = torch.Generator().manual_seed(seed)
    effect = torch.randn(40, 2, 25, generator=generator).double() - 0.1
    allowed = torch.rand(2, 25, generator=generator) > 0.2
    search = ALGORITHMS[algorithm](effect, allowed, 1.5, 12, ranking)
    assert moves(search) == plain(algorithm, effect.tolist(), allowed.tolist(), 1.5, 12, ranking)
    assert len(search.found) > 3, "the comparison must compare something"
