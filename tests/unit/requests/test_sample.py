"""The sample file that comes with the project is sound and shows what it says it shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mnslib.models import AdoptionPolicy
from mnslib.requests.spec import parse_requests

SAMPLE = Path(__file__).parents[3] / "parameters" / "requests.sample.csv"


def test_the_sample_holds_36_requests_for_three_clusters_with_one_adoption() -> None:
    specs = parse_requests(SAMPLE)
    assert Counter(spec.id.cluster.cluster_name for spec in specs) == {
        "aks-prod-weu-1": 9,
        "aks-prod-weu-2": 19,
        "aks-test-weu-1": 8,
    }
    adopted = [s for s in specs if s.adoption_policy is AdoptionPolicy.ALWAYS]
    assert [spec.id.namespace_name for spec in adopted] == ["legacy-crm"]
    assert sum(bool(spec.access) for spec in specs) == 18
