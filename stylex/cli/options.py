"""Arguments that several commands share, and what they mean: which device, how many threads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stylex.allocator import keep_freed_memory
from stylex.errors import DeviceError


class Device(StrEnum):
    """Where tensors are computed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ExperimentArgument = Annotated[str, typer.Argument(help="The name of a file in config/experiments, without .yaml.")]
SuiteArgument = Annotated[str, typer.Argument(help="The name of a file in config/suites, without .yaml.")]
DatasetArgument = Annotated[str, typer.Argument(help="A dataset that `stylex datasets` lists.")]
DeviceOption = Annotated[Device, typer.Option(help="auto: cuda if available.")]
ProtocolOption = Annotated[str | None, typer.Option(help="One of attfind.protocols; default: the first.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads.")]


def select_device(device: Device, threads: int) -> str:
    """Set the number of CPU threads and return "cpu" or "cuda"; raise `DeviceError` if there is no such device."""
    import torch

    from stylex.precision import multiply_in_tf32

    keep_freed_memory()
    multiply_in_tf32(False)
    torch.set_num_threads(threads)
    available = torch.cuda.is_available()
    if device is Device.CUDA and not available:
        raise DeviceError("--device cuda: PyTorch finds no CUDA device on this machine; use --device cpu or auto")
    if device is Device.AUTO:
        return Device.CUDA.value if available else Device.CPU.value
    return device.value
