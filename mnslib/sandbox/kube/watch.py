"""Watches: what happens to objects, as lines of JSON, from a resourceVersion on.

Sources: Kubernetes documentation, "Efficient detection of changes"; apiserver 1.34,
`pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from mnslib.sandbox.kube.kinds import Kind, outward
from mnslib.sandbox.kube.selectors import field_tests, label_tests
from mnslib.sandbox.kube.tables import form, single
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.state import Change
from mnslib.sandbox.wire import Call, Json, kube_error

MOST = 200  # watches that are open at a time; our choice
_SECONDS = 1800  # without `timeoutSeconds`. Source: kube-apiserver, --min-request-timeout
_BOOKMARK_SECONDS = 60
_INITIAL_END = {"k8s.io/initial-events-end": "true"}
_open: list[object] = []


def events(call: Call, kind: Kind) -> Iterator[str]:
    """Return the lines of a watch in parts, an empty one when nothing has happened.

    Raises:
        Refusal: 400 or 422 of a query that does not hold together, 429 for one watch too many.
    """
    asked = call.query.get("resourceVersion") or "0"
    if not (asked.isascii() and asked.isdigit()):
        text = f'Invalid value: "{asked}": strconv.ParseUint: parsing "{asked}": invalid syntax'
        raise kube_error(400, "BadRequest", f"resourceVersion: {text}")
    initial = call.query.get("sendInitialEvents") == "true"
    if initial and call.query.get("resourceVersionMatch") != "NotOlderThan":
        text = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
        text = f'ListOptions.meta.k8s.io "" is invalid: {text}resourceVersionMatch to NotOlderThan'
        raise kube_error(422, "Invalid", text)
    if len(_open) >= MOST:
        text = "Too many requests, please try again later."
        raise kube_error(429, "TooManyRequests", text)
    limit = call.query.get("timeoutSeconds") or "0"
    seconds = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else 0
    return _Watch(call, kind, initial=initial).lines(int(asked), seconds or _SECONDS)


class _Watch:
    def __init__(self, call: Call, kind: Kind, *, initial: bool) -> None:
        self.call, self.kind, self.state, self.initial = call, kind, call.state, initial
        self.cluster, self.namespace = cluster_id(call).lower(), call.params.get("namespace", "")
        self.tests = label_tests(call) + field_tests(call, kind)
        self.bookmarks = call.query.get("allowWatchBookmarks") in ("true", "1")
        self.headed = False  # whether a table has told its columns

    def lines(self, version: int, seconds: float) -> Iterator[str]:
        """Yield what happens after a version; 0 stands for all that is there now."""
        _open.append(self)
        try:
            yield from self._lines(version, time.monotonic() + seconds)
        finally:
            _open.remove(self)

    def _lines(self, version: int, until: float) -> Iterator[str]:
        marked = time.monotonic()
        if version == 0 or self.initial:
            version = self.state.sequence
            found = self.state.objects(self.cluster, self.kind.plural, self.namespace)
            lines = [self._line("ADDED", doc) for doc in found if self._has(doc)]
            if self.initial and self.bookmarks:
                lines.append(self._bookmark(version, annotations=_INITIAL_END))
            yield "".join(lines)
        while time.monotonic() < until:
            try:
                changes = self.state.changes(version)
            except LookupError:
                oldest = self.state.oldest_version
                text = f"too old resource version: {version} ({oldest})"
                refused = kube_error(410, "Expired", text).answer.body
                yield json.dumps({"type": "ERROR", "object": refused}) + "\n"
                return
            version = max(version, self.state.sequence)
            lines = [line for one in changes if (line := self._told(one))]
            if self.bookmarks and time.monotonic() > marked + _BOOKMARK_SECONDS:
                marked = time.monotonic()
                lines.append(self._bookmark(version))
            yield "".join(lines)

    def _told(self, change: Change) -> str:
        if (change.cluster, change.kind) != (self.cluster, self.kind.plural):
            return ""
        before, after = change.old, change.new
        was = before is not None and self._has(before)
        if after is not None and self._has(after):
            return self._line("MODIFIED" if was else "ADDED", after)
        if before is None or not was:
            return ""
        before["metadata"]["resourceVersion"] = str(change.version)
        return self._line("DELETED", before)

    def _has(self, doc: Json) -> bool:
        if self.namespace and doc["metadata"].get("namespace") != self.namespace:
            return False
        return all(test(doc) for test in self.tests)

    def _line(self, kind: str, doc: Json) -> str:
        shown = single(self.call, self.kind, outward(self.kind, doc))
        if shown["kind"] == "Table" and self.headed:
            shown = shown | {"columnDefinitions": None}
        self.headed = True
        return json.dumps({"type": kind, "object": shown}, ensure_ascii=False) + "\n"

    def _bookmark(self, version: int, **more: Json) -> str:
        doc: Json = {"kind": self.kind.word, "apiVersion": self.kind.version}
        if (wanted := form(self.call))[0]:
            doc = dict(zip(("kind", "apiVersion"), wanted, strict=True))
        doc |= {"metadata": {"resourceVersion": str(version)} | more}
        return json.dumps({"type": "BOOKMARK", "object": doc}) + "\n"
