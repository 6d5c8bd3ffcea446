"""`compile: true` renders what the plain generator renders, and trains by the same gradients."""

import os
import shutil

import pytest
import torch

from stylex.config import load_experiment
from stylex.training.state import initial_state

COMPILER = shutil.which(os.environ.get("CXX", "g++"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch._dynamo itself
@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler (g++)")
def test_compiled_generator_equals_the_plain_one(root):
    config = load_experiment(root, "mnist").stylex
    channels = {f"{network}_channels": [4, 4] for network in ("generator", "encoder", "discriminator")}
    training = {"compile": True, "precision": config.training.precision.model_copy(update={"cpu": "float32"})}
    config = config.model_copy(
        update={
            "networks": config.networks.model_copy(update=channels),
            "training": config.training.model_copy(update=training),
        }
    )
    state = initial_state(config, 8, 1, 2, 0, "cpu")
    synthesis, w_plus = state.networks.synthesis, torch.randn(3, 66)
    noise = [torch.randn(3, 1, side, side) for side in synthesis.noise_sides]
    gradients, images = [], []
    for render in (state.render, synthesis.render):
        images.append(render(synthesis.styles(w_plus), noise))
        images[-1].square().sum().backward()
        gradients.append([parameter.grad for parameter in synthesis.parameters()])
        synthesis.zero_grad(set_to_none=True)
    torch.testing.assert_close(images[0], images[1], rtol=1e-5, atol=1e-5)
    for compiled, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)
