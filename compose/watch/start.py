"""The project before it is watched: built and brought up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client import changes
from pycompose.client.options import BuildOptions, UpOptions

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.watch.rules import Rules


def bring_up(
    context: Context, loaded: Loaded, rules: Rules, services: tuple[str, ...], *, quiet: bool
) -> None:
    """Build what `build_rebuilt` does, and start all."""
    build_rebuilt(context, loaded, rules, quiet=quiet)
    changes.up(context, loaded, UpOptions(services=services, quiet_build=quiet))


def build_rebuilt(context: Context, loaded: Loaded, rules: Rules, *, quiet: bool) -> None:
    """Build the services that have a rebuild rule: their images are to be what lies here."""
    rebuilt = tuple(dict.fromkeys(rule.service for rule in rules.rules if rule.action == "rebuild"))
    if rebuilt:
        from pycompose.client.build import build  # noqa: PLC0415 - it brings the networking, 20 MB

        build(context, loaded.runnable, BuildOptions(services=rebuilt, quiet=quiet))
