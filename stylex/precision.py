"""The number format of convolutions: what the configuration asks for, on the device at hand.

`auto` is bfloat16 where that is the faster one, docs/performance.md says by how much: on GPUs and CPUs that have
matrix units for it (Ampere, AMX) and on AMD's AVX-512. Intel's AVX-512 without AMX multiplies it no faster than
float32, and converts; other CPUs emulate it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def number_format(wanted: str, device: str) -> torch.dtype:
    """Return the format for `wanted`, "float32", "bfloat16" or "auto", on a device such as "cpu" or "cuda:1"."""
    if wanted != "auto":
        return getattr(torch, wanted)
    if torch.device(device).type == "cuda":
        fast = torch.cuda.get_device_capability() >= (8, 0)
    else:
        has = torch.cpu.get_capabilities()
        amd = not has.get("cpu_name", "").startswith("Intel")
        fast = has.get("amx_bf16", False) or (has.get("avx512_bf16", False) and amd)
    return torch.bfloat16 if fast else torch.float32


def autocast_to(dtype: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Return the context in which convolutions run in that format."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(torch.device(device).type, dtype=dtype)


def in_float32(device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which nothing is cast; `meta` casts nothing anyway."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def multiply_in_tf32(allowed: bool) -> None:
    """Say whether GPUs may multiply float32 in TF32; PyTorch lets convolutions do so unless it is told."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def format_name(dtype: torch.dtype) -> str:
    """Return what a header says of the format."""
    return str(dtype).removeprefix("torch.")
