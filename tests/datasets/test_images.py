import numpy
import pytest
from PIL import Image

from stylex.datasets.images import pad, read_image, resize
from stylex.errors import ImageError


def test_pad_centres_on_zeros():
    images = numpy.full((2, 28, 28), 7, numpy.uint8)
    padded = pad(images, 32)
    assert padded.shape == (2, 32, 32)
    assert (padded[:, 2:30, 2:30] == 7).all()
    assert padded.sum() == images.sum()


def test_resize_keeps_the_mean_and_does_not_touch_the_right_size():
    images = numpy.random.default_rng(0).integers(0, 256, (3, 32, 32), numpy.uint8)
    assert resize(images, 32) is images
    flat = numpy.full((1, 32, 32), 91, numpy.uint8)
    for side in (8, 16, 64, 128):
        assert (resize(flat, side) == 91).all()
    assert abs(float(resize(images, 8).mean()) - float(images.mean())) < 2, "antialiased: no pixel is skipped"


def test_read_image_takes_the_central_square(tmp_path):
    pixels = numpy.zeros((10, 30, 3), numpy.uint8)
    pixels[:, 10:20] = (10, 20, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 3, 8)
    assert tuple(image.shape) == (3, 8, 8)
    assert image[:, 4, 4].tolist() == [10, 20, 30]
    assert tuple(read_image(tmp_path / "wide.png", 1, 8).shape) == (1, 8, 8)


def test_unreadable_images(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (64, 64), numpy.uint8)).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(ImageError, match=f"{name} cannot be read as an image: .*; replace or remove it"):
            read_image(tmp_path / name, 1, 32)
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png", 1, 32)
