"""Image files as people have them: transparency, 16 bits, several pictures, and things that are no files."""

import logging
import os
import re
import socket
import struct
import warnings
import zlib

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.cli import main
from stylex.config import DatasetConfig
from stylex.datasets import download, load_all_classes, prepare, read_files
from stylex.datasets.images import read_pixels
from stylex.datasets.rendering import Rendering
from stylex.errors import ConfigError, ImageError

SIDE = 8
SHAPE = numpy.zeros((SIDE, SIDE), bool)  # of an icon, drawn in black
SHAPE[1:7, 3:5] = SHAPE[5:7, 1:7] = True
ALPHA = numpy.where(SHAPE, 255, 0).astype(numpy.uint8)
ASKED = DatasetConfig(name="icons", resolution=SIDE, classes=None, one_vs_rest=None)
TWELVE = numpy.linspace(0, 4095, SIDE * SIDE).astype(numpy.uint16).reshape(SIDE, SIDE)  # of 12 bits


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


def read(path, channels=1, rendering=Rendering(), side=SIDE):  # noqa: B008
    pixels = numpy.empty((channels, side, side), numpy.uint8)
    read_pixels(path, pixels, None, rendering)
    return pixels


def save_rgba(path):
    Image.fromarray(numpy.dstack([numpy.zeros((SIDE, SIDE, 3), numpy.uint8), ALPHA])).save(path, "PNG")


def save_la(path):
    Image.merge("LA", (Image.new("L", (SIDE, SIDE)), Image.fromarray(ALPHA))).save(path, "PNG")


def save_palette(path, **options):
    image = Image.new("P", (SIDE, SIDE))
    image.putdata(SHAPE.astype(int).ravel().tolist())
    image.putpalette([9, 9, 9, 0, 0, 0])
    image.save(path, **options)


def save_grey_key(path):
    Image.fromarray(numpy.where(SHAPE, 0, 77).astype(numpy.uint8)).save(path, "PNG", transparency=77)


def save_colour_key(path):
    values = numpy.where(SHAPE[..., None], 0, [1, 2, 3]).astype(numpy.uint8)
    Image.fromarray(values).save(path, "PNG", transparency=(1, 2, 3))


def save_associated(path):
    values = numpy.dstack([numpy.zeros((SIDE, SIDE, 3), numpy.uint8), ALPHA])
    tiff(path, values.tobytes(), [8] * 4, t262=2, t338=1)


TRANSPARENT = {
    "RGBA": save_rgba,
    "grey and alpha": save_la,
    "one entry of a palette": lambda path: save_palette(path, format="PNG", transparency=0),
    "alpha of each entry of a palette": lambda path: save_palette(path, format="PNG", transparency=b"\0\xff"),
    "GIF": lambda path: save_palette(path, format="GIF", transparency=0),
    "a value of grey": save_grey_key,
    "a colour": save_colour_key,
    "a value of 1 bit": lambda path: png(path, 1, 0, packed((~SHAPE).astype(int), 1), b"\0\1"),
    "a value of 2 bits": lambda path: png(path, 2, 0, packed(numpy.where(SHAPE, 0, 2), 2), b"\0\2"),
    "a value of 4 bits": lambda path: png(path, 4, 0, packed(numpy.where(SHAPE, 0, 9), 4), b"\0\x09"),
    "a value of 16 bits": lambda path: png(path, 16, 0, wide(numpy.where(SHAPE, 0, 777)), struct.pack(">H", 777)),
    "16 bits and alpha": lambda path: png(path, 16, 4, wide(numpy.dstack([SHAPE * 0, SHAPE * 65535]))),
    "16 bits of RGBA": lambda path: png(path, 16, 6, wide(numpy.dstack([SHAPE * 0] * 3 + [SHAPE * 65535]))),
    "WebP": lambda path: Image.merge("RGBA", [Image.new("L", (SIDE, SIDE))] * 3 + [Image.fromarray(ALPHA)]).save(
        path, "WEBP", lossless=True, exact=True
    ),
    "TIFF": lambda path: tiff(path, numpy.dstack([SHAPE * 0, ALPHA]).astype(numpy.uint8).tobytes(), [8, 8], t338=2),
    "TIFF, associated": save_associated,
    "TIFF, grey and associated": lambda path: tiff(
        path, numpy.dstack([SHAPE * 0, ALPHA]).astype(numpy.uint8).tobytes(), [8, 8], t338=1
    ),
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


def test_a_transparent_colour_of_16_bits_is_refused(tmp_path):
    png(tmp_path / "a.png", 16, 2, wide(numpy.dstack([SHAPE * 300] * 3)), struct.pack(">HHH", 300, 300, 300))
    with pytest.raises(ImageError, match="16 bits a channel and a transparent colour; save it with 8 bits a channel"):
        read(tmp_path / "a.png", 3)


def describe(root, **changes):
    content = {"title": "Icons", "layout": "folders", "licence": "own", "folder": "icons", "channels": 1} | changes
    (root / "config/datasets/icons.yaml").write_text(yaml.safe_dump(content))
    download(root, "icons")


def save_icons(root, save, count=24):
    """Write images that differ, in two classes; save(path, number)."""
    for number in range(count):
        path = root / "icons" / ("round" if number % 2 else "square") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, number)


def in_alpha(path, number):
    """A black icon whose shape lies in alpha alone."""
    alpha = Image.fromarray(numpy.random.default_rng(number).integers(0, 2, (20, 20), numpy.uint8) * 255)
    Image.merge("LA", (Image.new("L", alpha.size), alpha)).save(path)


def splits(root):
    """Every prepared image by id."""
    every = [load_all_classes(root, "icons", SIDE, split) for split in ("train", "val", "test")]
    return {identity: image for split in every for identity, image in zip(split.ids, split.raw(), strict=True)}


def said(caplog, words):
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def warned(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_icons_in_alpha_are_different_images_and_explain_reads_the_same(root, caplog):
    caplog.set_level(logging.INFO)
    save_icons(root, in_alpha)
    Image.new("L", (20, 20), 9).save(root / "icons/round/opaque.png")
    describe(root)
    manifest = read_json(prepare(root, "icons", SIDE))
    assert manifest["preparation"]["background"] == "white" and manifest["transparent"] == 24
    assert manifest["duplicates"]["dropped"] == 0 and len(splits(root)) == 25
    line = "icons: 24 of 25 images have transparent pixels, which are put on white"
    assert said(caplog, "transparent") == [f"{line} (background in config/datasets/icons.yaml)"]
    caplog.clear()
    files = [root / "icons" / identity for identity in splits(root)]
    assert torch.equal(read_files(root, ASKED, files), torch.stack(list(splits(root).values())))
    assert said(caplog, "transparent") == [f"{line} (background in config/datasets/icons.yaml)"]


def test_another_background_prepares_anew(root, caplog):
    caplog.set_level(logging.INFO)
    save_icons(root, in_alpha)
    describe(root)
    prepare(root, "icons", SIDE)
    on_white = splits(root)
    describe(root, background="#808080")
    assert read_json(prepare(root, "icons", SIDE))["preparation"]["background"] == "#808080"
    on_grey = splits(root)
    assert all(on_grey[name].float().mean() < on_white[name].float().mean() - 40 for name in on_white)
    read = read_files(root, ASKED, [root / "icons" / name for name in on_grey])
    assert torch.equal(read, torch.stack(list(on_grey.values())))
    assert len(said(caplog, "which are put on #808080 (background in")) == 2
    caplog.clear()
    prepare(root, "icons", SIDE)
    assert said(caplog, "already prepared")


def test_of_a_built_in_dataset_too(root, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save_rgba(tmp_path / "digit.png")
    asked = DatasetConfig(name="mnist", resolution=SIDE, classes=None, one_vs_rest=None)
    (image,) = read_files(root, asked, [tmp_path / "digit.png"])
    assert numpy.array_equal(image[0], numpy.where(SHAPE, 0, 255))
    assert said(caplog, "transparent") == ["mnist: 1 of 1 images have transparent pixels, which are put on white"]


@pytest.mark.parametrize("colour", [None, "grey", "White", "#fff", "#12345g", 0])
def test_a_background_that_is_none(root, colour):
    with pytest.raises(ConfigError, match=r"icons\.yaml: background = .*: white, black or '#rrggbb' goes here"):
        describe(root, background=colour)


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


def rgb_16(path, values):
    png(path, 16, 2, wide(numpy.dstack([values] * 3)))


def sgi_16(path, values):
    data = values[::-1].astype(">u2").tobytes()
    path.write_bytes(struct.pack(">HBBHHHH", 474, 0, 2, 2, SIDE, SIDE, 1).ljust(512, b"\0") + data)


COLOUR = {
    "PNG": rgb_16,
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


def test_pixels_without_a_known_range_are_refused(tmp_path):
    signed = TWELVE.astype("<i2").tobytes()
    tiff(tmp_path / "signed.tif", signed, [16], t339=2)
    Image.fromarray(TWELVE.astype(numpy.int32)).save(tmp_path / "whole.tif")
    Image.fromarray(TWELVE.astype(numpy.float32)).save(tmp_path / "float.tif")
    for name, mode in (("signed", "I"), ("whole", "I"), ("float", "F")):
        with pytest.raises(ImageError, match=f"of mode {mode}, which has no fixed range; save it with 8 or 16 bits"):
            read(tmp_path / f"{name}.tif")
    tiff(tmp_path / "inverse.tif", TWELVE.tobytes(), [16], t262=0)
    with pytest.raises(ImageError, match="0 is white in it, which is not read of 16 bits; save it so that 0 is black"):
        read(tmp_path / "inverse.tif")
    tiff(tmp_path / "planes.tif", [TWELVE.tobytes()] * 3, [16] * 3, t262=2, t284=2)
    with pytest.raises(ImageError, match="16 bits a channel and a plane a channel; save it with 8 bits"):
        read(tmp_path / "planes.tif")


def in_12_bits(path, number):
    values = numpy.random.default_rng(number).integers(0, 4096, (20, 20))
    values[0, :2] = 0, 4095
    Image.fromarray(values.astype(numpy.uint16)).save(path)


def test_12_bits_in_files_of_16_are_said_once_with_their_range(root, caplog):
    save_icons(root, in_12_bits)
    describe(root)
    manifest = read_json(prepare(root, "icons", SIDE))
    assert manifest["levels_of_16_bits"] == [0, 4095]
    line = "icons: 24 images with 16 bits have values from 0 to 4095 of 65535, and become dark; if 4095 is white, write"
    assert said(caplog, "16 bits") == [f"{line} white_level: 4095 into config/datasets/icons.yaml"]
    caplog.clear()
    describe(root, white_level=4095)
    manifest = read_json(prepare(root, "icons", SIDE))
    assert manifest["preparation"]["white_level"] == 4095 and not warned(caplog)
    prepared = splits(root)
    assert max(int(image.max()) for image in prepared.values()) > 200
    files = [root / "icons" / identity for identity in prepared]
    assert torch.equal(read_files(root, ASKED, files), torch.stack(list(prepared.values()))) and not warned(caplog)
    describe(root, white_level=1023)
    prepare(root, "icons", SIDE)
    assert "values above white_level = 1023, up to 4095, are cut off at white: " in caplog.text
    caplog.clear()
    describe(root, white_level=65535)
    prepare(root, "icons", SIDE)
    assert not warned(caplog), "stated, and so believed"
    describe(root)
    read_files(root, ASKED, files[:1])
    assert re.search(r"icons: 1 images with 16 bits have values from \d+ to \d+ of 65535, and become dark", caplog.text)


def test_dark_colours_of_16_bits_are_said_and_a_white_for_them_is_refused(root, caplog):
    save_icons(root, lambda path, number: rgb_16(path, numpy.random.default_rng(number).permutation(TWELVE)))
    describe(root, channels=3)
    prepare(root, "icons", SIDE)
    assert "become dark; save the 24 in colour with 8 bits a channel" in caplog.text
    describe(root, channels=3, white_level=4095)
    with pytest.raises(ImageError, match=r"24 of 24 images .* so white_level = 4095 cannot hold"):
        prepare(root, "icons", SIDE)


def test_one_image_with_the_top_bit_is_no_12_bits(root, caplog):
    save_icons(root, in_12_bits)
    Image.fromarray(numpy.full((20, 20), 40000, numpy.uint16)).save(root / "icons/round/bright.png")
    describe(root)
    assert read_json(prepare(root, "icons", SIDE))["levels_of_16_bits"] == [0, 40000]
    assert not said(caplog, "16 bits")


def plain(path, number, size=(20, 20)):
    Image.fromarray(numpy.random.default_rng(number).integers(0, 256, size, numpy.uint8)).save(path)


def no_file(path, kind):
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket is short
            server.bind(path.name)
            os.chdir(here)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_file_is_named_and_nobody_waits_for_it(root, caplog, kind):
    save_icons(root, plain)
    no_file(path := root / "icons/round/odd.png", kind)
    describe(root)
    with pytest.raises(ImageError, match=rf"1 of 25 images .*: round/odd\.png \(it is {kind} and no file\); mend or"):
        prepare(root, "icons", SIDE)
    with pytest.raises(ImageError, match=rf"odd\.png cannot be read as an image: it is {kind} and no file; replace"):
        read_files(root, ASKED, [path])
    describe(root, max_unreadable=1)
    assert len(read_json(prepare(root, "icons", SIDE))["unreadable"]) == 1


def test_a_folder_in_a_table_and_a_name_that_is_too_long(root, tmp_path):
    no_file(tmp_path / "odd.png", "a folder")
    describe(root, folder=str(tmp_path))
    for path, message in ((tmp_path / "odd.png", "it is a folder and no file"), (tmp_path / ("x" * 300), "not exist")):
        with pytest.raises(ImageError, match=message):
            read_files(root, ASKED, [path])


def test_very_large_images_are_named_with_what_to_do(root, caplog, monkeypatch):
    save_icons(root, plain)
    plain(root / "icons/round/large.png", 98, (30, 30))
    describe(root)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(root, "icons", SIDE)
    assert said(caplog, "Pillow") == [
        "icons: images that Pillow warns of; look at them: round/large.png (Image size (900 pixels) exceeds limit of"
        " 800 pixels: make it smaller)"
    ]
    plain(root / "icons/round/huge.png", 99, (50, 50))
    with pytest.raises(ImageError, match=r"huge\.png \(.*2500 pixels.* exceeds .* 1600 pixels: make it smaller\)"):
        prepare(root, "icons", SIDE)


def test_files_with_several_pictures_are_named(root, caplog):
    save_icons(root, plain)
    values = numpy.random.default_rng(90).integers(0, 256, (2, 9, 9), numpy.uint8)
    pictures = [Image.fromarray(each) for each in values]
    for ending in ("gif", "tif", "webp"):
        pictures[0].save(root / f"icons/round/a.{ending}", save_all=True, append_images=pictures[1:], lossless=True)
    describe(root)
    prepare(root, "icons", SIDE)
    (line,) = said(caplog, "several pictures")
    assert line.endswith("the first is taken: round/a.gif, round/a.tif, round/a.webp")
    assert numpy.array_equal(read(root / "icons/round/a.tif", side=9)[0], numpy.asarray(pictures[0]))


def test_a_replaced_image_of_equal_size_is_noticed_and_a_touch_is_not(root, caplog):
    caplog.set_level(logging.INFO)
    save_icons(root, lambda path, number: path.write_bytes(b"P5 8 8 255\n" + bytes([number]) * 63 + b"\1"))
    describe(root)
    manifest = prepare(root, "icons", SIDE)
    before, path = manifest.read_bytes(), root / "icons/round/01.png"
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\2")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepare(root, "icons", SIDE)
    assert manifest.read_bytes() != before and splits(root)["round/01.png"].min() == 1
    before = manifest.read_bytes()
    caplog.clear()
    for file in root.glob("icons/*/*"):
        os.utime(file)
    assert said(caplog, "already prepared") == [] and prepare(root, "icons", SIDE).read_bytes() == before
    assert said(caplog, "already prepared")
    manifest.unlink()  # as Snakemake does before it runs the rule
    assert prepare(root, "icons", SIDE).read_bytes() == before, "the same bytes: nothing is trained anew"


def test_the_command_says_it_in_lines(root, monkeypatch, capsys):
    save_icons(root, in_alpha)
    os.mkfifo(root / "icons/round/pipe.png")
    describe(root)
    monkeypatch.chdir(root)
    assert main(["prepare", "icons", "--resolution", "8"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 1 of 25 images of 'icons' cannot be read: round/pipe.png (it is a named pipe")
