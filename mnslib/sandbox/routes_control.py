"""Control of the sandbox itself, under `/_sandbox/`: health, log, clock, switches, reset."""

from __future__ import annotations

import os
from dataclasses import asdict

from mnslib.sandbox import world
from mnslib.sandbox.state import utc_text
from mnslib.sandbox.wire import Answer, Call, Route, arm_error, parsed


def health(call: Call) -> Answer:
    """Return that it runs, as which process, and its time."""
    state = call.state
    body = {
        "status": "ok",
        "pid": os.getpid(),
        "now": state.now(),
        "now_utc": utc_text(state.now()),
    }
    return Answer(body=body | {"world": state.meta("world"), "requests": len(state.requests)})


def get_requests(call: Call) -> Answer:
    """Return the log of received requests, oldest first."""
    return Answer(body={"value": list(call.state.requests)})


def clear_requests(call: Call) -> Answer:
    """Empty the log."""
    call.state.requests.clear()
    return Answer(status=204)


def reset(call: Call) -> Answer:
    """Seed the world anew; keys, identities, switches and clock stay."""
    call.state.clear_world()
    world.seed(call.state, world.load(call.state.meta("world")))
    return health(call)


def advance_clock(call: Call) -> Answer:
    """Move the clock forward: body `{"seconds": 3600}`."""
    seconds = parsed(call).get("seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        raise arm_error(400, "InvalidParameter", "seconds must be a number of at least 0")
    call.state.advance(float(seconds))
    return health(call)


def get_switches(call: Call) -> Answer:
    """Return the switches as they stand."""
    return Answer(body=asdict(call.state.switches))


def set_switches(call: Call) -> Answer:
    """Change some switches: body `{name: value}`; an empty one changes nothing."""
    state = call.state
    try:
        state.switches = state.switches.changed(parsed(call))
    except ValueError as error:
        raise arm_error(400, "InvalidParameter", str(error)) from None
    state.set_meta("switches", asdict(state.switches))
    return get_switches(call)


ROUTES = [
    Route(surface="control", method=method, template=f"/_sandbox/{name}", handler=handler)
    for method, name, handler in (
        ("GET", "health", health),
        ("GET", "requests", get_requests),
        ("DELETE", "requests", clear_requests),
        ("POST", "reset", reset),
        ("POST", "clock", advance_clock),
        ("GET", "switches", get_switches),
        ("POST", "switches", set_switches),
    )
]
