"""Image files to pixels: squares, orientation, transparency, 16 bits, and files that are none."""

import os
import socket
import struct
import zlib

import numpy
import pytest
from PIL import Image, ImageOps

from stylex.datasets.images import Rendering, read_image, read_pixels
from stylex.errors import ImageError

SIDE = 8
SHAPE = numpy.zeros((SIDE, SIDE), bool)  # of an icon, drawn in black
SHAPE[1:7, 3:5] = SHAPE[5:7, 1:7] = True
ALPHA = numpy.where(SHAPE, 255, 0).astype(numpy.uint8)
LA, RGBA = (numpy.dstack([ALPHA * 0] * colours + [ALPHA]) for colours in (1, 3))
TWELVE = numpy.linspace(0, 4095, SIDE * SIDE).astype(numpy.uint16).reshape(SIDE, SIDE)  # of 12 bits


def read(path, channels=1, rendering=Rendering(), side=SIDE, box=None):  # noqa: B008
    pixels = numpy.empty((channels, side, side), numpy.uint8)
    read_pixels(path, pixels, box, rendering)
    return pixels


def test_unreadable_images(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (64, 64), numpy.uint8)).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(ImageError, match=f"{name} cannot be read as an image: .*; replace or remove it"):
            read_image(tmp_path / name, 1, 32)
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png", 1, 32)


def test_pixels_are_those_of_pillow(tmp_path):
    image = Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (40, 31, 3), numpy.uint8))
    image.save(tmp_path / "a.png")
    expected = numpy.asarray(ImageOps.fit(image, (16, 16), Image.Resampling.LANCZOS))
    assert numpy.array_equal(read(tmp_path / "a.png", 3, side=16).transpose(1, 2, 0), expected)
    image.crop((0, 0, 8, 8)).save(tmp_path / "b.png")
    assert numpy.array_equal(read(tmp_path / "b.png", 3).transpose(1, 2, 0), numpy.asarray(image)[:8, :8])


def test_the_central_square_of_a_box_inside_the_image(tmp_path):
    values = numpy.random.default_rng(0).integers(0, 256, (20, 30), numpy.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert numpy.array_equal(read(tmp_path / "a.png", box=(2, 4, 14, 12))[0], values[4:12, 4:12])
    assert numpy.array_equal(read(tmp_path / "a.png", box=(22, -9, 50, 30))[0], values[6:14, 22:30])
    with pytest.raises(ImageError, match="lies outside of the image of 30 x 20 pixels"):
        read(tmp_path / "a.png", box=(30, 0, 40, 10))


def test_images_are_upright(tmp_path):
    values = numpy.random.default_rng(0).integers(0, 256, (8, 8), numpy.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert numpy.array_equal(read(tmp_path / "a.png", 1)[0], numpy.rot90(values, -1))


def png(path, depth, colour, rows, transparent=None, palette=None):
    """Write a PNG of any depth; rows: the bytes of each; colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0))]
    chunks += [(b"PLTE", palette)] if palette else []
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def packed(values, depth):
    """Rows of values of few bits."""
    for row in values:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        yield int(bits, 2).to_bytes(len(bits) // 8, "big")


def wide(values):
    """Rows of big-endian values of 16 bits."""
    return [row.tobytes() for row in values.astype(">u2")]


def tiff(path, data, bits, **tags):
    """Write a TIFF of one strip, or of one for each of several planes; tags by number, as t262=1."""
    planes = data if isinstance(data, list) else [data]
    entries = {256: [SIDE], 257: [SIDE], 258: bits, 259: [1], 262: [1], 277: [len(bits)], 278: [SIDE]}
    entries |= {int(name[1:]): [value] for name, value in tags.items()}
    entries |= {273: [0] * len(planes), 279: [len(plane) for plane in planes]}
    start = 8 + 2 + 12 * len(entries) + 4
    entries[273] = [start + 64 + sum(map(len, planes[:number])) for number in range(len(planes))]
    directory, beside = b"", b""
    for tag, values in sorted(entries.items()):
        body = struct.pack(f"<{len(values)}I", *values)
        directory += struct.pack("<HHI", tag, 4, len(values))
        directory += body if len(values) == 1 else struct.pack("<I", start + len(beside))
        beside += b"" if len(values) == 1 else body
    header = b"II*\0" + struct.pack("<IH", 8, len(entries))
    path.write_bytes(header + directory + struct.pack("<I", 0) + beside.ljust(64, b"\0") + b"".join(planes))


def save_key(path, values, key):
    """A PNG of which one value is transparent."""
    Image.fromarray(values.astype(numpy.uint8)).save(path, "PNG", transparency=key)


def save_palette(path, **options):
    image = Image.new("P", (SIDE, SIDE))
    image.putdata(SHAPE.astype(int).ravel().tolist())
    image.putpalette([9, 9, 9, 0, 0, 0])
    image.save(path, **options)


TRANSPARENT = {
    "RGBA": lambda path: Image.fromarray(RGBA).save(path, "PNG"),
    "grey and alpha": lambda path: Image.fromarray(LA).save(path, "PNG"),
    "one entry of a palette": lambda path: save_palette(path, format="PNG", transparency=0),
    "alpha of each entry of a palette": lambda path: save_palette(path, format="PNG", transparency=b"\0\xff"),
    "GIF": lambda path: save_palette(path, format="GIF", transparency=0),
    "a value of grey": lambda path: save_key(path, numpy.where(SHAPE, 0, 77), 77),
    "a colour": lambda path: save_key(path, numpy.where(SHAPE[..., None], 0, [1, 2, 3]), (1, 2, 3)),
    "a value of 1 bit": lambda path: png(path, 1, 0, packed((~SHAPE).astype(int), 1), b"\0\1"),
    "a value of 2 bits": lambda path: png(path, 2, 0, packed(numpy.where(SHAPE, 0, 2), 2), b"\0\2"),
    "a value of 4 bits": lambda path: png(path, 4, 0, packed(numpy.where(SHAPE, 0, 9), 4), b"\0\x09"),
    "a value of 16 bits": lambda path: png(path, 16, 0, wide(numpy.where(SHAPE, 0, 777)), struct.pack(">H", 777)),
    "16 bits and alpha": lambda path: png(path, 16, 4, wide(numpy.dstack([SHAPE * 0, SHAPE * 65535]))),
    "16 bits of RGBA": lambda path: png(path, 16, 6, wide(numpy.dstack([SHAPE * 0] * 3 + [SHAPE * 65535]))),
    "WebP": lambda path: Image.fromarray(RGBA).save(path, "WEBP", lossless=True, exact=True),
    "TIFF": lambda path: tiff(path, LA.tobytes(), [8, 8], t338=2),
    "TIFF, associated": lambda path: tiff(path, RGBA.tobytes(), [8] * 4, t262=2, t338=1),
    "TIFF, grey and associated": lambda path: tiff(path, LA.tobytes(), [8, 8], t338=1),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_what_is_transparent_is_put_on_the_background(tmp_path, kind):
    TRANSPARENT[kind](path := tmp_path / "icon.png")
    for background, colour in (("white", (255,) * 3), ("black", (0,) * 3), ("#4080c0", (64, 128, 192))):
        rendering = Rendering(background)
        expected = numpy.where(SHAPE, 0, numpy.array(colour).reshape(3, 1, 1))
        assert numpy.array_equal(read(path, 3, rendering), expected)
        grey = numpy.asarray(Image.new("RGB", (1, 1), colour).convert("L"))[0, 0]
        assert numpy.array_equal(read(path, 1, rendering)[0], numpy.where(SHAPE, 0, grey))
    pixels = numpy.empty((3, SIDE, SIDE), numpy.uint8)
    assert read_pixels(path, pixels).transparent and (pixels[:, ~SHAPE] == 255).all()


def test_half_transparent_pixels_are_mixed_and_opaque_ones_stay(tmp_path):
    values = numpy.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), numpy.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    colour, alpha = values[..., :3].astype(float), values[..., 3:] / 255
    mixed = (colour * alpha + 255 * (1 - alpha)).transpose(2, 0, 1)
    assert numpy.abs(read(tmp_path / "a.png", 3) - mixed).max() <= 1
    values[..., 3] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    pixels = numpy.empty((3, SIDE, SIDE), numpy.uint8)
    assert not read_pixels(tmp_path / "a.png", pixels).transparent
    assert numpy.array_equal(pixels, values[..., :3].transpose(2, 0, 1))


DEEP = {
    "PNG": lambda path, values: Image.fromarray(values).save(path, "PNG"),
    "TIFF": lambda path, values: Image.fromarray(values).save(path, "TIFF"),
    "TIFF, big-endian": lambda path, values: Image.fromarray(values.astype(">u2")).save(path, "TIFF"),
    "TIFF, compressed": lambda path, values: Image.fromarray(values).save(path, "TIFF", compression="tiff_lzw"),
    "PGM": lambda path, values: path.write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes()),
    "PGM, in text": lambda path, values: path.write_text(f"P2 8 8 65535\n{' '.join(map(str, values.ravel()))}\n"),
}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_by_the_level_of_white_and_rounded(tmp_path, kind, channels):
    path = tmp_path / "a.png"
    DEEP[kind](path, TWELVE)
    assert (read(path, channels, Rendering(white_level=4095)) == numpy.rint(TWELVE / 4095 * 255)).all()
    assert (read(path, channels) == numpy.rint(TWELVE / 257)).all()
    full = numpy.linspace(0, 65535, 64).astype(numpy.uint16).reshape(8, 8)
    DEEP[kind](path, full)
    assert (read(path, channels) == numpy.rint(full / 257)).all()
    cut_off = numpy.minimum(numpy.rint(full / 4095 * 255), 255)
    assert (read(path, channels, Rendering(white_level=4095)) == cut_off).all()


def pack_12(values):
    """Two values of 12 bits in three bytes."""
    bits = "".join(f"{value:012b}" for value in values.ravel())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


STATED = {
    "PGM": lambda path: path.write_bytes(b"P5 8 8 4095\n" + TWELVE.astype(">u2").tobytes()),
    "PGM, in text": lambda path: path.write_text(f"P2 8 8 4095\n{' '.join(map(str, TWELVE.ravel()))}\n"),
    "TIFF of 12 bits": lambda path: tiff(path, pack_12(TWELVE), [12]),
    "PPM": lambda path: path.write_bytes(b"P6 8 8 4095\n" + numpy.dstack([TWELVE] * 3).astype(">u2").tobytes()),
}


@pytest.mark.parametrize("kind", STATED)
def test_a_file_that_states_its_white_is_read_by_that(tmp_path, kind):
    STATED[kind](path := tmp_path / "a.pgm")
    for rendering in (Rendering(), Rendering(white_level=1023)):
        assert numpy.array_equal(read(path, 1, rendering)[0], numpy.rint(TWELVE / 4095 * 255))
    pixels = numpy.empty((1, SIDE, SIDE), numpy.uint8)
    assert read_pixels(path, pixels).levels is None


def sgi_16(path, values):
    data = values[::-1].astype(">u2").tobytes()
    path.write_bytes(struct.pack(">HBBHHHH", 474, 0, 2, 2, SIDE, SIDE, 1).ljust(512, b"\0") + data)


COLOUR = {
    "PNG": lambda path, values: png(path, 16, 2, wide(numpy.dstack([values] * 3))),
    "PNG with alpha": lambda path, values: png(path, 16, 6, wide(numpy.dstack([values] * 3 + [values * 0 + 65535]))),
    "PNG, grey with alpha": lambda path, values: png(path, 16, 4, wide(numpy.dstack([values, values * 0 + 65535]))),
    "TIFF": lambda path, values: tiff(path, numpy.dstack([values] * 3).tobytes(), [16] * 3, t262=2),
    "PPM": lambda path, values: path.write_bytes(b"P6 8 8 65535\n" + b"".join(wide(numpy.dstack([values] * 3)))),
    "SGI": sgi_16,
}


@pytest.mark.parametrize("kind", COLOUR)
def test_of_16_bits_in_colour_the_upper_ones_are_read_and_no_other_white(tmp_path, kind):
    path = tmp_path / "a.png"
    COLOUR[kind](path, numpy.linspace(0, 65535, 64).astype(numpy.uint16).reshape(8, 8))
    expected = numpy.linspace(0, 255, 64).reshape(8, 8)
    assert numpy.abs(read(path, 3) - expected).max() <= 1
    COLOUR[kind](path, TWELVE)
    pixels = numpy.empty((3, SIDE, SIDE), numpy.uint8)
    seen = read_pixels(path, pixels)
    assert seen.reduced and seen.levels is not None and 3800 < seen.levels[1] < 4400
    with pytest.raises(ImageError, match="16 bits a channel in colour.*white_level = 4095 cannot hold; save it with 8"):
        read(path, 3, Rendering(white_level=4095))


def test_pixels_whose_range_or_meaning_is_not_known_are_refused(tmp_path):
    signed = TWELVE.astype("<i2").tobytes()
    tiff(tmp_path / "signed.tif", signed, [16], t339=2)
    Image.fromarray(TWELVE.astype(numpy.int32)).save(tmp_path / "whole.tif")
    Image.fromarray(TWELVE.astype(numpy.float32)).save(tmp_path / "float.tif")
    tiff(tmp_path / "inverse.tif", TWELVE.tobytes(), [16], t262=0)
    tiff(tmp_path / "planes.tif", [TWELVE.tobytes()] * 3, [16] * 3, t262=2, t284=2)
    png(tmp_path / "key.png", 16, 2, wide(numpy.dstack([SHAPE * 300] * 3)), struct.pack(">HHH", 300, 300, 300))
    for name, message in {
        "signed.tif": "of mode I, which has no fixed range; save it with 8 or 16 bits",
        "whole.tif": "of mode I, which has no fixed range; save it with 8 or 16 bits",
        "float.tif": "of mode F, which has no fixed range; save it with 8 or 16 bits",
        "inverse.tif": "0 is white in it, which is not read of 16 bits; save it so that 0 is black",
        "planes.tif": "16 bits a channel and a plane a channel; save it with 8 bits",
        "key.png": "16 bits a channel and a transparent colour; save it with 8 bits a channel",
    }.items():
        with pytest.raises(ImageError, match=message):
            read(tmp_path / name, 3)


def no_file(path, kind):
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket is short
            server.bind(path.name)
            os.chdir(here)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder"])
def test_what_is_no_file_is_named_and_nobody_waits_for_it(tmp_path, kind):
    no_file(path := tmp_path / "odd.png", kind)
    with pytest.raises(ImageError, match=rf"odd\.png cannot be read as an image: it is {kind} and no file; replace"):
        read_image(path, 1, SIDE)


def test_a_name_that_is_too_long_does_not_exist(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / ("x" * 300), 1, SIDE)
