"""Onboard, bulk-provision and capacity-plan AKS managed namespaces.

The names below are the face of the library; each is loaded on first use, so that `import mnslib`
stays light. Deeper modules are the library's own rooms, see docs/architecture.md.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "ApplyError": "mnslib.errors",
    "Fleet": "mnslib.fleet",
    "MnsError": "mnslib.errors",
    "Namespace": "mnslib.fleet",
    "Plan": "mnslib.fleet",
    "Result": "mnslib.fleet",
    "SpecError": "mnslib.errors",
    "StalePlanError": "mnslib.errors",
    "UnsafePlanError": "mnslib.errors",
    "connect": "mnslib.fleet",
    "start": "mnslib.run",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mnslib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
