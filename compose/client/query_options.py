"""What commands that only look ask of the use cases: the light half of options.py.

A dataclass costs 0.7 ms to make, and `ps` would pay for the thirty of all commands. The rules are those of options.py.
"""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """What an attached `up` shows: output of `services` from `since_ns` on, of later containers too.

    `watched` are the services whose exits are reported even when their output isn't shown, () is all of the
    project. The iterator ends when no watched container runs or is about to be restarted.
    """

    services: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    since_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PsOptions:
    """`ps`. `all` includes stopped and one-off containers; the command line filters and formats.

    `known_services` are those of the compose file: without `orphans`, containers of other services are left
    out.
    """

    services: tuple[str, ...] = ()
    all: bool = False
    orphans: bool = True
    known_services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsOptions:
    """`logs`. `tail` None is everything, `index` 0 is every replica, `until_ns` 0 is no end.

    A service with `attach: false` is skipped unless it is named.
    """

    services: tuple[str, ...] = ()
    follow: bool = False
    index: int = 0
    since_ns: int = 0
    until_ns: int = 0
    tail: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOptions:
    """`wait` until the containers of `services` have stopped."""

    services: tuple[str, ...]
    down_project: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOptions:
    """`port SERVICE PRIVATE_PORT`; `index` 0 is the lowest replica."""

    service: str
    port: int
    protocol: str = "tcp"
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOptions:
    """`top`: the processes of the running containers; of these only, when `ids` are given."""

    services: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsOptions:
    """`events`; `since_ns` 0 is from now on, `until_ns` 0 is for ever. `oneoffs` shows what `run` makes, too.

    `own_labels` are Compose's among a container's labels, which docker shows and Compose doesn't.
    """

    services: tuple[str, ...] = ()
    oneoffs: bool = False
    own_labels: bool = False
    since_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesOptions:
    """`images` that the created containers use."""

    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesOptions:
    """`volumes` of the project, or those that `services` use."""

    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LsOptions:
    """`ls`: projects with running containers, with `all` also the stopped ones.

    `names` are filters (substrings).
    """

    all: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsOptions:
    """`stats`; without `stream` one sample. `interval_s` lies between two samples. `ids` are the only ones shown."""

    services: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    all: bool = False
    stream: bool = True
    interval_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """`export` of a container's filesystem as tar, to `output` or ("") standard output; `container` is an id."""

    service: str
    container: str = ""
    output: str = ""
    index: int = 0
