"""Random moves behind the first attribute: what is drawn."""

import torch

from stylex.attfind.records import Attribute, Direction
from stylex.evaluation.random_lists import random_list
from stylex.networks.stylespace import StyleSpaceLayout

LAYOUT = StyleSpaceLayout((8, 8))
FIRST = Attribute("3", 1, 9, 1, 1, Direction.TO_MAX, 2.0, 5)


def drawn(length, seed=0):
    return random_list(FIRST, length, LAYOUT, torch.Generator().manual_seed(seed))


def test_the_first_attribute_is_followed_by_other_coordinates_each_once():
    moves = drawn(10)
    assert moves[0] == FIRST and [move.rank for move in moves] == list(range(1, 11))
    indices = [move.style_index for move in moves]
    assert len(set(indices)) == 10 and set(indices) <= set(range(16))
    assert all((move.layer, move.channel) == LAYOUT.locate(move.style_index) for move in moves)
    assert {move.target_class for move in moves} == {"3"}


def test_every_other_coordinate_and_both_directions_are_drawn():
    moves = [move for seed in range(40) for move in drawn(4, seed)[1:]]
    assert {move.style_index for move in moves} == set(range(16)) - {9}
    assert 40 < sum(move.direction is Direction.TO_MAX for move in moves) < 80  # of 120


def test_the_seed_decides_and_a_short_list_stays_short():
    assert drawn(10) == drawn(10) != drawn(10, seed=1)
    assert drawn(1) == [FIRST] and len(drawn(40)) == 16
