"""The way to a rule's path: links on it may be turned while the rule is followed (`current -> releases/5`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# As many as the kernel follows (path_resolution(7)).
MOST_LINKS = 40


def links(paths: Iterable[str]) -> frozenset[str]:
    """Return the links that are met on the way to `paths` (absolute), and what may become one: where they end."""
    return frozenset().union(*map(_met, paths))


def _met(path: str) -> set[str]:
    found: set[str] = set()
    at, todo = "/", path.split("/")[::-1]
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        at = os.path.join(at, name)
        try:
            text = os.readlink(at)
        except OSError:
            continue
        found.add(at)
        if len(found) > MOST_LINKS:
            break
        at = os.path.dirname(at)
        todo += text.split("/")[::-1]
        if text.startswith("/"):
            at = "/"
    return {*found, at}
