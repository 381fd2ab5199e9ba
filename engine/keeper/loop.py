"""The keeper's loop: descriptors that became readable, and deadlines. One thread, nothing that blocks."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Callable

Handler = Callable[[int], object]


class Loop:
    """Calls a handler with the epoll events of its descriptor, and timers when they are due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._running = False

    def watch(self, fd: int, handler: Handler, events: int = select.EPOLLIN) -> None:
        """Call `handler` while `fd` is ready for `events`; EPOLLHUP and EPOLLERR always count."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Stop watching `fd`; to be called before it is closed. No error if it isn't watched."""
        if self._handlers.pop(fd, None):
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once, `seconds` from now."""
        self._timers.append((time.monotonic() + seconds, action))
        self._timers.sort(key=lambda timer: timer[0])

    def stop(self) -> None:
        """Make `run` return after this turn."""
        self._running = False

    def _guard(self, fd: int, handler: Handler, events: int) -> None:
        """Call a handler; what fails in one must not end what all containers depend on."""
        try:
            handler(events)
        except Exception as exc:  # noqa: BLE001 - told in the keeper's log
            sys.excepthook(type(exc), exc, exc.__traceback__)
            if self._handlers.get(fd) is handler:
                self.forget(fd)  # or it would fail again at once, for ever

    def _due(self) -> None:
        """Call the timers whose time has come."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            try:
                self._timers.pop(0)[1]()
            except Exception as exc:  # noqa: BLE001 - as above
                sys.excepthook(type(exc), exc, exc.__traceback__)

    def _ready(self, wait_s: float) -> list[tuple[int, Handler, int]]:
        found = self._epoll.poll(wait_s, 64)
        return [(fd, self._handlers[fd], events) for fd, events in found if fd in self._handlers]

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            wait = max(self._timers[0][0] - time.monotonic(), 0) if self._timers else -1
            for fd, handler, events in self._ready(wait):
                # One that ran before it in this turn may have closed it, and opened another of this number.
                if self._handlers.get(fd) == handler:
                    self._guard(fd, handler, events)
            self._due()
