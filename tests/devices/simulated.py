"""A device without hardware, whose tensors have real values: what goes wrong on a GPU goes wrong here, and is counted.

A `DeviceTensor` says that it lives on the device `simulated` and holds an ordinary CPU tensor. Every operation of torch
passes through `SimulatedDevice`, which works on what the tensors hold, so that all results are those of a CPU, code
that depends on values runs, and autograd, Adam and autocast work. `meta` tensors have no values, and fake tensors of
torch neither: masks, flips and searches would not run. As on a GPU,

- tensors of both places do not mix, but for numbers (0 dimensions) in elementwise operations and for indices;
- random numbers of a device need a generator of that device;
- numpy and files take tensors of the CPU alone, and a copy to it has to block;
- autocast casts what it casts on CUDA: the lists are read from PyTorch's header.

Each time the host would wait for the device, a `Wait` is noted, with the place in stylex/ that asked for it. CUDA waits
at the same operations: those that `torch.cuda.set_sync_debug_mode` reports.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "simulated"
PACKAGE = Path(__file__).parents[2] / "stylex"
KEY = "PrivateUse1"  # under which PyTorch dispatches a device of one's own
PARTS = "CompositeImplicitAutograd"  # under which it keeps how an operation is made of others
aten = torch.ops.aten
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
COPIES = (aten._to_copy.default, aten.copy_.default)
PINNING = (aten.pin_memory.default, aten._pin_memory.default)
SCALARS = (aten._local_scalar_dense.default, aten.equal.default)  # a number that Python goes on with
SIZES = {  # the result has as many elements as the values say
    "nonzero", "nonzero_numpy", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "unique_dim_consecutive", "bincount",
}  # fmt: skip
SOLVERS = ("_linalg_", "linalg_")  # they read from the device whether they have converged
CPU, CpuGenerator = torch.device("cpu"), torch.Generator


class Wait(NamedTuple):
    """The host waits until the device has done all that it was given."""

    kind: str  # "read" and "written": copied from and to the device; "number", "size": what Python needs to go on
    place: str  # "training/step.py:Step.generate"
    operator: str


class MixedDevicesError(RuntimeError):
    """What raises on a GPU, too."""


class EarlyReadError(RuntimeError):
    """What raises nowhere, and gives wrong numbers on a GPU now and then."""


class Generator(CpuGenerator):
    """A generator of any device; that of the simulated one gives the numbers of a CPU's."""

    places: ClassVar[dict[int, torch.device]] = {}  # by the address of PyTorch's own: operators are handed that one

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        return super().__new__(cls, "cpu")

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.places[self._cdata] = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.places[self._cdata]


class DeviceTensor(Tensor):
    """A tensor on the simulated device; `held` is its content on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        shape = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        tensor = Tensor._make_wrapper_subclass(cls, held.size(), device=torch.device(NAME, 0), **shape)
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of SimulatedDevice")

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: DeviceTensor) -> None:
        Tensor.data.__set__(self, value)
        self.held = value.held

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        copied._is_param = isinstance(self, torch.nn.Parameter)
        return memo.setdefault(id(self), copied)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.cpu().__reduce_ex__(protocol)  # a file is read again on the CPU

    def __repr__(self) -> str:
        return f"DeviceTensor({self.held.detach()!r})"


class SimulatedDevice(TorchDispatchMode):
    """Runs operations on the device or on the CPU, as their tensors say; `waits` notes each wait of the host."""

    current: ClassVar[SimulatedDevice]

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        SimulatedDevice.current = self

    def counts(self) -> Counter[tuple[str, str]]:
        """Return how often the host waited, by place and kind."""
        return Counter((wait.place, wait.kind) for wait in self.waits)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in PINNING:
            return args[0].clone()
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), PARTS):
            with self:  # in inference mode an operation arrives whole, where autograd would have taken it apart
                return func._op_dk(getattr(torch._C.DispatchKey, PARTS), *args, **kwargs)
        leaves = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = [each for each in leaves if isinstance(each, DeviceTensor)]
        wanted = kwargs.get("device")
        on_device = bool(there) if wanted is None else torch.device(wanted).type == NAME
        if func in COPIES:
            on_device = self._copied(func, args, kwargs, on_device)
        else:
            self._check(func, args, kwargs, leaves, on_device)
            if on_device:
                self._note_waits(func, args, kwargs)
        generator = kwargs.get("generator")
        if generator is not None and (Generator.places.get(generator._cdata, CPU).type == NAME) != on_device:
            raise MixedDevicesError(f"{func} at {_place()}: its generator is on another device")
        held, named = tree_map(_held, (args, kwargs))
        if wanted is not None:
            named["device"] = CPU
        if "pin_memory" in named:
            named["pin_memory"] = False  # there is no such memory without a GPU
        found = func(*held, **named)
        if not on_device or func in SCALARS:
            return found
        if func._schema.is_mutable:
            return kwargs.get("out", args[0]) if func._schema.returns else None
        is_view = any(each.alias_info is not None for each in func._schema.returns)
        inference = there[0].is_inference() if is_view else torch.is_inference_mode_enabled()
        with torch.inference_mode(inference):  # a view is an inference tensor if its base is one
            return tree_map(lambda each: DeviceTensor(each) if isinstance(each, Tensor) else each, found)

    def _copied(self, func: Any, args: Any, kwargs: Any, on_device: bool) -> bool:
        """Note a copy between the places; return whether its result is on the device."""
        source, target = args[0], on_device
        if func is aten.copy_.default:
            source, target = args[1], isinstance(args[0], DeviceTensor)
        leaves = isinstance(source, DeviceTensor) and not target
        arrives = target and not isinstance(source, DeviceTensor)
        blocking = not (kwargs.get("non_blocking") or args[2:] == (True,))
        if leaves and not blocking:
            raise EarlyReadError(f"{func} at {_place()}: the CPU may read the copy before it has come")
        if leaves or (arrives and blocking):
            self.note("read" if leaves else "written", func)
        return target

    def _check(self, func: Any, args: Any, kwargs: Any, leaves: list[Tensor], on_device: bool) -> None:
        """Raise `MixedDevicesError` where CUDA would."""
        here = [each for each in leaves if not isinstance(each, DeviceTensor)]
        if not on_device or len(here) == len(leaves):
            return
        if func in INDEXING:
            if isinstance(args[0], DeviceTensor):
                indices = [each for each in args[1] if each is not None and not isinstance(each, DeviceTensor)]
                values = [each for each in args[2:3] if not isinstance(each, DeviceTensor)]
                for _ in (*indices, *values):
                    self.note("written", func)
                here = [each for each in values if each.dim()]
        elif torch.Tag.pointwise in func.tags:
            written = kwargs.get("out", args[0]) if func._schema.is_mutable else None
            here = [each for each in here if each.dim() or each is written]
        if here:
            shapes = ", ".join(str(list(each.shape)) for each in here)
            raise MixedDevicesError(f"{func} at {_place()}: tensors on {NAME} and on the CPU (of shape {shapes})")

    def _note_waits(self, func: Any, args: Any, kwargs: Any) -> None:
        name = func.overloadpacket.__name__
        if func in SCALARS:
            self.note("number", func)
        elif func in INDEXING:
            masks = [each for each in args[1] if isinstance(each, DeviceTensor) and each.dtype is torch.bool]
            filled = func is not aten.index.Tensor and args[2].numel() == 1 and len(args[1]) == 1  # as masked_fill
            if masks and not filled:
                self.note("size", func)
        elif name in SIZES or (func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None):
            self.note("size", func)
        elif name == "multinomial" or (name.startswith(SOLVERS) and "norm" not in name):
            self.note("number", func)

    def note(self, kind: str, func: Any) -> None:
        self.waits.append(Wait(kind, _place(), str(func)))


def _held(value: Any) -> Any:
    return value.held if isinstance(value, DeviceTensor) else value


def _place() -> str:
    """Return the innermost function of stylex/ that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            return f"{path.relative_to(PACKAGE)}:{frame.f_code.co_qualname.replace('.<locals>', '')}"
        frame = frame.f_back
    return "outside"


@contextmanager
def simulated_device() -> Iterator[SimulatedDevice]:
    """Make the device `simulated` usable; yield what notes waits.

    Backward passes run in the calling thread, whose stack says where they began.
    """
    _register()
    torch.Generator = Generator
    Generator.places.clear()
    try:
        with SimulatedDevice() as device, torch.autograd.set_multithreading_enabled(False):
            yield device
    finally:
        torch.Generator = CpuGenerator


@cache
def _register() -> list[torch.library.Library]:
    """Tell PyTorch of the device, once a process; return what must not be collected."""

    class Module(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    library, fallback = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    # torch.tensor(..., device=...) makes the tensor below the modes, and copies it.
    library.impl("empty_strided", lambda *args, **kwargs: DeviceTensor(_empty(*args, **kwargs)), KEY)
    library.impl("_copy_from", _copy_from, KEY)
    fallback.fallback(torch.library.fallthrough_kernel, f"Autocast{KEY}")
    for macro, cast in AUTOCAST.items():
        for operator in _listed(macro):
            library.impl(operator, partial(_autocast, operator, cast), f"Autocast{KEY}")
    return [library, fallback]


def _empty(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device="cpu")


def _copy_from(source: Tensor, target: DeviceTensor, non_blocking: bool = False) -> Tensor:
    SimulatedDevice.current.note("written", aten._copy_from.default)
    target.held.copy_(source)
    return target


def _listed(macro: str) -> Iterator[Any]:
    """Yield the operators of a list in PyTorch's autocast_mode.h, AT_FORALL_…, that take tensors."""
    header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
    (body,) = re.findall(rf"#define AT_FORALL_{macro}\(_\)(.*?\n)\n", header, re.DOTALL)
    for name, overload in re.findall(r"_\((\w+)(?:, (\w+))?\)", body):
        packet = getattr(aten, name)
        chosen = overload or "default"
        if chosen in packet.overloads():
            yield getattr(packet, chosen)


def _autocast(operator: Any, cast: Callable[[list[Tensor]], torch.dtype | None], *args: Any, **kwargs: Any) -> Any:
    key = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, f"Autocast{KEY}"))
    with torch._C._ExcludeDispatchKeyGuard(key):
        floats = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and _castable(each)]
        dtype = cast(floats)
        if dtype is not None:
            args, kwargs = tree_map(
                lambda each: each.to(dtype) if isinstance(each, Tensor) and _castable(each) else each, (args, kwargs)
            )
        return operator(*args, **kwargs)


def _castable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype is not torch.float64 and isinstance(tensor, DeviceTensor)


def _to_lower(_: list[Tensor]) -> torch.dtype:
    return torch.get_autocast_dtype(NAME)


def _to_float32(_: list[Tensor]) -> torch.dtype:
    return torch.float32


def _to_widest(floats: list[Tensor]) -> torch.dtype | None:
    return max((each.dtype for each in floats), key=lambda dtype: dtype.itemsize, default=None)


AUTOCAST = {
    "LOWER_PRECISION_FP": _to_lower,
    "FP32": _to_float32,
    "FP32_SET_OPT_DTYPE": _to_float32,
    "PROMOTE": _to_widest,
}
