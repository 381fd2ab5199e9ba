"""What may be typed next, asked of the machine and the compose file, for a shell that completes.

Whatever goes wrong, a shell gets an empty answer: it must never see an error.
"""

# ruff: noqa: PLC0415 - only a shell that completes needs what is asked

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.cli.options import invocation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click
    from pycompose.client.context import Context

    Completer = Callable[[click.Context, click.Parameter, str], list[str]]

# Set by a shell that completes (click's protocol).
COMPLETES = "_PYCOMPOSE_COMPLETE"
# The default bridge and what isn't a network at all, but may be named as one.
BUILT_IN_NETWORKS = ("bridge", "host", "none")


def _containers(context: Context) -> Iterable[str]:
    from pycompose.machine import containers

    return (view.name for view in containers.views(context, everything=True))


def _images(context: Context) -> Iterable[str]:
    from pycompose.machine import images

    for row in images.rows(context):
        if row.repository != "<none>":
            yield row.repository if row.tag == "latest" else f"{row.repository}:{row.tag}"


def _volumes(context: Context) -> Iterable[str]:
    from pycompose.machine import volumes

    return (row.name for row in volumes.rows(context))


def _networks(context: Context) -> Iterable[str]:
    from pycompose.machine import networks

    return {*(row.name for row in networks.rows(context)), *BUILT_IN_NETWORKS}


def _projects(context: Context) -> Iterable[str]:
    from pycompose.client import listings
    from pycompose.client.query_options import LsOptions

    return (view.name for view in listings.ls(context, LsOptions(all=True)))


_NOUNS: dict[str, Callable[[Context], Iterable[str]]] = {
    "container": _containers,
    "image": _images,
    "volume": _volumes,
    "network": _networks,
    "project": _projects,
}


def names_of(*nouns: str) -> Completer:
    """Return a completer of the names of containers, images and so on that begin with what has been typed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        taken = ctx.params.get(param.name or "") or ()
        found: set[str] = set()
        for noun in nouns:
            with contextlib.suppress(Exception):  # see above
                found |= {*_NOUNS[noun](invocation_of(ctx).context())}
        return sorted(name for name in found if name.startswith(incomplete) and name not in taken)

    return complete


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of what the command's group is about; of all that there is outside any group, as in `inspect`."""
    group = ctx.parent.info_name if ctx.parent else None
    nouns = (group,) if group in _NOUNS else tuple(noun for noun in _NOUNS if noun != "project")
    return names_of(*nouns)(ctx, param, incomplete)


def complete_profiles(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the profiles that the compose file names."""
    from pycompose.config.load import load

    try:
        loaded = load(invocation_of(ctx).load_options())
        services = (*loaded.tree["services"].values(), *loaded.disabled.values())
        found = {str(name) for service in services for name in service.get("profiles") or ()}
    except Exception:  # noqa: BLE001 - see above
        return []
    return sorted(name for name in found if name.startswith(incomplete))
