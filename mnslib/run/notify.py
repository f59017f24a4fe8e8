"""Tell that a run ended: somebody by one POST to a webhook, plain JSON or a Teams card; and
node_exporter's textfile collector by a file of metrics.

Its URL often holds a key, so a parameter names the environment variable that holds it, and only its
host is ever shown. What goes wrong here is a sentence for the log and never the run's failure.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from mnslib.errors import TRANSIENT_STATUSES, cut
from mnslib.results import OutcomeKind, RunStatus
from mnslib.run.project import message, name_part, write_whole
from mnslib.secrets import hide_secrets

FORMATS = ("json", "teams")
TIMEOUT_SECONDS = (5.0, 10.0)
MOST_RETRIES = 3
TOTAL_SECONDS = 30.0
"""To connect and to be answered; how often again; for all of it, whatever the other side does.

Our choice: a scheduler shall not wait for a chat, nor miss it where it is away for a moment.
"""

LONGEST_CARD_TEXT = 4_000
"""Characters of a headline in a card. Source: Teams takes 28 KB a message, as UTF-16."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHARED = (
    "schema_version", "notebook", "environment", "target", "status", "exit_code", "headline",
    "summary", "started_utc", "finished_utc",
)  # fmt: skip
"""Parts of `result.json` that leave the machine; parameters, items and paths do not."""


def notification_problems(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter what can tell nobody; a URL is not repeated, for it holds a key."""
    form = parameters.get("notify_format", "json")
    found = variable_problem(parameters, "notify_url_env", "MNS_NOTIFY_URL", "webhook's URL")
    if form not in FORMATS:
        found["notify_format"] = f"notify_format is {form!r}: write one of {', '.join(FORMATS)}."
    return found


def variable_problem(
    parameters: Mapping[str, Any], name: str, example: str, what: str
) -> dict[str, str]:
    """Return by its name a parameter that may not name an environment variable; nothing else.

    What is in the variable is sent away: a changed parameter must not reach other programs' keys.
    """
    value = str(parameters.get(name, ""))
    if not value or re.fullmatch(r"MNS_[A-Za-z0-9_]{1,60}", value):
        return {}
    return {name: message("no_variable", name=name, what=what, example=example)}


def item_counts(record: Mapping[str, Any]) -> dict[str, int]:
    """Return how many items of a run ended in each way, those that did not occur too."""
    told = [item.get("outcome") for item in record["items"]]
    return {kind.value: told.count(kind.value) for kind in OutcomeKind}


def told_of(result: Mapping[str, Any], *, run: str) -> dict[str, Any]:
    """Return what is told of a run: nothing of its parameters, and of its items how many.

    Args:
        result: as `result.json` holds it.
        run: name of the run directory.
    """
    told = {key: result.get(key) for key in _SHARED}
    told |= {"run": run, "item_counts": item_counts(result)}
    return told | {"headline": hide_secrets(str(told["headline"]))}


def notify(result: Mapping[str, Any], *, run: str, parameters: Mapping[str, Any]) -> str:
    """Tell who is named that a run ended; return why nobody was told, empty where all is well.

    Args:
        result: as `result.json` holds it.
        run: name of the run directory.
        parameters: `notify_url_env` and `notify_format`.
    """
    name = str(parameters.get("notify_url_env", ""))
    if notification_problems(parameters):
        return "Nobody was notified: notify_url_env or notify_format was refused."
    if not name:
        return ""
    problem = f"the environment variable {name} is not set"
    if url := os.environ.get(name, "").strip():
        content = told_of(result, run=run)
        if parameters.get("notify_format") == "teams":
            # made of text runs, which know no Markdown, so that no text of others becomes a link
            from mnslib.show.templates import render

            content["headline"] = cut(content["headline"], LONGEST_CARD_TEXT)
            content = json.loads(render("teams_card.txt.j2", **content))
        said = [f"the webhook took longer than {TOTAL_SECONDS:.0f} s"]
        # names are looked up, and answers trickle in, without a limit of their own
        post = Thread(target=lambda: said.append(_post(url, content)), daemon=True)
        post.start()
        post.join(TOTAL_SECONDS)
        problem = said[-1]
    return f"Nobody was notified: {problem}." if problem else ""


def _post(url: str, content: Mapping[str, Any]) -> str:
    """Return why the content did not arrive; empty if it did. Errors' own texts hold the URL."""
    import requests
    from urllib3 import Retry

    try:
        host, scheme = urlsplit(url).hostname or "", urlsplit(url).scheme
    except ValueError:
        return "the webhook's URL cannot be read"
    if not host or scheme not in ("http", "https"):
        return "the webhook's URL does not begin with https://"
    if scheme == "http" and host not in _LOOPBACK:
        return f"the webhook at {host} must be called by https"
    retry = Retry(
        MOST_RETRIES,
        status_forcelist=TRANSIENT_STATUSES,
        allowed_methods=None,  # of any method
        raise_on_status=False,
        backoff_factor=1.0,
    )
    try:
        with requests.Session() as session:
            session.mount(f"{scheme}://", requests.adapters.HTTPAdapter(max_retries=retry))
            answer = session.post(
                url,
                json=content,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,  # the content is for this host
                auth=lambda request: request,  # and nothing of a .netrc
                stream=True,  # what is said beside the status is not waited for
            )
    except (requests.RequestException, ValueError) as error:
        return f"the webhook at {host} was not reached ({type(error).__name__})"
    moved = ", a redirect, which is not followed" if answer.is_redirect else ""
    is_taken = 200 <= answer.status_code < 300
    return "" if is_taken else f"the webhook at {host} answered {answer.status_code}{moved}"


def write_metrics(directory: Path, record: Mapping[str, Any]) -> None:
    """Write `mnslib-<notebook>-<environment>.prom` beside a run directory, whole or not at all.

    Where these are written otherwise in a file's name, a digest tells them from their namesakes.
    """
    from mnslib.show.templates import render

    began, ended = (
        int(datetime.fromisoformat(record[name]).timestamp())
        for name in ("started_utc", "finished_utc")
    )
    facts = {"began": began, "ended": ended, "counts": item_counts(record)}
    text = render("metrics.txt.j2", record=record, statuses=[*RunStatus], **facts)
    own = [record["notebook"], record["environment"]]
    names = [*map(name_part, own)]
    if names != own or "-" in own[0]:
        names.append(hashlib.sha256("/".join(own).encode()).hexdigest()[:8])
    write_whole(directory.parent / f"mnslib-{'-'.join(names)}.prom", f"{text.rstrip()}\n")
