"""The simulated device does what a GPU does: refuses, casts, and makes the host wait."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.devices.simulated import NAME, DeviceTensor, EarlyReadError, MixedDevicesError, simulated_device


@pytest.fixture
def device():
    with simulated_device() as found:
        yield found


def there(*shape):
    return torch.randn(shape, generator=torch.Generator(NAME).manual_seed(0), device=NAME)


REFUSED = {
    "sum": lambda: there(4, 8) + torch.ones(8),
    "sum in place": lambda: torch.ones(8).add_(there(8)),
    "a number in place": lambda: torch.zeros(()).add_(there(1).sum()),
    "product of matrices": lambda: there(4, 8) @ torch.ones(8, 2),
    "cat with a number's shape": lambda: torch.stack([there(1).sum(), torch.zeros(())]),
    "choice": lambda: torch.where(torch.ones(4, dtype=torch.bool), there(4), there(4)),
    "gather": lambda: there(4, 2).gather(1, torch.zeros(4, 1, dtype=torch.long)),
    "index of the device": lambda: torch.ones(4)[there(4).argsort()],
    "rows put": lambda: there(4, 2).index_put_((torch.arange(2),), torch.ones(2, 2)),
    "convolution": lambda: nn.Conv2d(3, 4, 3)(there(2, 3, 8, 8)),
    "generator of the CPU": lambda: torch.randn(3, generator=torch.Generator(), device=NAME),
    "generator of the device": lambda: torch.randperm(3, generator=torch.Generator(NAME)),
    "random values in place": lambda: there(3).normal_(generator=torch.Generator()),
}


@pytest.mark.parametrize("mistake", REFUSED.values(), ids=REFUSED)
def test_a_tensor_or_generator_of_the_other_place_is_refused(device, mistake):
    with pytest.raises(MixedDevicesError):
        mistake()


def test_a_copy_that_may_be_read_too_early_is_refused(device):
    with pytest.raises(EarlyReadError):
        there(3).to("cpu", non_blocking=True)
    with pytest.raises(EarlyReadError):
        torch.zeros(3).copy_(there(3), non_blocking=True)


def test_results_on_the_device_do_not_reach_numpy(device):
    with pytest.raises((RuntimeError, TypeError)):
        there(3).numpy()


ALLOWED = {
    "a number": lambda: there(4) * torch.tensor(2.0),
    "a number on the left": lambda: torch.zeros(()) + there(4),
    "a constant": lambda: there(4) * 2 + 1,
    "random order": lambda: torch.randperm(4, generator=torch.Generator(NAME), device=NAME),
    "without blocking": lambda: torch.ones(4).to(NAME, non_blocking=True),
    "from pinned memory": lambda: torch.ones(4).pin_memory().to(NAME, non_blocking=True),
    "from memory made pinned": lambda: torch.ones(4, pin_memory=True).to(NAME, non_blocking=True),
    "filled by a mask": lambda: there(4).masked_fill(there(4) > 0, 0.0),
    "set by a mask": lambda: there(4).index_put_((there(4) > 0,), torch.zeros((), device=NAME)),
    "repeated to a known size": lambda: torch.repeat_interleave(
        there(2), torch.ones(2, dtype=torch.long, device=NAME), dim=0, output_size=2
    ),
}
WAITS = {
    "number": (lambda: there(4).sum().item(), ["number"]),
    "float": (lambda: float(there(4).sum()), ["number"]),
    "condition": (lambda: bool((there(4) > 0).any()), ["number"]),
    "list": (lambda: there(4).tolist(), ["read"]),
    "copy": (lambda: there(4).cpu(), ["read"]),
    "copy into": (lambda: torch.zeros(4).copy_(there(4)), ["read"]),
    "sent": (lambda: torch.ones(4).to(NAME), ["written"]),
    "made of a list": (lambda: torch.tensor([1.0, 2.0], device=NAME), ["written"]),
    "index of the CPU": (lambda: there(4)[torch.arange(2)], ["written"]),
    "number put by an index": (
        lambda: there(4).index_put_((there(4).argsort(),), torch.zeros(())), ["written"]
    ),
    "drawn by weights": (
        lambda: torch.multinomial(there(4).abs(), 2, generator=torch.Generator(NAME)), ["number"]
    ),
    "list as an index": (lambda: there(4)[[0, 1]], ["written"]),
    "places": (lambda: torch.nonzero(there(4) > 0), ["size"]),
    "chosen by a mask": (lambda: there(4)[there(4) > 0], ["size"]),
    "different ones": (lambda: there(4).unique(), ["size"]),
    "equality": (lambda: torch.equal(there(4), there(4)), ["number"]),
    "eigenvalues": (lambda: torch.linalg.eigh(there(3, 3)), ["number"]),
    "repeated to an unknown size": (
        lambda: torch.repeat_interleave(there(2), torch.ones(2, dtype=torch.long, device=NAME), dim=0), ["size"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
def test_what_runs_without_waiting(device, allowed):
    device.waits.clear()
    assert allowed().device.type == NAME and not device.waits


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize(("waiting", "kinds"), WAITS.values(), ids=WAITS)
def test_each_wait_is_noted_once(device, mode, waiting, kinds):
    with mode():
        waiting()
    assert [wait.kind for wait in device.waits] == kinds and {wait.place for wait in device.waits} == {"outside"}


def test_gradients_views_and_optimisers_give_the_numbers_of_the_cpu(device):
    found = {}
    for place in ("cpu", NAME):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).to(place)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        images = torch.randn(8, 1, 8, 8, generator=torch.Generator(place).manual_seed(1), device=place)
        images[:2, :, 0].zero_()  # through two views
        for _ in range(3):
            optimizer.zero_grad()
            F.softplus(network(images)).mean().backward()
            optimizer.step()
        found[place] = [each.detach().cpu() for each in (*copy.deepcopy(network).parameters(), images)]
    assert all(torch.equal(*pair) for pair in zip(*found.values(), strict=True))


def test_it_casts_as_cuda_does(device):
    x, weight = there(2, 4, 8, 8), there(3, 4, 3, 3).requires_grad_()
    with torch.autocast(NAME, dtype=torch.bfloat16):
        low = F.conv2d(x, weight)
        assert low.dtype == (x[0, 0] @ x[0, 0]).dtype == torch.bfloat16
        assert torch.rsqrt(low).dtype == low.softmax(dim=1).dtype == low.sum().dtype == torch.float32
        assert torch.addcmul(x[:, :3, 2:, 2:], low, low).dtype == torch.float32
        low.float().sum().backward()
    assert weight.grad.dtype == torch.float32 and isinstance(weight.grad, DeviceTensor)


def test_a_file_of_it_is_read_on_the_cpu(device):
    file, values = io.BytesIO(), there(4)
    torch.save({"values": values}, file)
    file.seek(0)
    read = torch.load(file, weights_only=True)["values"]
    assert type(read) is torch.Tensor and torch.equal(read, values.cpu())
