"""What is measured and shown during a training is of all classes, in whatever order the images lie."""

from dataclasses import replace

import numpy
import pytest
from PIL import Image

from stylex.datasets import load_split
from stylex.quantization import to_uint8
from stylex.training.measure import GRID_COLUMNS, VALIDATION_IMAGES, Validation, write_samples
from stylex.training.processes import Processes
from stylex.training.run import prepare


@pytest.fixture
def prepared(judged_root):
    run, state = prepare(judged_root, "tiny", "cpu", Processes())
    return run, state


@pytest.fixture
def in_folders(prepared, judged_root):
    """A split as of a folder a class: all images of the first class, then all of the second."""
    split = load_split(judged_root, prepared[0].config.dataset, "train")
    order = split.labels.argsort(stable=True)
    assert split.labels.bincount().min() > VALIDATION_IMAGES, "the first ones would be of one class"
    ids = [split.ids[row] for row in order.tolist()]
    return replace(split, labels=split.labels[order], ids=ids, rows=split.rows[order.numpy()])


def counted(images, split):
    """Count the images of each class, told by their pixels."""
    known = {
        to_uint8(image).numpy().tobytes(): int(label) for image, label in zip(split.images(), split.labels, strict=True)
    }
    return numpy.bincount([known[image.tobytes()] for image in images], minlength=2).tolist()


def test_validation_sees_all_classes_of_a_split_sorted_by_class(prepared, in_folders):
    validation = Validation(in_folders, prepared[0].judges, "cpu")
    assert counted(to_uint8(validation.images).numpy(), in_folders) == [VALIDATION_IMAGES // 2] * 2


def test_samples_show_all_classes_of_a_split_sorted_by_class(prepared, in_folders, tmp_path):
    run, state = prepared
    write_samples(tmp_path / "samples.png", state.averaged(), run.judges, in_folders, 0, "cpu")
    grid = numpy.array(Image.open(tmp_path / "samples.png"))
    side = in_folders.resolution
    originals = [grid[:side, side * column : side * (column + 1)] for column in range(GRID_COLUMNS)]
    assert counted(originals, in_folders) == [GRID_COLUMNS // 2] * 2
