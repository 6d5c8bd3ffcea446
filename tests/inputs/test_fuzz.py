"""2,000 damaged image files: each is refused in one line, or has the pixels that Pillow's own full decode gives."""

import io
import random
import signal
import struct
import warnings
import zlib
from collections import Counter

import numpy
import pytest
import yaml
from PIL import Image, ImageOps

from stylex.artifacts import read_json
from stylex.datasets import download, load_all_classes, prepare
from stylex.datasets.images import read_pixels
from stylex.errors import ImageError

FILES = 2000
SEED = 16
SIDE = 16
LIMIT = 10  # seconds for a file
PIXELS = 1_000_000  # that a header may claim before Pillow warns; twice as many are refused, which saves time here
SIZE = (27, 21)


def colours(seed, *channels):
    values = numpy.random.default_rng(seed).integers(0, 256, (SIZE[1] // 3, SIZE[0] // 3, *channels), numpy.uint8)
    return values.repeat(3, axis=0).repeat(3, axis=1)


def bodies():
    """Whole files by their kind: formats, modes and metadata."""
    grey, colour, alpha = (Image.fromarray(colours(seed, *shape)) for seed, shape in enumerate([(), (3,), (4,)]))
    deep = Image.fromarray(colours(3).astype(numpy.uint16) * 257)
    palette, exif = colour.quantize(16), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "of a camera"
    with_text = {"exif": exif, "dpi": (72, 72)}
    kinds = {
        "png grey": (grey, {"format": "PNG"}),
        "png colour": (colour, {"format": "PNG", **with_text}),
        "png alpha": (alpha, {"format": "PNG", "exif": exif}),
        "png grey alpha": (grey.convert("LA"), {"format": "PNG"}),
        "png palette": (palette, {"format": "PNG", "transparency": bytes(range(0, 256, 16))}),
        "png one entry": (palette, {"format": "PNG", "transparency": 3}),
        "png grey key": (grey, {"format": "PNG", "transparency": int(colours(0)[4, 4])}),
        "png 16": (deep, {"format": "PNG"}),
        "png 1": (grey.convert("1"), {"format": "PNG"}),
        "png several": (colour, {"format": "PNG", "save_all": True, "append_images": [colour.rotate(180)]}),
        "jpeg": (colour, {"format": "JPEG", "quality": 90, "exif": exif}),
        "jpeg grey": (grey, {"format": "JPEG", "progressive": True}),
        "jpeg cmyk": (colour.convert("CMYK"), {"format": "JPEG", "comment": b"ink"}),
        "gif": (palette, {"format": "GIF", "transparency": 2}),
        "gif several": (
            palette,
            {"format": "GIF", "save_all": True, "append_images": [palette.rotate(180)], "loop": 0},
        ),
        "tiff": (colour, {"format": "TIFF", "exif": exif}),
        "tiff lzw": (alpha, {"format": "TIFF", "compression": "tiff_lzw"}),
        "tiff 16": (deep, {"format": "TIFF"}),
        "tiff lab": (Image.frombytes("LAB", SIZE, colours(1, 3).tobytes()), {"format": "TIFF"}),
        "bmp": (colour, {"format": "BMP"}),
        "ppm": (colour, {"format": "PPM"}),
        "pgm 16": (deep, {"format": "PPM"}),
        "webp": (alpha, {"format": "WEBP", "lossless": True, "exif": exif}),
        "webp lossy": (colour, {"format": "WEBP", "quality": 80}),
    }
    for kind, (image, options) in kinds.items():
        file = io.BytesIO()
        image.save(file, **options)
        yield kind, file.getvalue()
    yield "ppm text", b"P3 4 3 255\n" + " ".join(map(str, range(0, 72, 2))).encode()
    yield "pgm odd", b"P5 9 9 1000\n" + numpy.arange(0, 972, 12, dtype=">u2").tobytes()


def flipped(body, dice, most, end):
    changed = bytearray(body)
    for _ in range(dice.randint(1, most)):
        place = dice.randrange(min(end, len(changed)))
        changed[place] ^= 1 << dice.randrange(8)
    return bytes(changed)


def with_checksums(body):
    """Give each chunk of a PNG the checksum that it should have: the damage gets by."""
    parts, place = [body[:8]], 8
    while place + 12 <= len(body):
        (length,) = struct.unpack(">I", body[place : place + 4])
        chunk = body[place + 4 : place + 8 + length]
        parts.append(body[place : place + 4] + chunk + struct.pack(">I", zlib.crc32(chunk)))
        place += 12 + length
    return b"".join(parts)


def damaged(body, dice):
    """Return the body as damage, or an odd program, leaves it."""
    kind, place = dice.randrange(8), dice.randrange(len(body))
    other = dice.randrange(len(body))
    changed = {
        0: lambda: flipped(body, dice, 1, len(body)),
        1: lambda: flipped(body, dice, 8, len(body)),
        2: lambda: flipped(body, dice, 3, 120),  # the header
        3: lambda: body[: max(place, 1)],
        4: lambda: body[:place] + dice.randbytes(dice.randint(1, 9)) + body[place:],
        5: lambda: body[:place] + body[place + dice.randint(1, 9) :],
        6: lambda: body[:place] + body[other : other + 30] + body[place + 30 :],
        7: lambda: body + dice.randbytes(40),
    }[kind]()
    return with_checksums(changed) if changed.startswith(b"\x89PNG") and dice.random() < 0.7 else changed


def reference(path):
    """What Pillow makes of the file, put on white in another way, as float [SIDE, SIDE, 3]; whether it is opaque."""
    with warnings.catch_warnings(action="ignore"), Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):
            values = numpy.rint(numpy.asarray(image).astype(float) / 257).astype(numpy.uint8)
            if "transparency" in image.info:
                values[numpy.asarray(image) == image.info["transparency"]] = 255
            image = Image.fromarray(values)
        head = path.read_bytes()[:26]
        if head.startswith(b"\x89PNG") and head[25] == 0 and head[24] in (2, 4) and "transparency" in image.info:
            image.info["transparency"] *= {2: 85, 4: 17}[
                head[24]
            ]  # which Pillow forgets, and it does not of the pixels
        opaque = not image.has_transparency_data
        if not opaque:
            image = image.convert("RGBA")
            canvas = Image.new("RGB", image.size, "white")
            canvas.paste(image.convert("RGB"), mask=image.getchannel("A"))
            image = canvas
        image = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    return numpy.asarray(image).astype(float), opaque


@pytest.fixture
def clock():
    """Raise in whatever takes longer than the limit; past `except Exception`, as that is what is tested."""

    class Hang(BaseException):
        pass

    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds=LIMIT: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def check(path):
    """Read a file; return what became of it."""
    pixels = numpy.empty((3, SIDE, SIDE), numpy.uint8)
    try:
        read_pixels(path, pixels)
    except ImageError as error:
        assert "\n" not in str(error) and str(error).strip(), path
        return "refused"
    expected, opaque = reference(path)
    difference = numpy.abs(pixels.transpose(1, 2, 0) - expected).max()
    assert difference <= (0 if opaque else 2), f"{path}: {difference}"
    return "read"


def test_two_thousand_damaged_files(tmp_path, monkeypatch, clock):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS)
    dice, whole, outcomes = random.Random(SEED), dict(bodies()), Counter()
    for kind, body in whole.items():
        path = tmp_path / f"{kind}.png"
        path.write_bytes(body)
        assert check(path) == "read", f"{kind} is whole"
    for number in range(FILES):
        kind = dice.choice(sorted(whole))
        path = tmp_path / f"{number:04d} {kind}.png"
        path.write_bytes(damaged(whole[kind], dice))
        clock()
        outcomes[check(path)] += 1
        clock(0)
    assert outcomes.total() == FILES and min(outcomes["read"], outcomes["refused"]) > FILES / 5, outcomes


def test_a_dataset_of_damaged_files_is_prepared(root, monkeypatch, capfd):
    """The same through the whole preparation, in two processes: no traceback, and all are accounted for."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS)
    dice, whole, count = random.Random(SEED + 1), dict(bodies()), 200
    for number in range(count):
        path = root / "photos" / ("cat" if number % 2 else "dog") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(whole[dice.choice(sorted(whole))], dice))
    described = {"title": "Damage", "layout": "folders", "licence": "own", "folder": "photos", "max_unreadable": count}
    (root / "config/datasets/damage.yaml").write_text(yaml.safe_dump(described))
    download(root, "damage")
    manifest = read_json(prepare(root, "damage", SIDE, processes=2))
    rows = {
        identity: image.permute(1, 2, 0).numpy()
        for split in ("train", "val", "test")
        for images in [load_all_classes(root, "damage", SIDE, split)]
        for identity, image in zip(images.ids, images.raw(), strict=True)
    }
    assert len(rows) + len(manifest["unreadable"]) + manifest["duplicates"]["dropped"] == count
    for identity, image in rows.items():
        expected, opaque = reference(root / "photos" / identity)
        assert numpy.abs(image - expected).max() <= (0 if opaque else 2), identity
    assert "Traceback" not in "".join(capfd.readouterr())
