"""/volumes/…: volumes apart from any project."""

from __future__ import annotations

from pycompose.api import query
from pycompose.api.http import ApiAnswer, ApiCall, answer, done
from pycompose.api.shapes import VOLUME, checked
from pycompose.machine import volumes
from pycompose.machine.inspect import volume
from pycompose.volumes.store import PROJECT


def listing(call: ApiCall) -> ApiAnswer:
    """GET /volumes."""
    filters = query.filters(call)
    if call.scope:
        filters.append(f"label={PROJECT}={call.scope}")
    rows = volumes.rows(call.context, filters)
    return answer({"Volumes": [volume(call.context, row.name) for row in rows], "Warnings": None})


def inspect(call: ApiCall) -> ApiAnswer:
    """GET /volumes/NAME."""
    return answer(volume(call.context, call.names[0]))


def create(call: ApiCall) -> ApiAnswer:
    """POST /volumes/create."""
    body = checked(call.document(), VOLUME)
    name = volumes.create(
        call.context,
        body.get("Name") or "",
        body.get("Driver") or "local",
        body.get("DriverOpts") or {},
        body.get("Labels") or {},
    )
    return answer(volume(call.context, name), 201)


def remove(call: ApiCall) -> ApiAnswer:
    """DELETE /volumes/NAME."""
    volumes.remove(call.context, call.names[0], force=query.flag(call, "force"))
    return done()


def prune(call: ApiCall) -> ApiAnswer:
    """POST /volumes/prune: anonymous ones, with `all` named ones too."""
    found = query.sparing(call, "label", "all")
    everything = query.truth_filter(found, "all", default=False) or call.version < (1, 42)
    labels, without = query.label_filters(found)
    gone = volumes.prune(call.context, everything=everything, labels=labels, without=without)
    return answer({"VolumesDeleted": list(gone.names) or None, "SpaceReclaimed": gone.freed_bytes})
