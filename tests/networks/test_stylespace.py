import pytest
import torch

from stylex.networks.stylespace import StyleSpaceLayout, move


def test_layout_round_trip_covers_every_coordinate():
    layout = StyleSpaceLayout((4, 4, 3))
    assert layout.size == 11
    assert [layout.index(*layout.locate(index)) for index in range(11)] == list(range(11))
    assert layout.locate(8) == (2, 0)
    with pytest.raises(IndexError, match="outside 0..10"):
        layout.locate(11)
    with pytest.raises(IndexError, match="0..2"):
        layout.index(2, 3)


def test_split_gives_each_layer_its_columns():
    space = torch.arange(22.0).reshape(2, 11)
    parts = StyleSpaceLayout((4, 4, 3)).split(space)
    assert [part.shape[1] for part in parts] == [4, 4, 3]
    torch.testing.assert_close(torch.cat(parts, dim=1), space)


def test_move_goes_shift_times_the_way_and_leaves_its_input():
    space = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    before = space.clone()
    moved = move(space, torch.tensor([2, 0]), torch.tensor([7.0, -1.0]), 2.0)
    torch.testing.assert_close(moved, torch.tensor([[-3.0, 2.0, 11.0], [-6.0, 5.0, 8.0]]))
    assert torch.equal(space, before)


def test_of_a_coordinate_that_is_moved_twice_the_last_move_counts():
    """The search of [N] may choose both directions; each is the move that was measured, from the image's own value."""
    space = torch.tensor([[1.0, 2.0]])
    moved = move(space, torch.tensor([0, 1, 0]), torch.tensor([-5.0, 3.0, 9.0]), 2.0)
    torch.testing.assert_close(moved, torch.tensor([[17.0, 4.0]]))
