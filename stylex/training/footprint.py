"""What a computation takes, by counting: the same on any device, and on `meta`, whose tensors have shapes alone."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Footprint(TorchDispatchMode):
    """Within the block, counts the bytes of all storages that operations return, and floating-point operations.

    `now`, `peak`: bytes that are alive, and the most that were at once; views count once, and what was there before
    from when an operation returns it again. `operations`: of convolutions and matrix products, a multiplication and an
    addition each, by PyTorch's own formulas.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.operations = 0
        self._alive: dict[int, weakref.ref[UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it returns."""
        returned = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=returned)
        for each in tree_leaves(returned):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return returned

    def _count(self, storage: UntypedStorage) -> None:
        key = storage._cdata
        if key in self._alive:
            return
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def freed(_: object) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, freed)
