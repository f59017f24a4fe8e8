"""The events that controllers and the scheduler write about objects, counted as client-go does.

Sources: client-go `tools/record/events_cache.go` (EventAggregator), kube-apiserver `--event-ttl`.
"""

from __future__ import annotations

from mnslib.sandbox.state import State, kube_time, seconds
from mnslib.sandbox.wire import Json

LIFE = 3600  # seconds after an event's last change. Source: kube-apiserver, --event-ttl
ALONE = 9  # events that differ in their message only, before one stands for those that follow
_SILENCE = 600  # seconds without one, after which they stand alone again
_COMBINED = "(combined from similar events): "


def record(
    state: State, cluster: str, about: Json, reason: str, message: str, *, warns: bool, by: str
) -> None:
    """Store an event about an object, or count it on one that says the same.

    Args:
        state: the store.
        cluster: its key.
        about: the object.
        reason: one word.
        message: a sentence.
        warns: whether its type is `Warning`.
        by: the component that says it.
    """
    kind, now = "Warning" if warns else "Normal", state.now()
    of = about["metadata"]
    namespace = of.get("namespace") or "default"
    alike = [
        one
        for one in state.objects(cluster, "events", namespace, prefix=f"{of['name']}.")
        if one["involvedObject"].get("uid") == of["uid"]
        and (one["reason"], one["type"]) == (reason, kind)
    ]
    recent, since = [], now
    for one in sorted(alike, key=last, reverse=True):
        if since - last(one) > _SILENCE:
            break
        recent.append(one)
        since = min(since, seconds(one["firstTimestamp"]))
    same = next((one for one in recent if one["message"] == message), None)
    if same is None and len(recent) >= ALONE:
        same = next((e for e in recent if e["message"].startswith(_COMBINED)), None)
        message = _COMBINED + message
    if same:
        more = {"count": same["count"] + 1, "lastTimestamp": kube_time(now), "message": message}
        state.put_object(cluster, "events", same | more)
        return
    doc = event(about, reason, message, warns=warns, by=by, times=(now, now))
    doc["metadata"] |= {"namespace": namespace, "uid": state.new_guid()}
    doc["metadata"]["name"] = f"{of['name']}.{int(now * 1e9) + state.sequence:x}"
    state.put_object(cluster, "events", doc)


def event(
    about: Json, reason: str, message: str, *, warns: bool, by: str, times: tuple[float, float]
) -> Json:
    """Return an event without its name; `times` are the first and the last."""
    of = about["metadata"]
    regarding = {key: about[key] for key in ("apiVersion", "kind")}
    known = ("name", "namespace", "uid", "resourceVersion")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"creationTimestamp": kube_time(times[0])},
        "involvedObject": regarding | {key: of[key] for key in known if key in of},
        "type": "Warning" if warns else "Normal",
        "reason": reason,
        "message": message,
        "source": {"component": by},
        "firstTimestamp": kube_time(times[0]),
        "lastTimestamp": kube_time(times[1]),
        "count": 1,
        "eventTime": None,
        "reportingComponent": by,
        "reportingInstance": "",
    }


def last(event: Json) -> float:
    """Return when an event changed last, seconds since 1970."""
    times = (event.get("lastTimestamp"), event.get("eventTime"))
    return seconds(next(filter(None, times), event["metadata"]["creationTimestamp"]))
