"""A webhook hears how a run ended, and neither it nor the log learns a secret."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mnslib.results import OutcomeKind
from mnslib.run.notify import MOST_RETRIES, notification_problems, notify

KEY = "sig=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA"
RESULT = {
    "schema_version": 1,
    "notebook": "30_provision_in_bulk",
    "environment": "prod",
    "target": "azure",
    "started_utc": "2026-11-02T06:00:00Z",
    "finished_utc": "2026-11-02T06:03:43Z",
    "status": "partly",
    "exit_code": 3,
    "headline": "35 of 36 are as requested: 35 created, 1 failed.",
    "summary": {"created": 35, "failed": 1},
    "parameters": {"request_file": "parameters/secret-project.csv"},
    "items": [
        {"namespace_name": "payments-api", "outcome": "created"},
        {"namespace_name": "payments-web", "outcome": "failed"},
    ],
    "artifacts": ["result.json"],
}


class Webhook:
    """A server on loopback that keeps what it is sent."""

    def __init__(self):
        self.status, self.received, webhook = 200, [], self
        self.answer, self.is_told = b"", threading.Event()
        self.later = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.received.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(webhook.status)
                webhook.status = webhook.later.pop(0) if webhook.later else webhook.status
                if webhook.status == 302:  # the last one
                    self.send_header("Location", webhook.url + "/elsewhere")
                self.send_header("Content-Length", str(len(webhook.answer)))
                self.end_headers()
                if webhook.answer:
                    webhook.is_told.wait(20)
                    self.wfile.write(webhook.answer)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?{KEY}"


@pytest.fixture
def webhook(monkeypatch):
    found = Webhook()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("MNS_TEST_HOOK", found.url)
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def tell(form="json", **changed):
    parameters = {"notify_url_env": "MNS_TEST_HOOK", "notify_format": form}
    return notify(RESULT | changed, run="20261102T060000Z-30-prod", parameters=parameters)


def test_a_webhook_gets_the_outcome_and_neither_items_nor_parameters(webhook):
    assert tell() == ""
    ((path, _, body),) = webhook.received
    assert path.startswith("/hook?sig=")
    assert body["status"] == "partly"
    assert body["summary"] == {"created": 35, "failed": 1}
    assert body["item_counts"] == {**dict.fromkeys(OutcomeKind, 0), "created": 1, "failed": 1}
    assert body["run"] == "20261102T060000Z-30-prod"
    assert not {"parameters", "items", "artifacts"} & set(body)


def test_a_secret_in_a_headline_is_hidden(webhook):
    tell(headline="Refused: password=hunter2hunter2 was given")
    assert "hunter2" not in json.dumps(webhook.received[0][2])


def test_a_teams_card_shows_text_of_others_as_text(webhook):
    assert tell("teams", headline="[click](https://example.org) **now**") == ""
    card = webhook.received[0][2]["attachments"][0]["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    runs = [run for block in card["body"] for run in block["inlines"]]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}  # knows no Markdown
    assert "[click](https://example.org) **now**" in [run["text"] for run in runs]
    assert runs[0]["text"] == "Partly: 30_provision_in_bulk, prod (azure)"
    assert "created 35, failed 1" in [run["text"] for run in runs]


def test_a_teams_card_of_a_run_without_a_summary_counts_its_items(webhook):
    assert tell("teams", summary={}) == ""
    card = webhook.received[0][2]["attachments"][0]["content"]
    runs = [run for block in card["body"] for run in block["inlines"]]
    assert "created 1, failed 1" in [run["text"] for run in runs]


RUN_PROPERTIES = {
    "type": {"TextRun"},
    "weight": {"default", "lighter", "bolder"},
    "size": {"default", "small", "medium", "large", "extraLarge"},
    "color": {"default", "dark", "light", "accent", "good", "warning", "attention"},
    "isSubtle": {True, False},
}
"""Properties of a TextRun with their values. Source: Adaptive Cards schema 1.4."""


def test_a_teams_card_has_the_shape_that_workflows_take(webhook):
    assert (
        tell("teams", headline="Refused:\n" + "row 2 says \N{GREEK SMALL LETTER ALPHA}\n" * 9_000)
        == ""
    )
    message = webhook.received[0][2]
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert set(attachment) == {"contentType", "contentUrl", "content"}
    assert set(card) == {"$schema", "type", "version", "body"}
    for block in card["body"]:
        assert set(block) == {"type", "inlines"}
        for run in block["inlines"]:
            assert isinstance(run.pop("text"), str)
            assert all(value in RUN_PROPERTIES[name] for name, value in run.items())
    assert len(json.dumps(message, ensure_ascii=False).encode("utf-16")) < 28 * 1024


def test_a_teams_card_holds_no_secret_no_item_and_no_parameter(webhook):
    tell("teams", headline="Refused: password=hunter2hunter2 was given")
    sent = json.dumps(webhook.received[0][2])
    assert not [word for word in ("hunter2", KEY, "secret-project", "payments-api") if word in sent]


def test_a_webhook_that_never_ends_its_answer_holds_no_run_up(webhook):
    webhook.answer = b"thanks"  # once it is told that nobody waits for it
    said = tell()
    webhook.is_told.set()
    assert said == ""


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_failing_webhook_is_said_without_its_key(webhook, status):
    webhook.status = status
    said = tell()
    assert f"127.0.0.1 answered {status}" in said
    assert "sig" not in said
    # a redirect is not followed, and only what may pass is tried again
    assert len(webhook.received) == (1 + MOST_RETRIES if status == 500 else 1)


@pytest.mark.parametrize("passing", [429, 500, 503])
def test_a_webhook_that_is_away_for_a_moment_is_told_all_the_same(webhook, passing):
    webhook.status, webhook.later = passing, [passing, 200]
    assert tell() == ""
    assert len(webhook.received) == 3


def test_a_webhook_is_waited_for_no_longer_than_the_bound(webhook, monkeypatch):
    monkeypatch.setattr("mnslib.run.notify.TOTAL_SECONDS", 0.0)
    assert "took longer than 0 s" in tell()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://hooks.example.org/x?{KEY}", "hooks.example.org must be called by https"),
        (f"ftp://hooks.example.org/x?{KEY}", "does not begin with https://"),
        (f"https://[bad/{KEY}", "cannot be read"),
        (f"http://127.0.0.1:9/{KEY}", "127.0.0.1 was not reached"),
        ("", "MNS_TEST_HOOK is not set"),
    ],
)
def test_what_cannot_be_called_is_said_without_its_key(monkeypatch, url, reason):
    monkeypatch.setattr("mnslib.run.notify.MOST_RETRIES", 0)
    monkeypatch.setenv("MNS_TEST_HOOK", url)
    said = tell()
    assert reason in said
    assert KEY not in said


def test_no_name_tells_nobody_and_says_nothing():
    assert notify(RESULT, run="x", parameters={"notify_url_env": ""}) == ""


@pytest.mark.parametrize(
    "parameters",
    [
        {"notify_url_env": f"https://hooks.example.org/x?{KEY}"},
        {"notify_url_env": "MNS_HOOK", "notify_format": "slack"},
    ],
)
def test_a_url_in_place_of_a_name_is_refused_unseen(parameters):
    (problem,) = notification_problems(parameters).values()
    assert "example" not in problem
    assert "refused" in notify(RESULT, run="x", parameters=parameters)
