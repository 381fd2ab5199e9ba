"""What a plan is asked for. Commands that only ask load this, and none of what decides."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping


class Recreate(Enum):
    """When a container is replaced by a new one."""

    DIVERGED = "diverged"
    FORCE = "force"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """What `up`, `create` and `scale` ask for.

    `services` are those in scope, in dependency order; `named` those the user named (all of them when he named
    none). `images` maps service → image id. `start` False only creates. `timeout_s` overrides grace periods.
    `expendable` are the keys of volumes whose data may be lost when they have changed. `forced` are the ids of the
    containers that FORCE is about, None for all: when a process has died and the command is repeated, it leaves what
    is new. `all_resources` makes also the networks and volumes that no service uses.
    """

    services: tuple[str, ...]
    named: frozenset[str] = frozenset()
    images: Mapping[str, str] = field(default_factory=dict)
    recreate: Recreate = Recreate.DIVERGED
    recreate_dependencies: Recreate = Recreate.DIVERGED
    renew_volumes: bool = False
    expendable: frozenset[str] = frozenset()
    forced: frozenset[str] | None = None
    remove_orphans: bool = False
    all_resources: bool = False
    start: bool = True
    timeout_s: float | None = None
