"""Small REST calls that no SDK covers, through the same pipeline: operations, Prometheus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azure.core.pipeline import Pipeline
from azure.core.rest import HttpRequest

from mnslib.azure.messages import path_of
from mnslib.azure.pipeline import SCOPE_OPTION
from mnslib.errors import ArmError


class Rest:
    """Sends requests as they are given; the URL is not touched."""

    def __init__(self, pipeline: Pipeline[Any, Any]) -> None:
        self._pipeline = pipeline

    def get(self, url: str, *, scope: str | None = None) -> Any:
        """Return the answer to a GET.

        Raises:
            ArmError: if it was refused or nobody answered.
        """
        return self._send(HttpRequest("GET", url), scope=scope)

    def post_form(self, url: str, form: Mapping[str, str], *, scope: str | None = None) -> Any:
        """Return the answer to a POST of a form; for queries, so it may be repeated.

        Raises: as `get`.
        """
        return self._send(HttpRequest("POST", url, data=dict(form)), scope=scope)

    def content(self, response: Any) -> bytes:
        """Return an answer's content as it came."""
        body: bytes = response.body()
        return body

    def json(self, response: Any) -> Any:
        """Return an answer's content; None where it is empty.

        Raises:
            ArmError: if it is no JSON.
        """
        text = response.text()
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise ArmError(
                f"The answer of {path_of(str(response.request.url))} is no JSON."
            ) from error

    def _send(self, request: HttpRequest, *, scope: str | None) -> Any:
        # streamed: the body is read once, by our retry policy, and not parsed a second time
        options: dict[str, Any] = {"stream": True}
        if scope is not None:
            options[SCOPE_OPTION] = scope
        return self._pipeline.run(request, **options).http_response
