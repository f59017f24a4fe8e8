"""Owners' pages and the portfolio: what they advise, in which order, and that nothing gets out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.capacity.changed import CHANGED_COLUMNS, CHANGES, Earlier, changes_since, earlier_tables
from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.evidence import EVIDENCE_COLUMNS
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.capacity.fit import FIT_COLUMNS
from mnslib.capacity.layers import LAYER_COLUMNS, roll_up
from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.refusals import REFUSALS_COLUMNS
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, Snapshot, no_series
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import UTILIZATION_COLUMNS
from mnslib.show.owner_pages import LONGEST_NAME, file_name, owner_pages, owners_table
from mnslib.show.tables import told
from mnslib.show.views import view
from tests.tables import csv_text

GIB = 2**30
HOSTILE = '../../<script>alert("x")</script>'
DAY = date(2026, 11, 1)
EARLIER = Earlier()


def snapshot(**others):
    return Snapshot(
        read_utc=datetime(2026, 11, 2, 6, tzinfo=UTC),
        namespaces=pd.DataFrame(columns=list(NAMESPACE_COLUMNS)),
        quotas={},
        commitments={},
        used=no_series(SPACE),
        hard=no_series(SPACE),
        usage_cpu=no_series(SPACE),
        usage_memory=no_series(SPACE),
        **others,
    )


def utilization(*rows):
    """One CPU request row per (owner, namespace, hard, used, peak, verdict, advice)."""
    return pd.DataFrame(
        [
            {
                "cluster_name": "aks-1", "namespace_name": name, "resource": "cpu_request",
                "hard": hard, "used": used, "peak_used": peak, "verdict": verdict,
                "utilization_ratio": used / hard, "advice": advice, "owner": owner,
                "is_managed": True,
            }
            for owner, name, hard, used, peak, verdict, advice in rows
        ],
        columns=list(UTILIZATION_COLUMNS),
    )  # fmt: skip


NAN = float("nan")
ROWS = (
    ("payments", "calm", 8, 4, 6, "ok", "healthy"),
    ("payments", "spare", 20, 4, 9, "ok", "shrink"),
    ("payments", "nearly", 10, 9.5, 9.5, "tight", "grow"),
    ("payments", "full", 12, 12, 12, "full", "grow"),
    ("payments", "wasteful", 6, 6, 6, "full", "fix requests"),
    ("Payments", "other", 2, 1, 1, "ok", "healthy"),
    ("", "nobodys", 2, 2, 2, "full", "grow"),
    (HOSTILE, HOSTILE, NAN, NAN, NAN, "unknown: cluster not reachable", ""),
)


@pytest.fixture
def tables():
    layer = dict.fromkeys(LAYER_COLUMNS, NAN) | {
        "cluster_name": "aks-1", "namespace_name": "wasteful", "resource": "cpu",
        "owner": "payments", "region": "fix requests", "hard": 6.0, "requested": 6.0,
        "usage": 1.5, "peak_usage": 2.0,
        "requested_unused": 4.5, "idle": 4.5, "reason": "",
    }  # fmt: skip
    days = [
        ["aks-1", "full", "cpu_request", DAY, (), 1.0],
        ["aks-1", "calm", "cpu_request", DAY, (), 0.5],
    ]
    columns = ["cluster_name", "namespace_name", "resource", "first_seen", "quota_changed", DAY]
    return {
        "utilization": utilization(*ROWS),
        "layers": pd.DataFrame([layer]),
        "daily": pd.DataFrame(days, columns=pd.Index(columns, dtype=object)),
    }  # fmt: skip


@pytest.fixture
def pages(tables):
    return pages_of(tables, sandbox="sandbox")[1]


COLUMNS = {
    "utilization": UTILIZATION_COLUMNS, "layers": LAYER_COLUMNS, "fit": FIT_COLUMNS,
    "refusals": REFUSALS_COLUMNS, "commitment": COMMITMENT_COLUMNS, "evidence": EVIDENCE_COLUMNS,
    "changed": CHANGED_COLUMNS, "daily": ("cluster_name", "namespace_name", "first_seen"),
}  # fmt: skip


def reading_of(tables, earlier=EARLIER, read=None):
    """A reading of the tables given; those that are missing are empty."""
    found = Tables(read or snapshot(), earlier=earlier)
    for name, columns in COLUMNS.items():
        vars(found)[name] = tables.get(name, pd.DataFrame(columns=list(columns)))
    return found


def pages_of(tables, earlier=EARLIER, read=None, sandbox=""):
    reading = reading_of(tables, earlier, read)
    return reading, dict(owner_pages(reading, run="RUN", sandbox=sandbox))


def text_of(html):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_the_most_urgent_three_come_first_with_their_amounts(pages):
    said = text_of(pages["owners/payments.html"])
    assert re.findall(r"<li><b>(.*?)\.</b>", pages["owners/payments.html"]) == [
        "Ask for more in full",
        "Lower what the workloads in wasteful request",
        "Ask for more in nearly",
    ]
    assert "1 more thing to do after that" in said
    assert "Nothing more starts there now. Ask to raise CPU requests from 12 cores to 13.4" in said
    assert "They request 6 cores of CPU, of which not more than 1.5 cores are used 95 %" in said


def test_what_is_never_asked_for_can_be_given_back_down_to_the_peak(tables):
    tables["utilization"] = utilization(ROWS[1])
    _, found = pages_of(tables)
    said = text_of(found["owners/payments.html"])
    assert "Give back what spare does not need" in said
    assert "lower CPU requests from 20 cores to 15 cores: what was requested" in said


def test_a_hostile_name_is_escaped_in_every_part_of_a_page(tables):
    spaces = tables["utilization"]
    tables["utilization"] = spaces.assign(
        namespace_name=spaces["namespace_name"].replace("full", HOSTILE)
    )
    _, found = pages_of(tables)
    html = found["owners/payments.html"]
    assert "<script" not in html
    assert "Ask for more in ../../&lt;script&gt;" in html


def test_a_namespace_at_its_limit_that_wastes_is_never_told_to_ask_for_more(pages):
    assert "Ask for more in wasteful" not in text_of(pages["owners/payments.html"])


def test_owners_that_differ_only_in_case_have_files_of_their_own(pages):
    names = [name.casefold() for name in pages]
    assert len(set(names)) == len(names) == 5
    assert "owners/payments.html" in pages
    assert "owners/_without-owner.html" in pages


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_owner_leads_out_of_the_folder_or_into_anothers_file(one, other):
    for owner in (one, other):
        name = file_name(owner)
        assert re.fullmatch(r"[a-z0-9_][a-z0-9.-]*", name)
        assert ".." not in name
        assert len(name) <= LONGEST_NAME
    assert (file_name(one) == file_name(other)) == (one == other)


@pytest.mark.parametrize("owner", ["con", "COM1", "支付", ".", "a" * 64, "a-", "_without-owner"])
def test_names_that_a_file_system_may_fold_or_refuse_get_a_digest(owner):
    assert re.fullmatch(r"[a-z0-9-]{1,40}\.[0-9a-f]{16}", file_name(owner))


class Parts(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.headings, self.unnamed = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given_ = dict(attrs)
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg" and "aria-hidden" not in given_ and not given_.get("aria-label"):
            self.unnamed.append(tag)


def test_each_page_stands_alone_and_says_sandbox(pages):
    for name, html in pages.items():
        parts = Parts(html)
        assert "script" not in parts.tags, name
        assert parts.unnamed == []
        assert parts.headings[0] == 1
        assert all(b - a <= 1 for a, b in zip(parts.headings, parts.headings[1:], strict=False))
        assert '<span class="badge">sandbox</span>' in html
        assert not [link for link in parts.links if re.match(r"(?i)[a-z]+:|//", link)]


def test_the_portfolio_leads_to_every_page_and_knows_three_orders(pages):
    html = pages["portfolio.html"]
    links = {unquote(link) for link in Parts(html).links if link.startswith("owners/")}
    assert links == {name for name in pages if name.startswith("owners/")}
    for order in ("full", "idle", "name"):
        assert f'id="by-{order}"' in html
    first = re.findall(r'<div class="order by-\w+">.*?owners/([^"]+)"', html, re.DOTALL)
    assert first[:2] == ["payments.html"] * 2
    assert first[2] == f"{file_name(HOSTILE)}.html"  # by name, signs come before letters
    assert "1 of 3 owners have a namespace at its quota" in text_of(html)


def test_a_mailed_page_leads_nowhere(pages):
    assert all("<a href=" not in html for name, html in pages.items() if "owners/" in name)


def test_an_owner_reads_that_there_is_no_room_and_that_a_next_pod_does_not_fit(tables):
    tables["fit"] = pd.DataFrame(
        [dict.fromkeys(FIT_COLUMNS, NAN) | {
            "cluster_name": "aks-1", "namespace_name": "calm", "workload_name": "ledger",
            "workload_kind": "Deployment", "question": "next_pod", "verdict": "no",
            "reason": "nodes", "pod_cpu": 0.75, "pod_memory": 1.0 * GIB, "unplaced_pods": 1.0,
        }]
    )  # fmt: skip
    tables["commitment"] = pd.DataFrame(
        [{"cluster_name": "aks-1", "resource": "cpu", "headroom": 0.0}],
        columns=list(COMMITMENT_COLUMNS),
    )
    _, found = pages_of(tables)
    said = text_of(found["owners/payments.html"])
    assert "The cluster aks-1 has no headroom for the" in said
    assert "no node has room for the next pod of ledger (0.75 cores, 1 GiB)" in said
    assert "next pod does not fit" in said


def test_what_is_unknown_is_said_with_its_reason(pages):
    (name,) = [name for name in pages if "script" in name]
    said = text_of(pages[name])
    assert "Nothing is known of your only namespace" in said
    assert "1 namespace: cluster not reachable" in said
    assert "Unknown: what was refused could not be read" in said
    assert "There is no history" in said


def page_of(frames, spaces, **evidence):
    """The page of `team` and the portfolio, as text, of spaces as `layers_of` takes them."""
    layers = frames.layers_of(spaces).assign(owner="team", cluster_name="aks-1")
    rows = [("team", name, hard, 0.5, 0.5, "ok", "healthy") for name, (hard, *_) in spaces.items()]
    judged = [
        {"cluster_name": "aks-1", "namespace_name": name, "resource": "cpu_usage",
         "evidence": word, "reason": "all zero: dead sensor"}
        for name, word in evidence.items()
    ]  # fmt: skip
    tables = {"utilization": utilization(*rows), "layers": layers}
    tables["evidence"] = pd.DataFrame(judged, columns=list(EVIDENCE_COLUMNS))
    _, found = pages_of(tables)
    return {name: text_of(html) for name, html in found.items()}, layers


def test_quotas_are_summed_whether_use_was_measured_or_not_and_the_rest_is_counted(frames):
    spaces = {"old": (22, 12, 8, ""), "fresh": (2.25, 1, NAN, "under 2 days of samples")}
    pages, layers = page_of(frames, spaces)

    said = pages["owners/team.html"]
    assert "24.25 cores committed to you (CPU)" in said
    assert "8 cores in 1 of 2 used" in said
    assert "1 of 2 with something unknown" in said
    assert "1 namespace: what is really used is unknown, under 2 days of samples (fresh)" in said
    assert "something is unknown of 1 of them" in said
    assert "14 cores in 1 of 2 committed and not used" in pages["portfolio.html"]
    assert "24.25 cores" in pages["portfolio.html"]
    assert "24.25 cores" in str(view("sums", roll_up(layers, "owner"), absent=""))


def test_an_owner_whose_use_is_nowhere_measured_still_reads_the_quota(frames):
    pages, _ = page_of(frames, {"fresh": (0.8, 0.2, NAN, "under 2 days of samples")})

    said = pages["owners/team.html"]
    assert "0.8 cores committed to you (CPU)" in said
    assert "unknown used" in said
    assert "0 of 1 used" not in said
    assert "unknown committed and not used" in pages["portfolio.html"]
    assert "nothing needs doing" not in said.lower()
    assert "everything was read" not in said


def test_a_dead_sensor_is_named_on_its_owners_page_in_plain_words(frames):
    spaces = {"fine": (3, 1, 1, ""), "sso": (3, 1, NAN, "all zero: dead sensor")}
    pages, _ = page_of(frames, spaces, sso="dead sensor", fine="sound")

    said = pages["owners/team.html"]
    assert "measured as zero although workloads run there" in said
    assert "whoever runs the cluster has to mend that" in said
    assert "(sso)" in said
    assert "nothing needs doing" not in said.lower()
    assert "There is nothing for you to do. What is not known is said at the end." in said


def test_days_are_drawn_where_they_say_something(pages):
    html = pages["owners/payments.html"]
    assert 'aria-label="days: 1 at the quota"' in html
    assert "50 % at most" in text_of(html)


def refusal(**changes):
    row = dict.fromkeys(REFUSALS_COLUMNS, "") | {
        "cluster_name": "aks-1", "namespace_name": "full", "workload_name": "web", "count": 7,
        "last_utc": pd.Timestamp("2026-11-02T05:00", tz="UTC"), "problem": "quota exceeded",
        "quota_name": "team-quota", "key": "requests.cpu", "pod_requested": 2.0, "used": 12.0,
        "limited": 12.0, "raise_one": 2.0, "raise_all": 6.0,
    }  # fmt: skip
    return row | changes


def refused(tables, *rows, events=("aks-1",)):
    tables["refusals"] = pd.DataFrame(rows)
    read = snapshot(events=dict.fromkeys(events, ()))
    _, found = pages_of(tables, read=read)
    return {name: text_of(html) for name, html in found.items()}


def test_what_was_refused_comes_first_with_the_smallest_raise_for_all_of_it(tables):
    memory = refusal(key="requests.memory", limited=8.0 * GIB, raise_one=GIB, raise_all=NAN)
    pages = refused(tables, refusal(), memory)
    said = pages["owners/payments.html"]
    assert (
        "Pods were refused there 7 times. Ask to raise CPU requests from 12 cores to 18 cores"
        in said
    )
    assert "memory requests from 8 GiB to 9 GiB" in said
    assert "what was refused then fits in it" in said
    assert "CPU requests of 18 cores, memory requests of 9 GiB" in said
    assert "2 Nov 2026 05:00 UTC" in said
    assert "No pod was refused in the hour before" in pages["owners/_without-owner.html"]


def test_a_pod_that_says_no_requests_is_not_a_reason_to_ask_for_more(tables):
    tables["utilization"] = utilization(ROWS[0])
    row = refusal(namespace_name="calm", problem="values missing", containers="app")
    said = refused(tables, row)["owners/payments.html"]
    assert "Set them in the workload's manifest" in said
    assert "Ask for more" not in said


def test_where_events_were_not_read_refusals_are_unknown_not_none(tables):
    said = refused(tables, refusal(), events=())["owners/payments.html"]
    assert "Unknown: what was refused could not be read" in said


def test_a_limit_that_is_known_is_shown_though_what_counts_against_it_is_wrong(tables):
    wrong = "unknown: the quota counter says 44 cores, pods ask for 4"
    tables["utilization"] = utilization(("payments", "odd", 48, NAN, NAN, wrong, ""))
    _, found = pages_of(tables)

    assert "CPU requests 48 cores" in text_of(found["owners/payments.html"])


def test_an_owner_reads_in_plain_words_what_changed_since_the_run_before(tables):
    then = tables["utilization"].assign(verdict="ok", utilization_ratio=0.5)
    then = then[then["namespace_name"] != "spare"].assign(hard=lambda rows: rows["hard"] / 2)
    then.loc[then["namespace_name"] == "other", ["namespace_name", "owner"]] = ["old", "payments"]
    text = csv_text(then)
    earlier = earlier_tables("20261026T060000Z-40_analyze-prod", utilization=text)
    tables["changed"] = changes_since(tables["utilization"], earlier)
    owners, found = pages_of(tables, earlier)
    said = text_of(found["owners/payments.html"])
    assert "What changed since 26 Oct 2026 06:00 UTC" in said
    assert "Newly at quota: full, wasteful Newly near the quota, 90 % or above: nearly" in said
    assert "calm (CPU requests from 4 cores to 8 cores), full (" in said
    assert "Not there before: spare Not there any more: old Namespace by" in said
    assert "Not there any more" not in text_of(found["owners/_without-owner.html"])
    cells = {row[0].parts[0]: row[-2] for row in owners_table(owners).rows}
    assert cells["payments"] == (
        "2 newly at quota\n1 newly near the quota\n4 with another quota\n1 new\n1 gone"
    )
    assert "Changed: since 26 Oct 2026 06:00 UTC." in text_of(found["portfolio.html"])


def test_what_is_gone_is_told_nobody_where_its_owner_is_not_known(tables):
    then = tables["utilization"].drop(columns="owner")
    then.loc[then["namespace_name"] == "calm", "namespace_name"] = "old"
    text = csv_text(then)
    earlier = earlier_tables("other", utilization=text)
    tables["changed"] = changes_since(tables["utilization"], earlier)
    assert "gone" in set(tables["changed"]["change"])
    reading, found = pages_of(tables, earlier)
    assert reading.owners.changes["change"].tolist() == ["new"]
    assert "What changed since other " in text_of(found["owners/payments.html"])


def test_a_first_run_says_that_there_is_nothing_to_compare_with(pages):
    assert "There is no earlier run to compare with." in text_of(pages["owners/payments.html"])
    assert "Changed: There is no earlier run" in text_of(pages["portfolio.html"])


def test_there_are_plain_words_for_every_change():
    for section in ("change", "changed"):
        assert told("words")[section].keys() == set(CHANGES)


def test_there_are_plain_words_for_every_word_of_evidence_that_asks_for_somebody():
    assert told("words")["doubt"].keys() == set(NEEDS_SOMEBODY)


def test_without_a_namespace_there_is_the_portfolio_alone():
    reading = Tables(snapshot())
    assert reading.owners.table.empty
    assert reading.steps.empty
    ((name, html),) = owner_pages(reading, run="RUN")
    assert name == "portfolio.html"
    assert "No namespace was found." in html
