"""Animated GIFs of the user study: an attribute moves forth and back on the reconstruction of an image."""

from __future__ import annotations

import io

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image

from stylex.latents.table import Latents
from stylex.networks.stylespace import move
from stylex.networks.synthesis import Synthesis
from stylex.quantization import to_uint8
from stylex.study.questions import Move

STEPS = 8  # frames one way
FRAME, REST = 80, 400  # milliseconds a frame is shown; at either end


@torch.inference_mode()
def frames_of(synthesis: Synthesis, latents: Latents, moved: Move, shift: float) -> NDArray[numpy.uint8]:
    """Return the frames one way, uint8 [STEPS, H, W, C]: from the reconstruction to the coordinate fully moved."""
    device = synthesis.constant.device
    row, index = torch.tensor([moved.row]), torch.tensor([moved.attribute.style_index])
    styles = latents.style_vector(row)
    extreme = moved.extreme(latents)
    space = [move(styles.space, index, extreme, shift * step / (STEPS - 1)) for step in range(STEPS)]
    every = styles._replace(space=torch.cat(space), to_rgb=styles.to_rgb.expand(STEPS, -1))
    return to_uint8(synthesis.render(every.to(device))).permute(0, 2, 3, 1).cpu().numpy()


def encode_gif(frames: NDArray[numpy.uint8]) -> bytes:
    """Return the frames [N, H, W, C], C = 1 or 3, shown forth and back for ever, as the bytes of a GIF."""
    ways = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    images = [Image.fromarray(frames[index].squeeze(2) if frames.shape[3] == 1 else frames[index]) for index in ways]
    durations = [REST if index in (0, len(frames) - 1) else FRAME for index in ways]
    target = io.BytesIO()
    images[0].save(target, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return target.getvalue()
