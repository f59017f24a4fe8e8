"""Where the project folder is, what relative paths mean, and where a run leaves its files.

The project folder holds `notebooks/` and `parameters/`; the working
directory is never the base of a path, so that a run means the same from everywhere.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from mnslib.errors import ConfigError, cut
from mnslib.results import OutcomeKind, RunStatus, utc_now

PACKAGE = Path(__file__).resolve().parents[1]
RUN_DIRECTORY_VARIABLE = "MNS_RUN_DIR"
RUN_ENVIRONMENT_VARIABLE = "MNS_RUN_ENVIRONMENT"
"""Environment variables by which the runner names a kernel's run directory, and its environment."""

_LATER = {"exit_code": 0, "sandbox": "", "warnings": [], "content": ""}
EMPTY_RECORD = _LATER | {
    "notebook": "", "environment": "", "target": "", "status": "", "headline": "", "parameters": {},
    "summary": {}, "items": [], "artifacts": [], "started_utc": "", "finished_utc": "",
}  # fmt: skip
"""A value of its kind for each part of a record; records of before may lack those of `_LATER`."""

_RUN_NAME = re.compile(r"\d{8}T\d{6}Z-.+")


def message(key: str, /, **values: object) -> str:
    """Return a message of `messages.yaml`, with values in it."""
    from mnslib.packaged import packaged

    return str(packaged("mnslib.run", "messages")[key]).format(**values)


def find_project_root() -> Path:
    """Return the folder that holds `notebooks/` and `parameters/`.

    That of the editable install, else the nearest at or above the working directory.

    Raises:
        ConfigError: there is none.
    """
    here = Path.cwd().resolve()
    for folder in (PACKAGE.parent, here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "parameters").is_dir():
            return folder
    raise ConfigError(message("no_project", here=here))


def resolve_path(path: str | Path) -> Path:
    """Return an absolute path; a relative one is taken from the project folder.

    Raises:
        ConfigError: the path is relative and there is no project folder.
    """
    given = Path(path).expanduser()
    return given if given.is_absolute() else find_project_root() / given


def existing_file(parameter: str, file: str | Path, folder: Path | None = None) -> Path:
    """Return the path of a file that a parameter names.

    Args:
        folder: where a relative path is taken from; None for the project folder.

    Raises:
        ConfigError: there is none.
    """
    path = folder / Path(file).expanduser() if folder else resolve_path(file)
    if not path.is_file():
        base = folder or "the project folder, wherever the notebook is run"
        raise ConfigError(message("no_file", parameter=parameter, path=path, base=base))
    return path


def name_part(text: str) -> str:
    """Return a text as it may stand in a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:80]


def new_run_directory(
    runs_dir: Path, *, notebook: str, environment: str, started: datetime | None = None
) -> Path:
    """Return a fresh directory `<utc>-<notebook>-<environment>`, made below `runs_dir`.

    Two runs of the same second get different directories, the second one with `.2` at its end.

    Args:
        notebook: its file name without ending.
        started: the run's first moment, in UTC; None for now.

    Raises:
        ConfigError: nothing can be made there.
    """
    moment = f"{started or utc_now():%Y%m%dT%H%M%SZ}"
    name = "-".join([moment, *map(name_part, (notebook, environment))])
    for number in count(1):
        directory = runs_dir / (name if number == 1 else f"{name}.{number}")
        try:
            directory.mkdir(parents=True)
            break
        except OSError as error:
            if not directory.is_dir():  # neither is a link that leads nowhere
                why = error.strerror
                raise ConfigError(message("no_runs_dir", folder=runs_dir, why=why)) from error
    return directory


def run_directories(runs_dir: Path) -> list[Path]:
    """Return the run directories below `runs_dir`, oldest first; none where it does not exist."""
    if not runs_dir.is_dir():
        return []
    return sorted(
        path for path in runs_dir.iterdir() if path.is_dir() and _RUN_NAME.fullmatch(path.name)
    )


def read_record(directory: Path) -> dict[str, Any]:
    """Return what a run's `result.json` holds, where every part is of its kind.

    Raises:
        ConfigError: if there is none, or it is no whole record of a run; says why.
    """
    try:
        record = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError("it is no mapping")
        for name, like in EMPTY_RECORD.items():
            if not isinstance((_LATER | record).get(name), type(like)):
                raise TypeError(f"its {name} is missing, or of another kind")
        RunStatus(record["status"])
        for name in ("started_utc", "finished_utc"):
            datetime.fromisoformat(record[name]).astimezone(UTC)
        for item in record["items"]:
            OutcomeKind(item["outcome"])
        texts = [*record["artifacts"], *record.get("warnings", ())]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("its artifacts or warnings are no texts")
    except (OSError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory} has no record of a run: {cut(str(error))}.") from error
    return record


def read_result(directory: Path) -> dict[str, Any] | None:
    """Return the record of a run, None where there is none that can be read."""
    with suppress(ConfigError):
        return read_record(directory)
    return None


def write_result(directory: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json`; a reader sees the old or the new one, never a part.

    What JSON cannot hold is written as its text.
    """
    text = json.dumps(_plain(result), indent=2, ensure_ascii=False)
    write_whole(directory / "result.json", text + "\n")


def _plain(value: Any, within: frozenset[int] = frozenset()) -> Any:
    """Return a value with texts or marks in place of what JSON cannot say.

    A parameter is whatever a cell says: a list that is in itself, an object without words.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in within:
        return "(itself)"
    within |= {id(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one, within) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, within) for one in value]
    try:
        return str(value)
    except Exception as error:
        return f"({type(value).__name__}: {type(error).__name__})"


def write_whole(
    path: Path, content: str | bytes | Iterable[bytes | memoryview], *, mode: int = 0o644
) -> None:
    """Write a file so that a reader sees the old or the new one, never a part.

    Before `mode` is set only its owner may read it. A link at `path` is replaced, not followed.
    Half a character, as names of files may hold it, is written as its escape.
    """
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            if isinstance(content, str):
                content = content.encode(errors="backslashreplace")
            file.writelines([content] if isinstance(content, bytes) else content)
        Path(name).chmod(mode)
        os.replace(name, path)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:  # nobody has asked for the file it names
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
