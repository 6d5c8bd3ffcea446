"""StylEx: explain an image classifier through the StyleSpace of a generator trained for it (Lang et al., ICCV 2021).

The Python API, `stylex.api`, is imported when a name of it is first used: `import stylex` alone imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylex.api import Explainer, Explanation, Moved, find_attributes, load

__version__ = "0.1.0"
__all__ = ["Explainer", "Explanation", "Moved", "__version__", "find_attributes", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stylex' has no attribute '{name}'")
    return getattr(import_module("stylex.api"), name)  # not `import`: what imports `stylex` does not need the API


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
