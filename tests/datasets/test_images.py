import numpy
import pytest
from PIL import Image, ImageOps

from stylex.datasets.images import pad, read_image, read_pixels, resize
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
    image, _ = read_image(tmp_path / "wide.png", 3, 8)
    assert tuple(image.shape) == (3, 8, 8)
    assert image[:, 4, 4].tolist() == [10, 20, 30]
    assert tuple(read_image(tmp_path / "wide.png", 1, 8)[0].shape) == (1, 8, 8)


def test_unreadable_images(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (64, 64), numpy.uint8)).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(ImageError, match=f"{name} cannot be read as an image: .*; replace or remove it"):
            read_image(tmp_path / name, 1, 32)
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png", 1, 32)


def read(path, channels=3, side=8, box=None):
    pixels = numpy.empty((channels, side, side), numpy.uint8)
    read_pixels(path, pixels, box)
    return pixels


def test_pixels_are_those_of_pillow(tmp_path):
    image = Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (40, 31, 3), numpy.uint8))
    image.save(tmp_path / "a.png")
    expected = numpy.asarray(ImageOps.fit(image, (16, 16), Image.Resampling.LANCZOS))
    assert numpy.array_equal(read(tmp_path / "a.png", side=16).transpose(1, 2, 0), expected)
    image.crop((0, 0, 8, 8)).save(tmp_path / "b.png")
    assert numpy.array_equal(read(tmp_path / "b.png").transpose(1, 2, 0), numpy.asarray(image)[:8, :8])


def test_the_central_square_of_a_box_inside_the_image(tmp_path):
    values = numpy.random.default_rng(0).integers(0, 256, (20, 30), numpy.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert numpy.array_equal(read(tmp_path / "a.png", 1, 8, (2, 4, 14, 12))[0], values[4:12, 4:12])
    assert numpy.array_equal(read(tmp_path / "a.png", 1, 8, (22, -9, 50, 30))[0], values[6:14, 22:30])
    with pytest.raises(ImageError, match="lies outside of the image of 30 x 20 pixels"):
        read(tmp_path / "a.png", 1, 8, (30, 0, 40, 10))


def test_images_are_upright(tmp_path):
    values = numpy.random.default_rng(0).integers(0, 256, (8, 8), numpy.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert numpy.array_equal(read(tmp_path / "a.png", 1)[0], numpy.rot90(values, -1))


def test_16_bits_are_scaled_and_not_clipped(tmp_path):
    values = numpy.arange(0, 65536, 1024).reshape(8, 8).astype(numpy.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert numpy.array_equal(read(tmp_path / "a.png", 1)[0], numpy.rint(values / 257))
    Image.fromarray(values.astype(numpy.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="mode F, which has no fixed range; save it with 8 or 16 bits"):
        read(tmp_path / "a.tif", 1)


@pytest.mark.filterwarnings("ignore")  # of Pillow about damaged headers
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_damage_of_any_kind_is_an_unreadable_image(tmp_path, ending):
    path, random = tmp_path / f"a.{ending}", numpy.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (64, 64, 3), numpy.uint8)).save(path)
    good, unreadable = path.read_bytes(), 0
    for _ in range(40):
        damaged = bytearray(good)
        for place in random.integers(0, min(len(good), 600), 4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(1, len(good))])
        try:
            read(path)
        except ImageError:
            unreadable += 1
    assert unreadable > 20
