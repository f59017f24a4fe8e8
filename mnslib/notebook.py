"""Where notebooks of version 0.1 began a run."""

from __future__ import annotations

from typing import NoReturn

from mnslib.errors import ConfigError


def connect(notebook: str, cells: object = None) -> NoReturn:
    """Say what notebooks call now.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"connect is gone: write `import mnslib as mns` and `run = mns.start({notebook!r}, "
        "globals())`, or take the notebook of this version."
    )
