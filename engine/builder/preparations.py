"""What a build does beside its steps, told as BuildKit tells it: `[internal] load build definition from Dockerfile`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.request import (
    DONE,
    FAILED,
    INLINE_NAME,
    NOTE,
    STARTED,
    BuildEvent,
    BuildRequest,
)
from pycompose.engine.errors import ImageError, PycomposeError
from pycompose.engine.images.reference import parse

if TYPE_CHECKING:
    from pycompose.engine.builder.bases import Base
    from pycompose.engine.builder.request import OnEvent
    from pycompose.engine.images.spec import Image

_UNITS = ("B", "kB", "MB", "GB")
_THOUSAND = 1000


class Preparations:
    """One build's. Their numbers go down from -1: no step has one of these."""

    def __init__(self, request: BuildRequest, tell: OnEvent) -> None:
        self._request = request
        self._tell = tell
        self._count = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Tell that something begins and how it ends; what is yielded takes a line about it."""
        with self._lock:
            self._count += 1
            number = -self._count
        key = hashlib.sha256(title.encode()).hexdigest()
        event: dict[str, Any] = {"step": number, "title": title, "key": key, "is_preparation": True}
        started = time.monotonic()
        self._tell(BuildEvent(kind=STARTED, **event))
        try:
            yield lambda text: self._tell(BuildEvent(kind=NOTE, **event, data=text))
        except PycomposeError as exc:
            took_s = time.monotonic() - started
            self._tell(BuildEvent(kind=FAILED, **event, took_s=took_s, data=exc.message))
            raise
        self._tell(BuildEvent(kind=DONE, **event, took_s=time.monotonic() - started))

    def definition(self) -> None:
        """Tell that the Dockerfile is there."""
        name = self._request.dockerfile_name
        name = "Dockerfile" if name == INLINE_NAME else os.path.basename(name)
        with self.step(f"[internal] load build definition from {name}") as note:
            note(f"transferring dockerfile: {_size(self._request.dockerfile)}")

    def ignore(self) -> None:
        """Tell that .dockerignore, if any, is there."""
        with self.step("[internal] load .dockerignore") as note:
            note(f"transferring context: {_size(self._request.ignore_text)}")

    def metadata(self, bases: Callable[[str, str], Base], name: str, platform: str) -> Base:
        """Return `bases(name, platform)`, which may get the image from elsewhere. Raises what it raises."""
        shown = name
        with contextlib.suppress(ImageError):
            shown = parse(name).key
        with self.step(f"[internal] load metadata for {shown}"):
            return bases(name, platform)

    def export(self, write: Callable[[], Image], names: Sequence[str]) -> Image:
        """Return what `write` has put into the store under `names`. Raises what it raises."""
        with self.step("exporting to image") as note:
            image = write()
            note("exporting layers")
            note(f"writing image {image.id}")
            for name in names:
                note(f"naming to {_whole(name)}")
            return image


def _whole(name: str) -> str:
    """Return a name with its registry: docker.io/library/web for `web`, whose tag isn't shown unless it is written."""
    whole = parse(name).key
    return whole if name.endswith(":latest") else whole.removesuffix(":latest")


def _size(text: str) -> str:
    """Return a text's size as BuildKit shows it: 104B, 1.05kB."""
    size = float(len(text.encode("utf-8", "surrogateescape")))
    for unit in _UNITS:
        if size < _THOUSAND or unit == _UNITS[-1]:
            break
        size /= _THOUSAND
    return f"{size:.3g}{unit}" if unit != "B" else f"{size:.0f}B"
