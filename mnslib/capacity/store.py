"""A snapshot as files beside its run, so that an analysis can be repeated where nothing is asked.

`FRAMES` are Parquet: one row per series, then one float32 column per time, which pandas and any
other reader take as they are (docs/decisions/0003-snapshot-files.md has the measured alternatives).
All else is `snapshot.json`, amounts as exact decimal text; it is written last, so that a folder
that has it is whole. Knows nothing of runs or notebooks.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from mnslib.capacity.snapshot import Snapshot
from mnslib.errors import ConfigError, cut

STORE_VERSION = 1
"""Of the files. A new field of `Snapshot` that has a default needs no new one."""

FACTS_FILE = "snapshot.json"
COLUMNS_AT_ONCE = 8
"""Times that are read together: a large frame's are 3 MB, which the caches hold. Our choice."""

FRAMES_AT_ONCE = 2
"""Frames that are read at the same time; more threads inside of one cost more than they give."""

_HINTS = get_type_hints(Snapshot)
FRAMES = tuple(name for name, hint in _HINTS.items() if hint is pd.DataFrame)
_PAIRED = tuple(
    name for name, hint in _HINTS.items() if get_args(hint)[:1] == (tuple[str, str],)
)  # keys that JSON does not know; written as pairs
_KINDS: dict[str, Any] = {
    name: list[tuple[get_args(hint)]] if name in _PAIRED else hint  # type: ignore[misc]
    for name, hint in _HINTS.items()
    if name not in FRAMES
}


def write_snapshot(snapshot: Snapshot, folder: Path, *, written_by: str) -> None:
    """Write a snapshot into a folder, which is made.

    Args:
        written_by: the version of the program, for whoever cannot read the files later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / FACTS_FILE
    facts.unlink(missing_ok=True)
    checksums = {}
    for name in FRAMES:
        frame, path = getattr(snapshot, name), folder / f"{name}.parquet"
        if isinstance(frame.columns, pd.MultiIndex):
            _write_wide(frame, path)
        else:
            frame.to_parquet(path, index=False, compression="zstd")
        checksums[name] = zlib.crc32(path.read_bytes())  # it protects from damage, not from people
    content: dict[str, Any] = {name: getattr(snapshot, name) for name in _KINDS}
    content |= {name: list(content[name].items()) for name in _PAIRED}
    about = {"version": STORE_VERSION, "written_by": written_by, "checksums": checksums}
    part = folder / f".{FACTS_FILE}.part"  # under its own name it is there as a whole or not at all
    part.write_bytes(msgspec.json.encode(about | content, enc_hook=Decimal))  # of an `Amount`
    part.replace(facts)


def read_snapshot(folder: Path) -> Snapshot:
    """Return the snapshot that a folder holds, every figure as it was written.

    Raises:
        ConfigError: if there is none, a file of it is missing or damaged, or a later version of
            the program wrote it.
    """
    if not (folder / FACTS_FILE).is_file():
        raise ConfigError(f"There is no whole snapshot in {folder}: {FACTS_FILE} is missing.")
    path = folder / FACTS_FILE
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(raw["version"], type=int)
        if version > STORE_VERSION:
            raise ConfigError(
                f"{path} has version {version}; this mnslib reads up to {STORE_VERSION}: "
                "take a later."
            )
        checksums = msgspec.json.decode(raw["checksums"], type=dict[str, int])
        paths = {name: folder / f"{name}.parquet" for name in FRAMES}
        with ThreadPoolExecutor(FRAMES_AT_ONCE) as pool:
            begun = [pool.submit(_read_frame, paths[name], checksums[name]) for name in FRAMES]
            facts = _read_facts(raw)
            for path, reading in zip(paths.values(), begun, strict=True):
                facts[path.stem] = reading.result()
        path = folder / FACTS_FILE  # of which a field may be missing
        return Snapshot(**facts)
    except (OSError, ValueError, TypeError, LookupError, pa.ArrowException) as error:
        raise ConfigError(
            f"{path} cannot be read, it is missing or damaged: {cut(str(error))} "
            "Name another run, or read the clusters anew."
        ) from error


def _read_frame(path: Path, checksum: int) -> pd.DataFrame:
    content = path.read_bytes()
    if zlib.crc32(content) != checksum:
        raise ValueError("it is not as it was written")
    file = pa.BufferReader(content)
    return pd.read_parquet(file) if path.stem == "namespaces" else _read_wide(file)


def _read_facts(raw: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Return all fields but the frames."""
    was_on = gc.isenabled()
    gc.disable()  # it would walk through the values, again and again, while they are made
    try:
        found = {
            name: msgspec.json.decode(raw[name], type=kind)
            for name, kind in _KINDS.items()
            if name in raw
        }
    finally:
        if was_on:
            gc.enable()
    return found | {name: dict(found[name]) for name in _PAIRED if name in found}


def _write_wide(frame: pd.DataFrame, path: Path) -> None:
    values = frame.to_numpy(dtype=np.float32)
    names = [str(name) for name in frame.columns.names]
    times = [pd.Timestamp(time).isoformat() for time in frame.index]
    columns = [
        pa.array(frame.columns.get_level_values(level).tolist(), pa.string())
        for level in range(len(names))
    ]
    columns += [pa.array(row) for row in values]
    parquet.write_table(
        pa.table(columns, names=[*names, *times]),
        path,
        compression="zstd",
        use_dictionary=names,
        use_byte_stream_split=times,  # a third of the size and of the time of plain floats
    )


def _read_wide(content: pa.BufferReader) -> pd.DataFrame:
    with parquet.ParquetFile(content) as file:
        schema = file.schema_arrow
        names = [field.name for field in schema if pa.types.is_string(field.type)]
        texts = schema.names[len(names) :]
        values = np.empty((len(texts), file.metadata.num_rows), dtype=np.float32)
        for start in range(0, len(texts), COLUMNS_AT_ONCE):
            part = file.read(texts[start : start + COLUMNS_AT_ONCE], use_threads=False)
            for row, column in enumerate(part.itercolumns(), start):
                values[row] = column.to_numpy()
        labels = file.read(names)
    columns = pd.MultiIndex.from_arrays(
        [pd.Index(column.to_pylist(), dtype=object) for column in labels.itercolumns()], names=names
    )
    times = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", utc=True)).as_unit("ns")
    return pd.DataFrame(values, index=times, columns=columns, copy=False)
