"""The YAML files that the library brings with it: words, columns, colors. Read once."""

from functools import cache
from importlib import resources
from typing import Any

import yaml

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's loader in C, where there is one: ten times as fast."""


@cache
def packaged(package: str, name: str) -> Any:
    """Return what `<name>.yaml` of a package holds; the same object each time."""
    text = resources.files(package).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, YAML_LOADER)
