"""Flat weights: views, round trips, gradients, and Adam's moves against run-time scaling."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from stylex.config import load_experiment
from stylex.networks.layers import learning_gains
from stylex.networks.mapping import Mapping
from stylex.networks.synthesis import Synthesis
from stylex.training.state import NETWORKS, initial_state
from stylex.training.weights import FlatWeights, in_memory_order


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


def test_adams_first_step_moves_a_parameter_by_its_gain_times_the_learning_rate(generator):
    gains = learning_gains(generator)
    before = {name: parameter.detach().clone() for name, parameter in generator.named_parameters()}
    flat = FlatWeights(generator, torch.float32)
    optimizer = torch.optim.Adam([flat.vector], lr=0.01, eps=0.0)
    loss_of(generator(torch.randn(4, 6))).backward()
    flat.collect()
    optimizer.step()
    optimizer.zero_grad()
    flat.publish()
    for name in ("mapping.layers.0.weight", "mapping.layers.0.bias", "synthesis.layers.1.weight", "synthesis.constant"):
        moved = (dict(generator.named_parameters())[name] - before[name]).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 0.01 * gains[name]), rtol=0.01, atol=2e-7)


def test_making_flat_weights_changes_no_value_and_shares_the_memory(generator):
    before = {name: parameter.detach().clone() for name, parameter in generator.named_parameters()}
    z = torch.randn(2, 6)
    images = generator(z).detach()
    flat = FlatWeights(generator, torch.float32)
    assert flat.vector.numel() == sum(value.numel() for value in before.values())
    homes = {working.untyped_storage().data_ptr() for working in flat.working}
    for name, parameter in generator.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], rtol=1e-6, atol=0, msg=name)
        assert parameter.untyped_storage().data_ptr() in homes
        if parameter.dim() == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(generator(z), images, atol=1e-6, rtol=1e-5)


def test_published_parameters_are_the_vector_times_the_gains(generator):
    gains, flat = learning_gains(generator), FlatWeights(generator, torch.float32)
    with torch.no_grad():
        flat.vector.copy_(torch.randn_like(flat.vector))
    flat.publish()
    names = {parameter: name for name, parameter in generator.named_parameters()}
    values = flat.vector.detach().split([parameter.numel() for parameter in flat.parameters])
    assert {names[parameter] for parameter in flat.parameters} == set(gains)
    for parameter, value in zip(flat.parameters, values, strict=True):
        expected = gains[names[parameter]] * value
        torch.testing.assert_close(in_memory_order(parameter.detach()), expected, rtol=1e-6, atol=0, msg=str(parameter))
    kernel = generator.synthesis.layers[1].weight
    assert torch.equal(in_memory_order(kernel.detach())[:5], kernel[0, :, 0, 0])  # input channels come last


def test_collected_gradients_are_the_chain_rule_and_add_up(generator):
    gains, flat = learning_gains(generator), FlatWeights(generator, torch.float32)
    z, names = torch.randn(2, 6), {parameter: name for name, parameter in generator.named_parameters()}
    gradients = torch.autograd.grad(loss_of(generator(z)), flat.parameters)
    pieces = zip(flat.parameters, gradients, strict=True)
    expected = torch.cat([gains[names[parameter]] * in_memory_order(gradient) for parameter, gradient in pieces])
    for count in (1, 2):
        loss_of(generator(z)).backward()
        flat.collect()
        assert all(parameter.grad is None for parameter in flat.parameters)
        torch.testing.assert_close(flat.gradient(), count * expected, rtol=1e-4, atol=1e-7)


def test_a_network_out_of_the_loss_gets_no_gradient_and_a_parameter_out_of_it_gets_zeros(generator):
    flat = FlatWeights(generator, torch.float32)
    flat.collect()
    assert flat.vector.grad is None
    before, used = flat.vector.detach().clone(), generator.synthesis.affine.weight
    (used * 3).sum().backward()
    flat.collect()
    sizes = [parameter.numel() for parameter in flat.parameters]
    gain = learning_gains(generator)["synthesis.affine.weight"]
    for parameter, gradient in zip(flat.parameters, flat.gradient().split(sizes), strict=True):
        torch.testing.assert_close(gradient, torch.full_like(gradient, 3 * gain if parameter is used else 0.0))
    assert torch.equal(flat.vector, before)


def test_convolutions_work_in_bfloat16_and_mapping_and_affines_in_float32(root):
    config = load_experiment(root, "mnist").stylex
    low = config.training.precision.model_copy(update={"cpu": "bfloat16"})
    config = config.model_copy(update={"training": config.training.model_copy(update={"precision": low})})
    state = initial_state(config, 32, 1, 2, 0, "cpu")
    for name, parameter in state.networks.named_parameters():
        precise = name.startswith(
            ("mapping.", "synthesis.affine.", "synthesis.condition_affine.", "synthesis.to_rgb_affine.")
        )
        assert parameter.dtype == (torch.float32 if precise else torch.bfloat16), name
        gain = learning_gains(state.networks)[name]
        average = dict(state.ema.named_parameters())[name]
        assert average.dtype == torch.float32
        torch.testing.assert_close(parameter.float(), average, rtol=0 if precise else 2**-8, atol=1e-6 * gain)
    for flats in (state.weights, state.averages):
        assert set(flats) == set(NETWORKS)
        assert {flat.vector.dtype for flat in flats.values()} == {torch.float32}


def test_the_vector_keeps_steps_that_bfloat16_would_round_away(generator):
    flat = FlatWeights(generator, torch.bfloat16)
    kernel = generator.synthesis.layers[0].weight
    gain = learning_gains(generator)["synthesis.layers.0.weight"]
    with torch.no_grad():
        flat.vector.fill_(1.0)
    flat.publish()
    before = kernel.clone()
    for count in range(100):
        with torch.no_grad():
            flat.vector.add_(0.001)  # bfloat16 has no number between 1 and 1.0078
        flat.publish()
        assert count or torch.equal(kernel, before)
    torch.testing.assert_close(kernel.float(), torch.full(kernel.shape, 1.1 * gain), rtol=2**-8, atol=0)


def test_gradients_of_bfloat16_copies_are_collected_in_float32(generator):
    flat = FlatWeights(generator, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss_of(generator(torch.randn(2, 6))).backward()
    flat.collect()
    assert flat.gradient().dtype == torch.float32
    assert flat.gradient().isfinite().all() and (flat.gradient() != 0).double().mean() > 0.9
