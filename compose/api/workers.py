"""The threads of the server: what use cases do is done there, since they wait for disks, supervisors and processes.

Looking has few threads, for it never waits long; what changes something, or a client listens to, has one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pycompose.api.errors import ApiError, ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

READERS = 4
CHANGERS = 64
MOST_STREAMS = 512


class Workers:
    """Runs what blocks."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "api-read")
        self._changers = asyncio.Semaphore(CHANGERS)
        self._streams = 0

    async def run(self, work: Callable[[], T], *, slow: bool) -> T:
        """Return what `work` returns; `slow` may take as long as a container takes to stop."""
        if not slow:
            return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        await self._changers.acquire()
        return await _alone(work, self._changers.release, name="api-change", daemon=False)

    async def run_stream(self, work: Callable[[], None]) -> None:
        """Run what goes on until the client has enough. Raises ApiError when too many do."""
        if self._streams >= MOST_STREAMS:
            raise ApiError(503, f"server: {MOST_STREAMS} clients listen already")
        self._streams += 1

        def over() -> None:
            self._streams -= 1

        def stream() -> None:
            with contextlib.suppress(ClientGone):
                work()

        await _alone(stream, over, name="api-stream", daemon=True)


async def _alone(work: Callable[[], T], over: Callable[[], None], *, name: str, daemon: bool) -> T:
    """Return what `work` returns, done by a thread of its own, which leaves no memory behind; then call `over`.

    Who is cancelled leaves the thread at work; a `daemon` doesn't keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(tell_it: Callable[[Any], None], what: object) -> None:
        over()
        if not done.cancelled():
            tell_it(what)

    def run() -> None:
        said: tuple[Callable[[Any], None], object]
        try:
            said = done.set_result, work()
        except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
            said = done.set_exception, exc
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, *said)

    try:
        threading.Thread(target=run, name=name, daemon=daemon).start()
    except RuntimeError as exc:
        over()
        raise ApiError(503, f"server: {exc}") from exc
    return await done
