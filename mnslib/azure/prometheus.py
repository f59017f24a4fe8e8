"""Range queries against a Prometheus endpoint, managed or not. Knows no particular metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mnslib.errors import ArmError, PrometheusError, cut

if TYPE_CHECKING:
    from mnslib.azure.rest import Rest


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and (unix seconds, value) pairs in order of time.

    Points without a finite value are left out: unknown is not zero.
    """

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


class PrometheusClient:
    """Asks one endpoint.

    Source: Azure Monitor, query Prometheus metrics by using the API (`/api/v1/query_range`, form
    POST, at most 32 days, role Monitoring Data Reader).
    """

    def __init__(self, rest: Rest, *, endpoint: str, scope: str) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._rest = rest
        self._scope = scope

    def query_range(
        self, query: str, *, start: datetime, end: datetime, step_seconds: float
    ) -> list[Series]:
        """Return the series that a query gives over a time range.

        Raises:
            PrometheusError: if the query was refused or nobody answered.
        """
        form = {
            "query": query,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step_seconds:g}",
        }
        url = f"{self.endpoint}/api/v1/query_range"
        try:
            body = self._rest.json(self._rest.post_form(url, form, scope=self._scope))
            return [_series(item) for item in _matrix(body)]
        except ArmError as error:
            raise PrometheusError(
                f"Query {cut(query, 120)!r} at {self.endpoint} failed: {error}"
                " Check the endpoint, and that you have the role Monitoring Data Reader on it."
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise PrometheusError(
                f"{self.endpoint} did not answer query {cut(query, 120)!r} with a matrix;"
                " check that `prometheus_endpoint` is a Prometheus query endpoint."
            ) from error


def _matrix(body: Any) -> list[Any]:
    data = body["data"]
    if body["status"] != "success" or data["resultType"] != "matrix":
        raise ValueError(data["resultType"])
    result: list[Any] = data["result"]
    return result


def _series(item: Mapping[str, Any]) -> Series:
    points = ((float(moment), float(value)) for moment, value in item["values"])
    return Series(dict(item["metric"]), [point for point in points if math.isfinite(point[1])])
