"""The store: everything the sandbox remembers, in one SQLite file or in memory; clock and switches.

Knows documents and where they lie, no rule of Azure or Kubernetes; what ends with the process is
in `runtime`. One thread uses it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mnslib.sandbox.switches import Switches
from mnslib.sandbox.wire import Json

_GUIDS = uuid.UUID("00000000-0000-4000-a000-000000000000")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resources (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, parent TEXT NOT NULL, doc TEXT NOT NULL,
  notes TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS resources_by_parent ON resources (kind, parent, id);
CREATE TABLE IF NOT EXISTS trailing (id TEXT PRIMARY KEY, parent TEXT, doc TEXT, until REAL);
CREATE TABLE IF NOT EXISTS operations (
  id TEXT PRIMARY KEY, resource TEXT NOT NULL, cluster TEXT NOT NULL, due REAL NOT NULL,
  done INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS operations_due ON operations (done, due);
CREATE TABLE IF NOT EXISTS objects (
  cluster TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  doc TEXT NOT NULL, PRIMARY KEY (cluster, kind, namespace, name));
CREATE TABLE IF NOT EXISTS samples (
  cluster TEXT NOT NULL, namespace TEXT NOT NULL, at REAL NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS samples_by_cluster ON samples (cluster, at);
"""
_CHANGES = 4_000  # of objects that are remembered, so that watches can go on from them
_WORLD_TABLES = ("resources", "trailing", "operations", "objects", "samples")


def utc_text(moment: float) -> str:
    """Return ARM's time form with seven decimals, e.g. `2025-11-05T17:32:00.5138586Z`."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def kube_time(moment: float) -> str:
    """Return Kubernetes' time form, whole seconds."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds(text: str) -> float:
    """Return the moment that a time of Kubernetes or ARM tells, seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


class Change(NamedTuple):
    """What happened to one object; `old` is None for a new one, `new` for one that went."""

    version: int
    cluster: str
    kind: str
    old: Json | None
    new: Json | None

    @property
    def metadata(self) -> Json:
        """Of the object as it is, or was."""
        return dict((self.new or self.old or {})["metadata"])


class State:
    """One sandbox's memory; documents are plain JSON values, ids and cluster keys lower-case."""

    def __init__(self, path: str = ":memory:", *, clock: Callable[[], float] = time.time) -> None:
        if path != ":memory:":
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._settings: Json = {}  # of `meta`, as far as read; one process owns a state
        self._clock = clock
        self._recall()
        self._changes: deque[tuple[int, str, str, str | None, str | None]] = deque()
        self.oldest_version = self.sequence  # no change up to here is remembered
        self.latency: Json = self.meta("latency", {})
        self.history_cache: Json = {}
        self.derived: Json = {}  # what others compute from the documents
        self._news: dict[str, set[str]] = {}  # by what somebody follows
        self._noted: list[tuple[str, str]] = []  # by the transaction in hand

    def _recall(self) -> None:
        """Bring what is held beside the database to what is stored there."""
        self._settings.clear()
        self.sequence: int = self.meta("sequence", 999)  # what `next_number` returned last
        self._offset = float(self.meta("clock_offset", 0.0))
        self.switches = Switches(**self.meta("switches", {}))

    def close(self) -> None:
        """Close the database; what was committed stays."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing of it if it raises; inside one, with it."""
        within = self._db.in_transaction
        if within:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._noted.clear()
        before = self.sequence
        try:
            yield
            if self.sequence != before:
                self.set_meta("sequence", self.sequence)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            self._recall()
            while self._changes and self._changes[-1][0] > self.sequence:
                self._changes.pop()
            for kind, key in self._noted:  # taking back changes as much as writing
                self._news[kind].add(key)
            raise

    def follow(self, kind: str) -> set[str]:
        """Return a set that gets the ids of what is written, removed or taken back from now on.

        At first it holds what is there; whoever reads it empties it.

        Args:
            kind: a resource type, lower-case; or "settings" for their names.
        """
        rows = self._db.execute("SELECT id FROM resources WHERE kind=?", (kind,))
        self._news[kind] = {row[0] for row in rows}
        return self._news[kind]

    def _note(self, kind: str, key: str) -> None:
        if kind in self._news:
            self._news[kind].add(key)
            self._noted.append((kind, key))

    # clock, counters, settings

    def now(self) -> float:
        """Return the sandbox's time, seconds since 1970: the injected clock plus what was added."""
        return self._clock() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward."""
        self._offset += seconds
        self.set_meta("clock_offset", self._offset)

    def meta(self, key: str, default: Any = None) -> Any:
        """Return a stored setting, or the default; whoever changes it copies it first."""
        if key not in self._settings:
            row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
            if row is None:
                return default
            self._settings[key] = json.loads(row[0])
        return self._settings[key]

    @contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """Let the block happen at another time: seeded things are older than the state."""
        before, self._offset = self._offset, self._offset + moment - self.now()
        try:
            yield
        finally:
            self._offset = before

    def set_meta(self, key: str, value: Any) -> None:
        """Store a setting."""
        self._note("settings", key)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, json.dumps(value)))
        self._settings.pop(key, None)

    def next_number(self) -> int:
        """Return the next of a rising sequence; Kubernetes' resourceVersion comes from it."""
        self.sequence += 1
        if not self._db.in_transaction:
            self.set_meta("sequence", self.sequence)
        return self.sequence

    def new_guid(self) -> str:
        """Return a GUID that is new in this state and the same in every run of the same calls."""
        return str(uuid.uuid5(_GUIDS, str(self.next_number())))

    def clear_world(self) -> None:
        """Remove every resource, object, operation and sample; keys and secrets stay."""
        for kind, key in self._db.execute("SELECT kind, id FROM resources").fetchall():
            self._note(kind, key)
        for table in _WORLD_TABLES:
            self._db.execute(f"DELETE FROM {table}")
        self.history_cache.clear()
        self._changes.clear()
        self.oldest_version = self.next_number()

    def _one(self, query: str, *values: str) -> Json | None:
        row = self._db.execute(query, values).fetchone()
        return json.loads(row[0]) if row else None

    # ARM resources

    def resource(self, resource_id: str) -> Json | None:
        """Return the public document of an ARM resource."""
        return self._one("SELECT doc FROM resources WHERE id=?", resource_id.lower())

    def notes(self, resource_id: str) -> Json:
        """Return what the sandbox remembers of a resource besides its public document."""
        return self._one("SELECT notes FROM resources WHERE id=?", resource_id.lower()) or {}

    def put_resource(self, doc: Json, *, parent: str = "", notes: Json | None = None) -> None:
        """Store a resource under its id; `notes` of None keeps what is there."""
        if notes is None:
            notes = self.notes(doc["id"])
        key, kind = doc["id"].lower(), doc["type"].lower()
        self._note(kind, key)
        values = (key, kind, parent.lower(), json.dumps(doc), json.dumps(notes))
        self._db.execute("INSERT OR REPLACE INTO resources VALUES (?,?,?,?,?)", values)

    def delete_resource(self, resource_id: str) -> None:
        """Remove a resource."""
        self._delete("id = ?", resource_id.lower())

    def delete_with_content(self, resource_id: str) -> None:
        """Remove a resource and all whose ids lie under its own."""
        under = f"{resource_id.lower()}/"
        ids = (under[:-1], under, f"{under[:-1]}0")  # "0" follows "/" in ASCII
        self._delete("id = ? OR (id >= ? AND id < ?)", *ids)

    def _delete(self, condition: str, *values: str) -> None:
        query = f"DELETE FROM resources WHERE {condition} RETURNING kind, id"
        for kind, key in self._db.execute(query, values).fetchall():
            self._note(kind, key)

    def resources(self, kind: str, *, under: str = "", parent: str | None = None) -> list[Json]:
        """Return resources of a type, by id: those with this parent, or with this id prefix."""
        query, values = "SELECT doc FROM resources WHERE kind=?", [kind.lower()]
        if parent is not None:
            query, values = f"{query} AND parent=?", [*values, parent.lower()]
        if under:
            query += " AND id >= ? AND id < ?"
            values += [f"{under.lower()}/", f"{under.lower()}0"]  # "0" follows "/" in ASCII
        rows = self._db.execute(f"{query} ORDER BY id", values)
        return [json.loads(row[0]) for row in rows]

    # what the list still shows

    def trail(self, resource_id: str, parent: str, until: float) -> None:
        """Let lists go on showing the present document (or none) until then."""
        self._db.execute("DELETE FROM trailing WHERE until <= ?", (self.now(),))
        doc = json.dumps(self.resource(resource_id))
        values = (resource_id.lower(), parent.lower(), doc, until)
        self._db.execute("INSERT OR IGNORE INTO trailing VALUES (?,?,?,?)", values)

    def trailing(self, parent: str) -> dict[str, Json | None]:
        """Return by id what lists show in place of the stored documents."""
        query = "SELECT id, doc FROM trailing WHERE parent=? AND until > ?"
        rows = self._db.execute(query, (parent.lower(), self.now()))
        return {row[0]: json.loads(row[1]) for row in rows}

    # operations

    def put_operation(self, doc: Json) -> None:
        """Store an operation; it counts as done once it has an `endTime`."""
        key = (doc["id"], doc["resource"], doc["cluster"], doc["due"])
        values = (*key, int("endTime" in doc), json.dumps(doc))
        self._db.execute("INSERT OR REPLACE INTO operations VALUES (?,?,?,?,?,?)", values)

    def operation(self, operation_id: str) -> Json | None:
        """Return an operation's document."""
        return self._one("SELECT doc FROM operations WHERE id=?", operation_id)

    def due_operations(self) -> list[Json]:
        """Return unfinished operations whose time has come, oldest first."""
        query = "SELECT doc FROM operations WHERE done=0 AND due <= ? ORDER BY due, rowid"
        return [json.loads(row[0]) for row in self._db.execute(query, (self.now(),))]

    def hanging_operations(self) -> list[Json]:
        """Return unfinished operations whose time never comes."""
        query = "SELECT doc FROM operations WHERE done=0 AND due > 1e15"
        return [json.loads(row[0]) for row in self._db.execute(query)]

    def running_operations(self, *, cluster: str = "", resource: str = "") -> list[Json]:
        """Return unfinished operations of a cluster or of one resource."""
        query = "SELECT doc FROM operations WHERE done=0 AND (cluster=? OR resource=?)"
        rows = self._db.execute(query, (cluster.lower(), resource.lower()))
        return [json.loads(row[0]) for row in rows]

    # Kubernetes objects

    def object(self, cluster: str, kind: str, namespace: str, name: str) -> Json | None:
        """Return a Kubernetes object; `namespace` is empty for cluster-scoped kinds."""
        query = "SELECT doc FROM objects WHERE cluster=? AND kind=? AND namespace=? AND name=?"
        return self._one(query, cluster, kind, namespace, name)

    def objects(
        self,
        cluster: str,
        kind: str,
        namespace: str = "",
        *,
        after: tuple[str, str] = ("", ""),
        prefix: str = "",
    ) -> list[Json]:
        """Return objects by namespace and name, of one namespace or (empty) of all.

        Those after a namespace and name; with a `prefix`, which ends with a dot, those of one
        namespace whose names begin so: a short way however many there are.
        """
        query = "SELECT doc FROM objects WHERE cluster=? AND kind=?"
        values = [cluster, kind]
        if namespace:
            query, values = f"{query} AND namespace=?", [*values, namespace]
        if prefix:
            query += " AND name >= ? AND name < ?"
            values += [prefix, f"{prefix[:-1]}/"]  # "/" follows "." in ASCII
        elif any(after):
            query, values = f"{query} AND (namespace, name) > (?,?)", [*values, *after]
        rows = self._db.execute(f"{query} ORDER BY namespace, name", values)
        return [json.loads(row[0]) for row in rows]

    def put_object(self, cluster: str, kind: str, doc: Json) -> Json:
        """Store an object under its metadata with a new resourceVersion, and return it."""
        metadata = doc["metadata"]
        version = self.next_number()
        metadata["resourceVersion"] = str(version)
        key = (cluster, kind, metadata.get("namespace", ""), metadata["name"])
        query = "SELECT doc FROM objects WHERE cluster=? AND kind=? AND namespace=? AND name=?"
        row = self._db.execute(query, key).fetchone()
        text = json.dumps(doc)
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?)", (*key, text))
        self._remember(version, cluster, kind, row[0] if row else None, text)
        return doc

    def delete_object(self, cluster: str, kind: str, namespace: str, name: str) -> None:
        """Remove one object."""
        query = "DELETE FROM objects WHERE cluster=? AND kind=? AND namespace=? AND name=?"
        key = (cluster, kind, namespace, name)
        for row in self._db.execute(f"{query} RETURNING doc", key).fetchall():
            self._remember(self.next_number(), cluster, kind, row[0], None)

    def content(
        self, cluster: str, namespace: str, kinds: Iterable[str], holding: str = ""
    ) -> list[tuple[str, Json]]:
        """Return kind and document of what lies in a namespace and holds a text, an id for one."""
        query = "SELECT kind, doc FROM objects WHERE cluster=? AND namespace=? AND kind IN "
        query += "(SELECT value FROM json_each(?)) AND instr(doc, ?) ORDER BY kind, name"
        values = (cluster, namespace, json.dumps(sorted(kinds)), holding or "{")
        return [(row[0], json.loads(row[1])) for row in self._db.execute(query, values)]

    def _remember(
        self, version: int, cluster: str, kind: str, old: str | None, new: str | None
    ) -> None:
        if len(self._changes) == _CHANGES:
            self.oldest_version = self._changes.popleft()[0]
        self._changes.append((version, cluster, kind, old, new))

    def changes(self, since: int) -> list[Change]:
        """Return what happened to objects after a version, oldest first.

        Raises:
            LookupError: if that is no longer known.
        """
        if since < self.oldest_version:
            raise LookupError(f"changes since {since} are forgotten")
        found = []
        for version, cluster, kind, old, new in reversed(self._changes):
            if version <= since:
                break
            docs = (json.loads(text) if text else None for text in (old, new))
            found.append(Change(version, cluster, kind, *docs))
        return found[::-1]

    def delete_cluster(self, cluster: str) -> None:
        """Remove every object and sample of a cluster, and its seeded past."""
        for table in ("objects", "samples"):
            self._db.execute(f"DELETE FROM {table} WHERE cluster=?", (cluster,))
        self.set_meta("history", {k: v for k, v in self.meta("history").items() if k != cluster})
        self.history_cache.pop(cluster, None)

    # samples: what the metrics show from the moment of seeding on

    def add_sample(self, cluster: str, namespace: str, doc: Json) -> None:
        """Note a namespace's requests and quotas as they are from now on."""
        values = (cluster, namespace, self.now(), json.dumps(doc))
        self._db.execute("INSERT INTO samples VALUES (?,?,?,?)", values)

    def forget_samples(self, cluster: str) -> None:
        """Remove the samples of a cluster."""
        self._db.execute("DELETE FROM samples WHERE cluster=?", (cluster,))

    def samples(self, cluster: str) -> list[tuple[str, float, Json]]:
        """Return (namespace, time, document) of a cluster, oldest first."""
        query = "SELECT namespace, at, doc FROM samples WHERE cluster=? ORDER BY at, rowid"
        rows = self._db.execute(query, (cluster,))
        return [(row[0], row[1], json.loads(row[2])) for row in rows]
