"""Commands that are nothing but names, as scripts mostly say them: `network create NAME`, `network rm NAME…`.

Loading click and declaring every flag is a third of what they take. Whatever has a flag, or a variable in a flag's
place, goes the whole way (cli/commands/network.py), and both ways end in the same use case.
"""

# ruff: noqa: PLC0415 - each needs only its own

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pycompose.cli.boundary import guarded
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The variables of global flags, and those of a shell that completes.
_DECISIVE = ("COMPOSE_", "_PYCOMPOSE")


def _create(invocation: Invocation, names: Sequence[str]) -> None:
    from pycompose.machine import network_creation

    print(network_creation.create(invocation.context(), network_creation.NetworkRequest(name=names[0])))


def _remove(invocation: Invocation, names: Sequence[str]) -> None:
    from pycompose.machine import networks

    each(names, lambda name: networks.remove(invocation.context(), name))


# By the words before the names: what is done with them, and how many there may be (None: any number).
_COMMANDS: dict[tuple[str, ...], tuple[Callable[[Invocation, Sequence[str]], None], int | None]] = {
    ("network", "create"): (_create, 1),
    ("network", "rm"): (_remove, None),
}


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Callable[[], int] | None:
    """Return what performs a command and returns its exit code, None for one that click has to read."""
    found = _COMMANDS.get(tuple(arguments[:2]))
    names = arguments[2:]
    if found is None or not names or any(name[:1] in ("", "-") for name in names):
        return None
    work, most = found
    if most is not None and len(names) > most:
        return None
    if any(name.startswith(_DECISIVE) for name in environment):
        return None
    invocation = Invocation()
    return partial(guarded, partial(work, invocation, names), invocation)
