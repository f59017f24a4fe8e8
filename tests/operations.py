"""Waiting for one operation, as tests of single writes need it."""

from mnslib.azure.operations import OPERATION_TIMEOUT_SECONDS


def finish(client, operation, *, timeout_seconds=OPERATION_TIMEOUT_SECONDS):
    """Return once the operation has succeeded; raise its error if it did not."""
    client.operations.track(operation, timeout_seconds=timeout_seconds)
    (end,) = client.operations.next_finished(timeout_seconds + 60)
    if end.error:
        raise end.error
