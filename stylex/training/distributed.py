"""One process or several: torchrun or `launch` starts them, they share every batch, gradients are averaged.

Gradients are averaged explicitly, in one flat all-reduce an update, as StyleGAN3 does: a wrapper around each network
would not see R1 and path lengths, which differentiate twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from stylex.errors import DeviceError


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's rows of a batch of `count`, a multiple of `size`."""
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place; all processes must pass the same shapes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, mean in zip(tensors, (flat / self.size).split([each.numel() for each in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process: they stop at the same step.

        Flags travel between CPUs, so that nobody waits for what the GPUs compute.
        """
        if self.size == 1:
            return flag
        flags = torch.tensor([int(flag)])
        distributed.all_reduce(flags)
        return bool(flags.item())

    def of_first(self, value: str | None) -> str | None:
        """Return the first process's value; also a point where all wait for it."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that were started together, if several were; yields this process and its own device.

    NCCL between GPUs, gloo between CPUs. Only the first process logs. Raises `DeviceError` where it has no GPU.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if size == 1:
        yield Processes(), device
        return
    if device == "cuda":
        require_devices(local + 1)
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    distributed.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
    processes = Processes(distributed.get_rank(), size)
    if not processes.first:
        logging.getLogger("stylex").setLevel(logging.ERROR)
    try:
        yield processes, device
    finally:
        distributed.destroy_process_group()


def require_devices(count: int) -> None:
    """Raise `DeviceError` when this machine has fewer than `count` GPUs."""
    found = torch.cuda.device_count()
    if found < count:
        raise DeviceError(
            f"{count} processes need {count} GPUs, and PyTorch finds {found} on this machine: start fewer"
            " processes or use --device cpu"
        )
