"""The weights of a network as one float32 vector, which the optimiser, the average and the processes handle whole.

A parameter of the network is gain x v (the equalised learning rate: see `learning_gains`). This vector holds v; the
network computes with working copies of gain x v, in bfloat16 where the convolutions are. So scaling, casting, Adam, EMA
and averaging over processes take a few operations an update, and not a few for every layer and every use of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylex.networks.layers import EqualizedLinear, learning_gains


class FlatWeights:
    """Owns the parameters of `network`: they become views into one working copy a number format."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        """`dtype`: of the working copies, but for the layers that are always precise."""
        gains, named = learning_gains(network), dict(network.named_parameters())
        precise = {
            f"{name}.{key}".lstrip(".")
            for name, module in network.named_modules()
            if isinstance(module, EqualizedLinear) and module.precise
            for key, _ in module.named_parameters()
        }
        names = sorted(named, key=lambda name: name in precise)
        self.parameters = [named[name] for name in names]
        self.gains = torch.cat([torch.full((named[name].numel(),), gains[name]) for name in names])
        self.gains = self.gains.to(self.parameters[0].device)
        effective = torch.cat([in_memory_order(parameter.detach()) for parameter in self.parameters])
        self.vector = nn.Parameter(effective / self.gains)
        self.sizes = [parameter.numel() for parameter in self.parameters]
        self.buffer = torch.empty_like(self.gains)  # of the gradient, between steps: such memory is slow to come by
        self.low = sum(named[name].numel() for name in names if name not in precise)
        self.counts = sum(name not in precise for name in names)
        self.working = effective[: self.low].to(dtype), effective[self.low :].clone()
        self._place()
        self.publish()  # (w / gain) x gain may differ from w in its last bit, and a checkpoint holds w / gain

    def publish(self) -> None:
        """Give the network the weights of the vector, whose gradient has been used."""
        assert self.vector.grad is None
        effective = torch.mul(self.vector.detach(), self.gains, out=self.buffer)  # a product that casts is slower
        self.working[0].copy_(effective[: self.low])
        self.working[1].copy_(effective[self.low :])

    def collect(self) -> None:
        """Add the gradients of the network's parameters to the vector's, and drop them.

        A network that the loss does not touch gets none; a single parameter that it does not touch gets zeros.
        """
        if all(parameter.grad is None for parameter in self.parameters):
            return
        first = self.vector.grad is None
        gradient = self.buffer if first else torch.empty_like(self.gains)
        for parameter, part in zip(self.parameters, gradient.split(self.sizes), strict=True):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(in_memory_order(parameter.grad))
                parameter.grad = None
        gradient.mul_(self.gains)
        self.vector.grad = gradient if first else self.gradient().add_(gradient)

    def gradient(self) -> Tensor:
        """Return the vector's gradient, which there must be."""
        assert self.vector.grad is not None
        return self.vector.grad

    def _place(self) -> None:
        for parameters, working in zip(
            (self.parameters[: self.counts], self.parameters[self.counts :]), self.working, strict=True
        ):
            for parameter, values in zip(parameters, working.split([p.numel() for p in parameters]), strict=True):
                shape = parameter.shape
                if len(shape) == 4:
                    parameter.data = values.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
                else:
                    parameter.data = values.view(shape)


def in_memory_order(values: Tensor) -> Tensor:
    """Flatten a tensor, a 4-dimensional one with its second dimension last (channels-last)."""
    return values.permute(0, 2, 3, 1).reshape(-1) if values.dim() == 4 else values.reshape(-1)
