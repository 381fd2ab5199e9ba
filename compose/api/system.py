"""What the server tells of itself and of the machine, and what other daemons have and we don't."""

from __future__ import annotations

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.machine import builds, containers, images, system
from pycompose.machine.inspect import volume
from pycompose.machine.inspect_container import stamp
from pycompose.machine.versions import server_version


def ping(_call: ApiCall) -> ApiAnswer:
    """GET and HEAD /_ping."""
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
    )
    return ApiAnswer(headers=headers, body=b"OK")


def options(_call: ApiCall) -> ApiAnswer:
    """OPTIONS of any path: there is nothing to say."""
    return ApiAnswer()


def moved(call: ApiCall) -> ApiAnswer:
    """Any path with `//`, `.` or `..` in it."""
    return ApiAnswer(status=301, headers=(("Location", call.path),))


def version(_call: ApiCall) -> ApiAnswer:
    """GET /version."""
    return answer(server_version())


def info(call: ApiCall) -> ApiAnswer:
    """GET /info."""
    return answer(system.information(call.context))


_KINDS = ("container", "image", "volume", "build-cache")


def disk_usage(call: ApiCall) -> ApiAnswer:
    """GET /system/df."""
    from pycompose.api.container_rows import sized_rows  # noqa: PLC0415 - few ask
    from pycompose.api.images import rows as image_rows  # noqa: PLC0415 - as above

    for kind in call.query.get("type", []):
        if kind not in _KINDS:
            raise ApiError(400, f"unknown object type: {kind}")
    context = call.context
    disk = images.disk_usage(context)
    sizes = {name: (size, used) for name, size, used in system.volume_sizes(context)}
    found = []
    for name, (size, used) in sizes.items():
        found.append({**volume(context, name), "UsageData": {"RefCount": int(used), "Size": size}})
    views = containers.views(context, everything=True)
    cache = [
        {
            "ID": row.id,
            "Type": row.kind,
            "Description": row.title,
            "InUse": row.in_use,
            "Shared": False,
            "Size": row.size_bytes,
            "CreatedAt": stamp(round(row.created_s * 1e9)),
            "LastUsedAt": stamp(round(row.used_s * 1e9)) if row.used_s else None,
            "UsageCount": 0,
        }
        for row in builds.cache_rows(context)
    ]
    return answer(
        {
            "LayersSize": disk.layers_bytes,
            "Images": image_rows(context, [], everything=True),
            "Containers": sized_rows(context, views),
            "Volumes": found,
            "BuildCache": cache,
        }
    )


def plugins(_call: ApiCall) -> ApiAnswer:
    """GET /plugins: there are none."""
    return answer([])


def session(_call: ApiCall) -> ApiAnswer:
    """POST /session: BuildKit's, which there is none of; clients build by POST /build then."""
    raise ApiError(404, "page not found")
