"""What the metrics endpoint refuses for its size.

Source: Azure Monitor limits, managed Prometheus, and Prometheus, web API. The figures are
documented, the words of Azure Monitor's refusals are not: those are taken from the figures' names.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnslib.sandbox.wire import prometheus_error

MAX_POINTS = 11_000  # per series; Source: Prometheus web API
MAX_RANGE_SECONDS = 32 * 86400  # range selector included
LONG_RANGE_SECONDS = 48 * 3600  # from here on a step is at least 60 s
COST_UNIT = 5_000
SCRAPE_SECONDS = 30.0  # between samples; Source: Azure Monitor, default scrape interval


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The most that one query may cost: series x (seconds / step) / 5000, and samples it reads."""

    cost: float = 15_000
    samples: float = 50_000_000

    def check_size(self, series: int, *, reach: float, window: float, step: float) -> None:
        """Refuse a query that reads too much.

        Args:
            reach: seconds from its first to its last moment.
            window: seconds that each value looks back over.

        Raises:
            Refusal: 422 over a limit.
        """
        cost = series * reach / step / COST_UNIT
        if cost > self.cost:
            text = f"query cost {cost:.2f} exceeds the limit of {self.cost:g}"
            raise prometheus_error(422, "execution", f"{text}; reduce the time range or the series")
        samples = series * (reach / step + 1) * max(1.0, window / SCRAPE_SECONDS)
        if samples > self.samples:
            text = f"query reads {samples:.0f} samples, which exceeds the limit of {self.samples:g}"
            raise prometheus_error(422, "execution", text)


def check_range(reach: float, *, window: float | None, step: float) -> None:
    """Refuse a query over times that no query may have, however few series it reads.

    Args:
        reach: seconds from its first to its last moment.
        window: seconds that each value looks back over; None without a range selector.

    Raises:
        Refusal: 400 bad_data, or 422 over a limit.
    """
    if reach < 0 or step <= 0 or (window is not None and window <= 0):
        text = "end timestamp must not be before start, step and range must be positive"
        raise prometheus_error(400, "bad_data", text)
    if reach / step > MAX_POINTS:
        text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
        raise prometheus_error(400, "bad_data", f"{text}query resolution (?step=XX)")
    if reach + (window or 0) > MAX_RANGE_SECONDS:
        raise prometheus_error(422, "execution", "the query reaches over more than 32 days")
    if reach >= LONG_RANGE_SECONDS and step < 60:
        text = "step must be at least 60 s when the range is 48 hours or more"
        raise prometheus_error(422, "execution", text)
