"""Images read ahead of the step: the same, in the same order, whatever the number of threads."""

import threading
from dataclasses import replace

import numpy
import pytest
import torch

from stylex.datasets.split import Shards
from stylex.training.reading import Reader

ROWS = [torch.tensor([5, 0, 39, 7, 7]), torch.tensor([1, 2, 3]), torch.tensor([38])]


@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("shards", [False, True])
def test_images_are_those_of_the_split(setting, threads, shards):
    split = setting().split
    if shards:
        tables = numpy.array_split(numpy.asarray(split.table), 3)
        split = replace(split, table=Shards(tables))
    reader = Reader(split, "cpu", threads)
    for place, rows in enumerate(ROWS):
        assert torch.equal(reader.images(rows, ROWS[place + 1 :]), split.images(rows))


def test_what_was_begun_is_not_read_again_and_what_is_not_asked_for_is_given_up(setting):
    split = setting().split
    reader, read = Reader(split, "cpu", 1), []

    class Watched(type(split)):
        def raw(self, indices=None, into=None):
            read.append((threading.current_thread().name, indices.tolist()))
            return super().raw(indices, into)

    reader.split = Watched(**vars(split))
    reader.images(ROWS[0], ROWS[1:2])
    reader.images(ROWS[1], ROWS[2:])
    reader.images(ROWS[0])
    assert [rows for _, rows in read] == [ROWS[0].tolist(), ROWS[1].tolist(), ROWS[2].tolist(), ROWS[0].tolist()]
    assert {name for name, _ in read} == {"reader_0"}


def test_a_failure_in_a_thread_is_the_steps(setting):
    split = setting().split
    reader = Reader(split, "cpu", 2)

    class Broken(type(split)):
        def raw(self, indices=None, into=None):
            raise OSError("the disk is gone")

    reader.split = Broken(**vars(split))
    with pytest.raises(OSError, match="the disk is gone"):
        reader.images(ROWS[0])


@pytest.mark.parametrize("translation", [0, 2])
def test_a_training_is_the_same_with_readers(setting, translation):
    """Over two epochs, and after a checkpoint in the middle of one."""
    weights = []
    for readers in (0, 3):
        tiny = setting(training={"acceleration": {"readers": readers}, "max_translation": translation})
        for step in range(9):
            tiny.step().run()
            if step == 6:
                other = tiny.new_sampler()
                other.restore(tiny.sampler.state())
                tiny.sampler = other
        weights.append(tiny.state.weights["synthesis"].vector.detach().clone())
    assert torch.equal(*weights)
