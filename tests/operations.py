"""Running work for the scheduler, and waiting for operations, as tests of single writes need it."""

from concurrent.futures import Future

from mnslib.azure.scheduler import ThreadPool


class SameThread:
    """Carries calls out at once, one after the other; waiting is the clock's."""

    def __init__(self, sleep):
        self.free = 1
        self._sleep = sleep
        self._ended = []

    def start(self, job, send):
        future = Future()
        try:
            future.set_result(send())
        except Exception as error:
            future.set_exception(error)
        self._ended.append((job, future))

    def finished(self, seconds):
        if not self._ended:
            self._sleep(seconds)
        ended, self._ended = self._ended, []
        return ended

    def close(self):
        pass


def finish(client, *operations, sleep=None):
    """Return the operations in the order in which they succeeded; raise the first error."""
    threads = SameThread(sleep) if sleep else ThreadPool(2)
    scheduler = client.scheduler(threads, most_per_lane=len(operations))
    ended, errors = [], []

    def work(operation):
        try:
            yield from client.operations.follow(operation)
            ended.append(operation)
        except Exception as error:
            errors.append(error)

    for operation in operations:
        scheduler.add(work(operation), lane="", skipped=errors.append)
    while scheduler.has_work:
        scheduler.turn()
    threads.close()
    if errors:
        raise errors[0]
    return ended
