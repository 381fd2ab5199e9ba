"""What is written to one file, and applied together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from pycompose.kube.scope import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The objects of one file. `service` is the service that they are of, "" for what several share.

    `after` are the services whose Jobs have to be done before.
    """

    name: str
    objects: tuple[Object, ...]
    service: str = ""
    after: tuple[str, ...] = ()
