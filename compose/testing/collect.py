"""`pycompose gc`: stacks that nobody owns any more, and with `kept` those that tests have left behind on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client import changes as use_cases
from pycompose.client.options import DownOptions
from pycompose.state.abandoned import clear_abandoned
from pycompose.state.owners import kept as kept_projects
from pycompose.state.owners import ownerless

if TYPE_CHECKING:
    from pycompose.client.context import Context


def collect(context: Context, *, kept: bool = False, dry_run: bool = False) -> list[str]:
    """Take such stacks down, copies with their data; return their names. Raises PycomposeError."""
    if not dry_run:
        clear_abandoned(context.paths)
    found = ownerless(context.paths) | (kept_projects(context.paths) if kept else {})
    for name, noted in found.items():
        options = DownOptions(volumes=noted.volumes, remove_orphans=True, timeout_s=0.0, dry_run=dry_run)
        use_cases.down(context, name, None, options)
    return list(found)
