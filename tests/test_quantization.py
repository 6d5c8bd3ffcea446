"""What an image file holds: cut at black and white, 256 levels; and the gradient through it."""

import numpy
import torch
from PIL import Image

from stylex.quantization import from_uint8, quantized, to_uint8


def test_every_byte_comes_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(pixels)), pixels)
    assert from_uint8(pixels).min() == -1 and from_uint8(pixels).max() == 1


def test_an_image_is_what_its_file_holds(tmp_path):
    image = 3 * torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) - 1.5
    Image.fromarray(to_uint8(image).numpy()).save(tmp_path / "image.png")
    read = torch.from_numpy(numpy.asarray(Image.open(tmp_path / "image.png")).copy())
    assert torch.equal(from_uint8(read), quantized(image))
    assert torch.equal(quantized(quantized(image)), quantized(image))
    assert (quantized(image) - image.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6


def test_the_gradient_passes_through_the_rounding_and_not_beyond_the_cut():
    image = torch.tensor([-1.2, -0.51, 0.301, 1.7], requires_grad=True)
    seen = quantized(image)
    assert torch.equal(seen.detach(), quantized(image.detach()))
    seen.sum().backward()
    assert image.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
