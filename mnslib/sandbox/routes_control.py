"""Control of the sandbox itself: world, clock, switches, limits, faults, log."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mnslib.sandbox import completion, directory, routes_entra, world
from mnslib.sandbox.faults import Faults, check_script
from mnslib.sandbox.state import utc_text
from mnslib.sandbox.throttle import Throttle, check_limits, load_limits
from mnslib.sandbox.tokens import credential
from mnslib.sandbox.wire import Answer, Call, Json, arm_error, parsed, routes

_LAST_MOMENT = 7_258_118_400.0  # the year 2200; dates end somewhere
_CLEARED = ("limits", "faults")


def health(call: Call) -> Answer:
    """Return that it runs, as which process, and its time."""
    state = call.state
    body = {
        "status": "ok",
        "pid": os.getpid(),
        "now": state.now(),
        "now_utc": utc_text(state.now()),
    }
    name = state.meta("world")
    name = name if isinstance(name, str) else "inline"
    return Answer(body=body | {"world": name, "requests": len(call.runtime.requests)})


def _checked(check: Callable[[Any], Any], value: Any) -> Any:
    """Return the checked value; what is wrong with it is answered as a sentence.

    Raises:
        Refusal: 400.
    """
    try:
        return check(value)
    except ValueError as error:
        raise arm_error(400, "InvalidParameter", str(error)) from None


def _only(body: Json, *known: str) -> Json:
    """Return a body without unknown members.

    Raises:
        ValueError: with the known ones.
    """
    if unknown := set(body) - set(known):
        names = ", ".join(sorted(map(repr, unknown)))
        raise ValueError(f"unknown {names}; there are {', '.join(known)}")
    return body


# the log


def get_requests(call: Call) -> Answer:
    """Return the log of received requests, oldest first, as far as the query asks for them."""
    tests = _checked(_log_tests, call.query)
    found = [entry for entry in call.runtime.requests if all(test(entry) for test in tests)]
    return Answer(body={"value": found})


def _log_tests(query: Json) -> list[Callable[[Json], bool]]:
    _only(query, "method", "path", "since")
    tests: list[Callable[[Json], bool]] = []
    if method := query.get("method"):
        tests.append(lambda entry: bool(entry["method"] == method.upper()))
    if path := query.get("path"):
        try:
            pattern = re.compile(path, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"path must be a regular expression: {error}") from None
        tests.append(lambda entry: bool(pattern.search(entry["path"])))
    if since := query.get("since"):
        try:
            moment = utc_text(datetime.fromisoformat(since).timestamp())
        except (ValueError, OverflowError):
            raise ValueError(f"since must be a time as in the log, not {since!r}") from None
        tests.append(lambda entry: bool(entry["time"] >= moment))
    return tests


def clear_requests(call: Call) -> Answer:
    """Empty the log."""
    call.runtime.requests.clear()
    return Answer(status=204)


# the world


def reset(call: Call) -> Answer:
    """Seed the world anew; keys, identities, switches and clock stay.

    Limits and faults stay as well, unless the body asks: `{"clear": ["limits", "faults"]}`.
    """
    body = _checked(lambda given: _only(given, "clear"), parsed(call) if call.body else {})
    clear = body.get("clear", [])
    if not isinstance(clear, list) or any(name not in _CLEARED for name in clear):
        raise arm_error(400, "InvalidParameter", "clear must be a list of limits and faults")
    world.replace(call.state, call.state.meta("world"))
    if "limits" in clear:
        call.runtime.throttle = Throttle({}, call.state.now)
    if "faults" in clear:
        call.runtime.faults = Faults({})
    return health(call)


def load_world(call: Call) -> Answer:
    """Put another world in place: body `{"name": ...}` or `{"world": {...}}`."""
    body = _checked(lambda given: _only(given, "name", "world"), parsed(call))
    if len(body) != 1:
        raise arm_error(400, "InvalidParameter", "the body needs either name or world")
    wanted = body.get("world") or body.get("name")
    if "name" in body and wanted not in world.names():
        known = ", ".join(world.names())
        raise arm_error(400, "InvalidParameter", f"no world named {wanted!r}; there are {known}")
    _checked(lambda one: world.replace(call.state, one), wanted)
    return health(call)


# clock, switches


def advance_clock(call: Call) -> Answer:
    """Move the clock forward: body `{"seconds": 3600}`."""
    seconds = _checked(lambda given: _only(given, "seconds"), parsed(call)).get("seconds")
    most = _LAST_MOMENT - call.state.now()
    if type(seconds) not in (int, float) or not 0 <= seconds <= most:
        text = f"seconds must be a number from 0 to {most:.0f}: the clock ends in the year 2200"
        raise arm_error(400, "InvalidParameter", text)
    call.state.advance(float(seconds))
    return health(call)


def get_switches(call: Call) -> Answer:
    """Return the switches as they stand."""
    return Answer(body=asdict(call.state.switches))


def set_switches(call: Call) -> Answer:
    """Change some switches: body `{name: value}`; an empty one changes nothing."""
    state = call.state
    state.switches = _checked(state.switches.changed, parsed(call))
    state.set_meta("switches", asdict(state.switches))
    return get_switches(call)


# sign-in as anybody of the directory


def get_credential(call: Call) -> Answer:
    """Return id and secret of whom the body names: `{"principal": ...}`.

    That is an identity of the world, or one of the directory by object id, user principal name,
    application id, mail or display name.
    """
    body = _checked(lambda given: _only(given, "principal"), parsed(call))
    return Answer(body=_who(call, body))


def get_token(call: Call) -> Answer:
    """Return a token for whom the body names: `{"principal": ..., "resource": ...}`.

    The resource is an audience of the sandbox, such as the id of AKS' server application.
    """
    body = _checked(lambda given: _only(given, "principal", "resource"), parsed(call))
    resource = body.get("resource")
    if not isinstance(resource, str):
        raise arm_error(400, "InvalidParameter", "the body needs a resource")
    who = _who(call, body)
    return routes_entra.issued(call, call.state.meta("tenant_id"), resource, who["object_id"])


def _who(call: Call, body: Json) -> Json:
    wanted = body.get("principal")
    if not isinstance(wanted, str) or not wanted.strip():
        raise arm_error(400, "InvalidParameter", "the body needs a principal")
    identities, known = call.state.meta("identities"), directory.entries(call.state)
    own = identities.get(wanted)
    found = [own["object_id"]] if own else directory.called(call.state, wanted)
    shown = ", ".join(f"{known[one]['kind']} {known[one]['displayName']} ({one})" for one in found)
    if not found:
        names = ", ".join(identities)
        text = f"nobody in the directory is called {wanted[:100]!r}; there are {names} and others"
        raise arm_error(404, "PrincipalNotFound", text)
    if len(found) > 1:
        text = f"{len(found)} are called {wanted[:100]!r}: {shown}"
        raise arm_error(409, "AmbiguousPrincipal", text)
    who = credential(call.state, found[0])
    if who is None:
        inside = [known[one] for one in directory.members_of(call.state, found[0])]
        names = ", ".join(one["displayName"] for one in inside if one["kind"] != "Group")
        text = f"{shown} is a group, as which nobody signs in; in it are: {names or 'nobody'}"
        raise arm_error(400, "PrincipalIsGroup", text)
    about = known[found[0]]
    return {"kind": about["kind"], "name": about["displayName"], **who}


# limits and faults


def get_limits(call: Call) -> Answer:
    """Return the limits and what is left in each bucket in use."""
    return Answer(body=call.runtime.throttle.report())


def set_limits(call: Call) -> Answer:
    """Set the token buckets, all full: body `{"name": "documented"}` or `{"limits": {...}}`."""
    body = _checked(lambda given: _only(given, "name", "limits"), parsed(call))
    if len(body) != 1:
        raise arm_error(400, "InvalidParameter", "the body needs either name or limits")
    if "name" in body and body["name"] not in ("none", "documented"):
        raise arm_error(400, "InvalidParameter", "name must be none or documented")
    check = load_limits if "name" in body else check_limits
    limits = _checked(check, body.get("name", body.get("limits")))
    call.runtime.throttle = Throttle(limits, call.state.now)
    return get_limits(call)


def get_faults(call: Call) -> Answer:
    """Return the script of faults with the hits of each."""
    return Answer(body=call.runtime.faults.report())


def set_faults(call: Call) -> Answer:
    """Set the script of faults, with counters at zero; `{}` is none. What hung goes on."""
    call.runtime.faults = Faults(_checked(check_script, parsed(call)))
    completion.go_on(call.state)
    return get_faults(call)


_TABLE = (
    ("GET", "health", health),
    ("GET", "requests", get_requests),
    ("DELETE", "requests", clear_requests),
    ("POST", "reset", reset),
    ("POST", "world", load_world),
    ("POST", "clock", advance_clock),
    ("GET", "switches", get_switches),
    ("POST", "switches", set_switches),
    ("POST", "credential", get_credential),
    ("POST", "token", get_token),
    ("GET", "limits", get_limits),
    ("POST", "limits", set_limits),
    ("GET", "faults", get_faults),
    ("POST", "faults", set_faults),
)
ROUTES = routes("control", "/_sandbox/", _TABLE)
