"""What a watcher is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.config.load import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """`services` () are all that have rules. `background`: the project's supervisor has started this watcher.

    `quiet` hides what builds print; `prune` removes the images that a build leaves without a name. `reload` loads the
    compose files once more, to tell of their changes, which `apply` makes; without it nobody looks at them.
    """

    services: tuple[str, ...] = ()
    quiet: bool = False
    prune: bool = True
    background: bool = False
    reload: Callable[[], Loaded] | None = None
    apply: bool = False
