"""Who waits for whom among the builds of one command."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pycompose.engine.errors import ImageError
from pycompose.engine.images.reference import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycompose.engine.images.spec import Image

# Builds at the same time, but for those that wait for another; the steps of all of them share the processors.
AT_ONCE = 8


class Order:
    """By additional contexts (`upon`, service → services), and because a Dockerfile names the image of another."""

    def __init__(
        self, upon: Mapping[str, Sequence[str]], images: Mapping[str, Sequence[str]], at_once: int = AT_ONCE
    ) -> None:
        """`images` are the names that each service's image gets."""
        self.room = threading.Semaphore(at_once)
        self.done: dict[str, Future[Image]] = {name: Future() for name in upon}
        self._upon = {name: list(others) for name, others in upon.items()}
        self._images = images
        self._lock = threading.Lock()

    def wait(self, service: str) -> None:
        """Wait for those that `service` is known to be built upon; raises their failures."""
        for other in self._upon[service]:
            self.done[other].result()

    def wait_for_image(self, service: str, image: str) -> bool:
        """Wait for the other service that makes `image`, if any, and tell whether there is one.

        The caller is in the `room`, and leaves it for that time. Raises the other's failure.
        """
        other = self._maker(service, image)
        if other is None:
            return False
        self.room.release()
        try:
            self.done[other].result()
        finally:
            self.room.acquire()
        return True

    def _maker(self, service: str, image: str) -> str | None:
        """Return who makes `image`; not one who waits for `service`: then the image that is there has to do."""
        try:
            key = parse(image).key
            makers = (
                name for name, made in self._images.items() if key in (parse(text).key for text in made)
            )
            other = next((name for name in makers if name != service), None)
        except ImageError:
            return None
        with self._lock:
            if other is None or self._waits(other, service):
                return None
            self._upon[service].append(other)
        return other

    def _waits(self, service: str, other: str) -> bool:
        return service == other or any(self._waits(following, other) for following in self._upon[service])
