"""grambench: a live benchmark of training strategies for content-based collaborative filtering.

The method is a library too (docs/library.md): `grambench.SingleStep` and its siblings are imported when they
are first used, so that `import grambench` alone loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grambench.exported import ExportedModel, load_exported
    from grambench.gram import Hooks, ItemTable, MultiStep, Optimizers, SingleStep

__version__ = "0.1.0"
__all__ = [
    "ExportedModel",
    "Hooks",
    "ItemTable",
    "MultiStep",
    "Optimizers",
    "SingleStep",
    "__version__",
    "load_exported",
]
_EXPORTED = ("ExportedModel", "load_exported")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("grambench.exported" if name in _EXPORTED else "grambench.gram"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
