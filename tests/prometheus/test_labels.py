"""Labels that differ from what Azure and Kubernetes say, and one sample that cannot be.

The label `cluster` changed its spelling on the way and has both for a day; the scrape does not
honor labels, so that its own namespace stands in place of the metric's.
"""

from __future__ import annotations

import csv
import time

import pytest

STEP = 300  # seconds between scrapes
HOUR, DAYS = 3600, 4


def series(space, hard, used, requested):
    """Yield the start of each line of a namespace, and its value by the number of the scrape."""
    scraper = f'namespace="monitoring",exported_namespace="{space}"'
    quota = f'kube_resourcequota{{{scraper},resourcequota="q",resource="requests.cpu"'
    yield f'{quota},type="hard"', lambda number: hard
    yield f'{quota},type="used"', lambda number: used
    requests = f'kube_pod_container_resource_requests{{{scraper},exported_pod="{space}-0"'
    yield f'{requests},resource="cpu"', lambda number: requested
    usage = f'container_cpu_usage_seconds_total{{namespace="{space}",container="app"'
    yield usage, lambda number: number * STEP * requested / 2


def lines(end):
    """Yield a month in the text form of OpenMetrics, by metric, series and time."""
    found = [*series("web", 4, 2, 2), *series("api", 8, 4, 4)]
    found.append(('kube_node_status_allocatable{node="n1",resource="cpu"', lambda number: 16))
    found.append(('kube_node_status_allocatable{node="n1",resource="memory"', lambda number: 2**36))
    count = DAYS * 24 * HOUR // STEP
    for begun, value in sorted(found, key=lambda one: one[0]):
        is_wrong = '"api"' in begun and 'type="used"' in begun
        for spelling, first, last in (("AKS-1", 0, count // 2), ("aks-1", count // 4, count)):
            for number in range(first, last):
                amount = "+Inf" if is_wrong and number == count - 100 else value(number)
                yield f'{begun},cluster="{spelling}"}} {amount} {end - (count - 1 - number) * STEP}'
    yield "# EOF"


@pytest.fixture(scope="module")
def endpoint(serve, tmp_path_factory):
    file = tmp_path_factory.mktemp("samples") / "labels.txt"
    end = int(time.time()) // HOUR * HOUR
    file.write_text("\n".join(lines(end)) + "\n", encoding="utf-8")
    return serve(file)


def test_one_cluster_its_own_namespaces_and_a_month_that_one_sample_does_not_spoil(
    endpoint, mns, tmp_path
):
    given = {
        "target": "azure", "inventory": "history", "history": "prometheus",
        "prometheus_endpoint": endpoint, "lookback_days": 3, "runs_dir": tmp_path,
        "clusters": "[Aks-1]",
    }  # fmt: skip
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    done = mns("run", "40", *words)
    assert done.returncode == 0, done.stdout + done.stderr

    run = next(tmp_path.glob("2*-40_*"))

    def rows(name):
        with (run / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    table = [row for row in rows("utilization") if row["resource"] == "cpu_request"]
    assert {row["namespace_name"]: row["used"] for row in table} == {"web": "2.0", "api": "4.0"}
    assert len({row["cluster_name"] for row in table}) == 1
    assert {row["peak_used"] for row in table} == {"2.0", "4.0"}  # not the infinite one
    found = {
        row["namespace_name"]: (row["evidence"], row["impossible_samples"])
        for row in rows("evidence")
        if row["resource"] == "cpu_request"
    }
    assert found == {"web": ("sound", "0"), "api": ("sound", "1")}
    layers = {row["namespace_name"]: row for row in rows("layers") if row["resource"] == "cpu"}
    assert layers["web"]["requested"] == "2.0"  # of two spellings once
    assert float(layers["web"]["usage"]) == pytest.approx(1.0)
    (cpu,) = [row for row in rows("commitment") if row["resource"] == "cpu"]
    assert (cpu["allocatable"], cpu["committed"], cpu["requested"]) == ("16.0", "12.0", "6.0")
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "have the namespace in exported_namespace" in report
    assert "1 sample of api cannot be" in report
