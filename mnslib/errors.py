"""Every error mnslib raises, all of them `MnsError`s.

A message says what happened, where (full id), and what to do next. It never holds a token or a
header; text from outside is cut to `LONGEST_TEXT` characters, and what looks like a secret in the
answer of a service or in a request file is hidden.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from mnslib.secrets import hide_secrets

LONGEST_TEXT = 600
"""Characters of a foreign message that are shown; our choice, long enough for every known text."""

LONGEST_REFUSAL = 4000
"""Of a refusal of Azure's or a cluster's, whose texts name things by ids: a lock on the longest id
takes 1,000 of them, each of several policies 700; our choice."""

LARGEST_ANSWER_BYTES = 2**28
"""Of an answer, unpacked; our choice: the largest known, of a fleet's metrics, is a tenth."""

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Of answers that may be others when asked again. Source: azure-core, RetryPolicy; Kubernetes API
conventions, HTTP status codes."""

SAME_IN_ROWS = 4
"""Rows with the same mistake from which on one line counts them; our choice."""

MOST_MEANT = 3
"""Words that are offered where several begin as what was written; our choice."""

PARAMETERS = "parameters"
"""Where a request comes from that is no file's but a notebook's own."""

REQUESTS = "requests"
"""Where one comes from that a program has put together."""


def printable(text: str) -> str:
    """Return `text` with a mark in place of each character that would steer a terminal.

    Lines stay lines; other alphabets stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)


def cut(text: str, length: int = LONGEST_TEXT) -> str:
    """Return `text` on one line, shortened to `length` characters."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that `word` probably means, or the few that begin so, else nothing."""
    by_lower = {name.lower(): name for name in known}
    begun = [name for name in by_lower if name.startswith(word.lower())]
    found = begun
    if not 1 <= len(begun) <= MOST_MEANT:
        found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return " or ".join(by_lower[name] for name in found)


class MnsError(Exception):
    """Base of all errors of mnslib."""


class ConfigError(MnsError):
    """A parameter, a setting or the project folder is wrong; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a request: where it is, what is wrong, what to write instead.

    A `file` called `parameters` stands for a notebook's parameters, which `column` then names.

    Attributes:
        cell: name of a sheet's cell, such as C7; empty for other files.
    """

    file: str
    row: int | None
    column: str | None
    message: str
    suggestion: str = ""
    cell: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.cell:
            place += f", cell {self.cell}"
        elif self.row is not None:
            place += f", row {self.row}"
        if self.column is not None:
            is_parameter = self.file == PARAMETERS and self.row is None
            place = f"parameter {self.column}" if is_parameter else f"{place}, column {self.column}"
        return self.told(place)

    def told(self, place: str) -> str:
        """Return what is wrong and what to write instead, behind its place if that is given."""
        fix = f" Write {self.suggestion}." if self.suggestion else ""
        where = f"{place}: " if place else ""
        # a heading or a key that was refused may be the secret itself
        return hide_secrets(printable(f"{where}{self.message}{fix}"))


class SpecError(MnsError):
    """A request file, or a file it leans on, has mistakes; `problems` holds every one of them."""

    def __init__(self, problems: Sequence[Problem], *, note: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        file = self.problems[0].file
        place = f"the {file}" if file in (PARAMETERS, REQUESTS) else file
        head = f"{count} mistake{'s' if count != 1 else ''} in {place}; nothing was written:"
        super().__init__("\n  ".join(filter(None, [head, *_lines(self.problems), note])))


def _lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Yield a line for each mistake; the same one in many rows is one line that counts them."""
    same: dict[Problem, list[Problem]] = {}
    for problem in problems:
        same.setdefault(replace(problem, row=None, cell=""), []).append(problem)
    for cause, found in same.items():
        rows = [one.row for one in found if one.row is not None]
        if len(rows) < SAME_IN_ROWS:
            yield from map(str, found)
        else:
            where = f"{cause.file}, {len(rows)} rows ({ranges(rows)})"
            yield str(replace(cause, file=where))


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ranges: `2-301, 305`."""
    ranges = []
    for _, pairs in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in pairs]
        ranges.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(ranges)


class AuthError(MnsError):
    """No token could be had; the message names the credential that was tried."""


class PreflightError(MnsError):
    """A check failed before anything was changed."""


class PlanError(MnsError):
    """A plan cannot be applied as asked; nothing was written."""


class UnsafePlanError(PlanError):
    """The plan holds a risk outside `allow`, or exceeds a cap."""


class StalePlanError(PlanError):
    """The approved digest is missing or belongs to another plan than the present one."""


class LockedError(MnsError):
    """Another run writes to the same clusters; the message names it. Nothing was written."""


class ApplyError(MnsError):
    """Not every change was applied; the outcomes are in the run's result.

    Attributes:
        result: that of a plan that was applied without a notebook (`fleet.Result`), else None.
    """

    def __init__(self, message: str, *, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class ArmError(MnsError):
    """Azure Resource Manager answered with an error.

    Attributes:
        status: HTTP status, None where there was no answer.
        code: the service's error code, such as `AuthorizationFailed`.
        request_id: `x-ms-request-id`, for a support case.
        retry_after_seconds: delay the server asked for, None without one.
        is_unclear: an earlier attempt of the same request got no clear answer, and may have
            arrived.
        is_transient: the same may go well later.
        is_busy: it waits for another operation on the same cluster.
        what, remedy: the two parts of the message: what happened, and what to do next.
        said: what of it are the service's own words.
    """

    is_transient = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        retry_after_seconds: float | None = None,
        is_unclear: bool = False,
        is_transient: bool | None = None,
        is_busy: bool = False,
        remedy: str = "",
        said: str = "",
    ) -> None:
        self.what = cut(hide_secrets(message), LONGEST_REFUSAL)
        super().__init__(f"{self.what} {remedy}".strip())
        self.remedy, self.said = remedy, said
        if is_transient is not None:
            self.is_transient = is_transient
        self.is_busy = is_busy
        self.status = status
        self.is_unclear = is_unclear
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class ArmUnreachableError(ArmError):
    """No answer came: connection refused, dropped or timed out."""

    is_transient = True


class ArmNotFoundError(ArmError):
    """404: the resource or its parent does not exist."""


class ArmForbiddenError(ArmError):
    """403: a role is missing, or a policy or condition forbids it; the message says which."""


class ArmConflictError(ArmError):
    """409: another operation runs, a lock forbids it, it exists already; `code` says which.

    Transient where that is known (`azure/messages.yaml`).
    """


class ArmPreconditionError(ArmError):
    """412: the eTag is not the present one; somebody else changed the resource."""

    is_transient = True  # after a read: our own first attempt may have arrived since


class ArmThrottledError(ArmError):
    """429 that lasted longer than the retries."""

    is_transient = True


class ArmServerError(ArmError):
    """5xx that lasted longer than the retries."""

    is_transient = True


class OperationFailedError(ArmError):
    """A long-running operation ended as Failed or Canceled."""


class OperationTimeoutError(ArmError):
    """A long-running operation did not end within the time allowed; its outcome is unknown."""


class KubeError(MnsError):
    """The Kubernetes API answered with an error.

    Attributes:
        status: the HTTP status; None without an answer.
        said: the server's own words; empty without an answer.
    """

    def __init__(self, message: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(cut(hide_secrets(message), LONGEST_REFUSAL))
        self.status, self.said = status, said


class KubeUnreachableError(KubeError):
    """The API server did not answer."""


LONGEST_REASON = 80
"""Characters of a reason in a table; our choice."""

NOT_SERVED = "not served by this cluster"
"""Of an API version that a cluster does not know, which it answers with 404."""


def few_words(error: MnsError) -> str:
    """Return why something could not be read, as a table has it; the error says it in full."""
    if isinstance(error, KubeUnreachableError):
        return "cluster not reachable"
    if isinstance(error, ArmUnreachableError):
        return "Azure not reachable"
    status = getattr(error, "status", None)
    if status in (401, 403):
        return "no permission"
    is_no_kind = isinstance(error, KubeError) and status == 404
    return NOT_SERVED if is_no_kind else cut(str(error), LONGEST_REASON)


class PrometheusError(MnsError):
    """A query of metrics was refused, or the endpoint could not be reached."""


class QueryTooLargeError(PrometheusError):
    """A query was refused for what it would cost or return; a shorter range may pass."""
