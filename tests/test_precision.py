"""Which number format `auto` is, on CPUs as torch describes them."""

import pytest
import torch

from stylex.precision import autocast_to, format_name, number_format


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, torch.float32),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False, "cpu_name": "Intel Core"}, torch.float32),
        ({"architecture": "aarch64"}, torch.float32),
    ],
)
def test_auto_is_the_format_that_the_cpu_is_faster_in(capabilities, expected, monkeypatch):
    assert "architecture" in torch.cpu.get_capabilities()  # so this machine says what it can
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert number_format("auto", "cpu") == expected


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_a_format_asked_for_is_kept_and_convolutions_run_in_it(wanted):
    dtype = number_format(wanted, "cpu")
    with autocast_to(dtype, "cpu"):
        assert torch.nn.functional.conv2d(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3)).dtype == dtype
    assert format_name(dtype) == wanted
