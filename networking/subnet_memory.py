"""Which subnet a network had last: it has the same again after `down` and `up`, and after a reboot.

ROOT/subnets.json has the names, those used last at the end. Nothing is kept free for them: who is new gets a subnet
that nobody had as long as there is one of the same size, then the one that has been idle for longest (ipam.py). Of the
MOST names that are remembered those that came once go first: test stacks have names of their own, and come often.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pycompose.engine.errors import StateError
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

MOST = 256


class SubnetMemory:
    """What one file remembers; whoever notes something holds the lock of all networks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[ipaddress.IPv4Network, bool]] = {}
        try:
            found = read_json(path)["networks"]
            self._known = {name: (ipaddress.IPv4Network(subnet), again) for name, subnet, again in found}
        except FileNotFoundError:
            pass
        except (StateError, KeyError, TypeError, ValueError) as exc:  # not worth more than the next `up`
            _warn("subnets of earlier networks are forgotten: %s", exc)
        self._changed = False

    def last(self, name: str) -> ipaddress.IPv4Network | None:
        """Return the subnet that the network had last, None when that isn't known."""
        return self._known.get(name, (None, False))[0]

    def others(self, name: str) -> tuple[ipaddress.IPv4Network, ...]:
        """Return the subnets that other networks had last, those of long ago first."""
        return tuple(subnet for other, (subnet, _again) in self._known.items() if other != name)

    def note(self, name: str, subnet: str) -> None:
        """Remember the subnet of a network that is made now."""
        entry = (ipaddress.IPv4Network(subnet), name in self._known)
        if self._known.get(name) == entry and name == next(reversed(self._known)):
            return
        self._known.pop(name, None)
        self._known[name] = entry
        self._changed = True
        if len(self._known) > MOST:
            once = (old for old, (_subnet, again) in self._known.items() if not again and old != name)
            del self._known[next(once, next(iter(self._known)))]

    def save(self) -> None:
        """Write down what has been noted; that it can't be is no reason to have no network."""
        if not self._changed:
            return
        networks = [[name, str(subnet), again] for name, (subnet, again) in self._known.items()]
        try:
            make_directory(self._path.parent)
            write_json(self._path, {"networks": networks}, durable=False)
        except OSError as exc:
            _warn("cannot write %s: %s", self._path, exc.strerror)
        self._changed = False


def _warn(text: str, *values: object) -> None:
    import logging  # noqa: PLC0415 - 6 ms, for what hardly ever happens

    logging.getLogger(__name__).warning(text, *values)
