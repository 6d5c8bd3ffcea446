"""Flat weights, averages and learning rates; Adam's moves against run-time scaling; the compiled generator."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call

from stylex.config import StylexConfig
from stylex.networks.layers import learning_gains
from stylex.networks.synthesis import Mapping, Synthesis
from stylex.training.state import NETWORKS, FlatWeights, initial_state

REPOSITORY = Path(__file__).parents[2]
COMPILER = shutil.which(os.environ.get("CXX", "g++"))


class Generator(nn.Module):
    """Latents to images: linear, styled and plain parameters, with gains from 0.0005 to 1.4."""

    def __init__(self):
        super().__init__()
        self.mapping = Mapping(6, 2, 0.01)
        self.synthesis = Synthesis(6, [5, 4], 1)

    def forward(self, z):
        return self.synthesis.render(self.synthesis.styles(self.mapping(z)))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return Generator()


def loss_of(images):
    return (images - torch.linspace(-1, 1, 8)).square().mean()


def test_adam_moves_parameters_as_stylegan2s_run_time_scaling_does(generator):
    """There a layer holds v and multiplies it by its gain in every forward pass; Adam moves v."""
    gains = learning_gains(generator)
    values = {
        name: (parameter.detach() / gains[name]).requires_grad_() for name, parameter in generator.named_parameters()
    }
    runtime = Generator()
    runtime.load_state_dict(generator.state_dict())  # its own weights are not used, its fixed noise is
    flat = FlatWeights(generator, torch.float32)
    options = {"lr": 0.002, "betas": (0.5, 0.99), "eps": 1e-8}
    ours, textbook = torch.optim.Adam([flat.vector], **options), torch.optim.Adam(values.values(), **options)
    random, start = torch.Generator().manual_seed(1), flat.vector.detach().clone()
    for _ in range(6):
        z = torch.randn(4, 6, generator=random)
        loss_of(generator(z)).backward()
        flat.collect()
        ours.step()
        ours.zero_grad()
        flat.publish()
        scaled = {name: gains[name] * value for name, value in values.items()}
        textbook.zero_grad()
        loss_of(functional_call(runtime, scaled, (z,))).backward()
        textbook.step()
    assert (flat.vector - start).abs().median() > 0.002
    for name, parameter in generator.named_parameters():
        # In units of v, of which a step moves each by about 0.002 whatever its gain.
        torch.testing.assert_close(parameter / gains[name], values[name], atol=2e-5, rtol=1e-5, msg=name)


def test_a_network_out_of_the_loss_gets_no_gradient_and_a_parameter_out_of_it_gets_zeros(generator):
    flat = FlatWeights(generator, torch.float32)
    flat.collect()
    assert flat.vector.grad is None
    used, gain = generator.synthesis.affine.weight, learning_gains(generator)["synthesis.affine.weight"]
    (used * 3).sum().backward()
    flat.collect()
    sizes = [parameter.numel() for parameter in flat.parameters]
    for parameter, gradient in zip(flat.parameters, flat.gradient().split(sizes), strict=True):
        torch.testing.assert_close(gradient, torch.full_like(gradient, 3 * gain if parameter is used else 0.0))


def test_convolutions_work_in_bfloat16_and_mapping_and_affines_in_float32(setting):
    state = setting(training={"precision": {"cpu": "bfloat16"}}).state
    gains, averages = learning_gains(state.networks), dict(state.ema.named_parameters())
    precise = ("mapping.", "synthesis.affine.", "synthesis.condition_affine.", "synthesis.to_rgb_affine.")
    for name, parameter in state.networks.named_parameters():
        exact = name.startswith(precise)
        assert parameter.dtype == (torch.float32 if exact else torch.bfloat16), name
        assert averages[name].dtype == torch.float32
        rounding = {"rtol": 0 if exact else 2**-8, "atol": 1e-6 * gains[name]}
        torch.testing.assert_close(parameter.float(), averages[name], **rounding)
    for flats in (state.weights, state.averages):
        assert set(flats) == set(NETWORKS)
        assert {flat.vector.dtype for flat in flats.values()} == {torch.float32}


def test_in_bfloat16_gradients_are_collected_and_small_steps_kept_in_float32(generator):
    flat, kernel = FlatWeights(generator, torch.bfloat16), generator.synthesis.layers[0].weight
    with torch.autocast("cpu", torch.bfloat16):
        loss_of(generator(torch.randn(2, 6))).backward()
    flat.collect()
    assert flat.gradient().dtype == torch.float32
    assert flat.gradient().isfinite().all() and (flat.gradient() != 0).double().mean() > 0.9
    flat.vector.grad = None
    with torch.no_grad():
        flat.vector.fill_(1.0)
        flat.publish()
        before = kernel.clone()
        for count in range(100):
            flat.vector.add_(0.001)  # bfloat16 has no number between 1 and 1.0078
            flat.publish()
            assert count or torch.equal(kernel, before)
    gain = learning_gains(generator)["synthesis.layers.0.weight"]
    torch.testing.assert_close(kernel.float(), torch.full(kernel.shape, 1.1 * gain), rtol=2**-8, atol=0)


def test_each_step_has_the_rates_of_its_place_in_the_training(setting):
    rates = {"learning_rate": 0.5, "encoder_learning_rate": 0.25, "discriminator_learning_rate": 0.125}
    training = rates | {"images": 32, "warmup_images": 16, "decay": 0.5}
    tiny = setting(training=training, losses={"r1_gamma": 0.0, "path_length": 0.0})
    state = tiny.state
    for factor in (0.5, 1.0, 1.0, 0.5):
        tiny.step().run()
        assert [group["lr"] for group in state.generator_optimizer.param_groups] == [0.5 * factor, 0.25 * factor]
        assert state.discriminator_optimizer.param_groups[0]["lr"] == 0.125 * factor
    resumed = initial_state(tiny.config, 32, 1, 2, 0, "cpu")
    resumed.restore(copy.deepcopy(state.dump()))
    resumed.set_rates(1.0)
    assert resumed.generator_optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(("own", "expected"), [(None, 0.5), (0.9, 0.9), (0.0, 0.0)])
def test_the_generator_may_have_a_momentum_of_its_own(setting, own, expected):
    options = {"training": {"beta1": 0.5, "generator_beta1": own}, "losses": {"r1_gamma": 0.0, "path_length": 0.0}}
    state = setting(**options).state
    assert [group["betas"][0] for group in state.generator_optimizer.param_groups] == 2 * [expected]
    assert state.discriminator_optimizer.param_groups[0]["betas"][0] == 0.5


def test_files_of_earlier_trainings_say_compile_where_it_stood_then(setting):
    content = setting().config.model_dump(mode="json")
    del content["training"]["acceleration"]
    content["training"]["compile"] = True
    assert StylexConfig.model_validate(content).training.acceleration.compile is True


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch._dynamo itself
@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler (g++)")
def test_the_compiled_generator_is_the_plain_one(setting):
    state = setting(training={"acceleration": {"compile": True}}).state
    synthesis, w_plus = state.networks.synthesis, torch.randn(3, 10)  # latent_dim 8, two classes
    noise = [torch.randn(3, 1, side, side) for side in synthesis.noise_sides]
    gradients, images = [], []
    for render in (state.render, synthesis.render):
        images.append(render(synthesis.styles(w_plus), noise))
        images[-1].square().sum().backward()
        gradients.append([parameter.grad for parameter in synthesis.parameters()])
        synthesis.zero_grad(set_to_none=True)
    torch.testing.assert_close(images[0], images[1], rtol=1e-5, atol=1e-5)
    for compiled, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-3)
