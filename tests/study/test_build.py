"""The questionnaire's files: GIFs that show the move, a page without the key, a key that fits the page."""

import base64
import io
import json
import re

import numpy
import pytest
import torch
from PIL import Image

from stylex.attfind.records import Direction, read_attributes
from stylex.cli import main
from stylex.config import ExperimentPaths, load_experiment
from stylex.config.base import Protocol
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import move
from stylex.quantization import to_uint8
from stylex.study.answers import read_key
from stylex.study.questionnaire import STEPS, Move, encode_gif, frames_of, move_on

GIF = re.compile(r"data:image/gif;base64,([A-Za-z0-9+/=]+)")


def test_page_and_key_are_written(own, monkeypatch):
    paths = ExperimentPaths(own, "mnist")
    before = paths.study_page.read_bytes(), paths.study_key.read_bytes()
    paths.study_page.unlink()
    paths.study_key.unlink()
    monkeypatch.chdir(own)
    with pytest.raises(SystemExit) as ended:
        main(["study", "build", "mnist", "--device", "cpu"])
    assert not ended.value.code
    assert (paths.study_page.read_bytes(), paths.study_key.read_bytes()) == before  # the seed decides everything


def test_the_page_stands_alone_and_holds_nothing_of_the_key(asked):
    paths = ExperimentPaths(asked, "mnist")
    page, key = paths.study_page.read_text(), read_key(paths.study_key)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page) and "@import" not in page
    text = GIF.sub("", page)
    assert key["study"].iloc[0] in text
    assert not any(word in text for word in ("correct", "style_index", "method", "image 0"))
    assert [len(json.loads(images)) for images in key["images"]] == [4] * 6
    assert set(key.loc[key["part"] == 1, "correct"]) <= {"A", "B"} and sum(key["part"] == 1) == 3
    assert set(key.loc[key["part"] == 2, "correct"]) == {""}


def test_the_gifs_are_in_the_order_of_the_key(asked):
    paths = ExperimentPaths(asked, "mnist")
    key, latents = read_key(paths.study_key), read_latents(paths.latents).under(Protocol.HELD_OUT)
    found = {each.style_index: each for one in read_attributes(paths.attributes).values() for each in one}
    synthesis, shift = load_stylex(paths.stylex_model).synthesis, load_experiment(asked, "mnist").attfind.shift
    gifs = [base64.b64decode(text) for text in GIF.findall(paths.study_page.read_text())]
    assert len(gifs) == 24
    for number, row in enumerate(key[key["part"] == 1].to_dict("records")):
        pair = found[row["style_index"]], found[row["other_style_index"]]
        a, b = pair if row["correct"] == "A" else pair[::-1]
        shown = zip((pair[0], pair[0], a, b), json.loads(row["images"]), strict=True)
        expected = [
            encode_gif(frames_of(synthesis, latents, move_on(each, latents.ids.index(image), latents), shift))
            for each, image in shown
        ]
        first, second, upper, lower = expected  # the page: examples left, candidates right
        assert gifs[4 * number : 4 * number + 4] == [first, upper, second, lower]


def test_frames_go_from_the_reconstruction_to_the_full_move(asked):
    paths = ExperimentPaths(asked, "mnist")
    latents, synthesis = read_latents(paths.latents), load_stylex(paths.stylex_model).synthesis
    attribute = read_attributes(paths.attributes)["5"][0]
    frames = frames_of(synthesis, latents, Move(attribute, 4, Direction.TO_MIN), 2.0)
    styles = latents.style_vector(torch.tensor([4]))
    extreme = latents.minima[[attribute.style_index]]
    moved = styles._replace(space=move(styles.space, torch.tensor([attribute.style_index]), extreme, 2.0))
    for frame, wanted in ((frames[0], styles), (frames[-1], moved)):
        assert torch.equal(torch.from_numpy(frame[..., 0]), to_uint8(synthesis.render(wanted))[0, 0])
    assert (frames[0] != frames[-1]).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_goes_forth_and_back_for_ever(channels):
    frames = numpy.stack([numpy.full((8, 8, channels), 30 * step, numpy.uint8) for step in range(STEPS)])
    with Image.open(io.BytesIO(encode_gif(frames))) as gif:
        assert gif.info["loop"] == 0 and gif.n_frames == 2 * STEPS - 2
        levels = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            levels.append(gif.convert("L").getpixel((0, 0)))
    up = [30 * step for step in range(STEPS)]
    assert levels == pytest.approx([*up, *up[-2:0:-1]], abs=2)
