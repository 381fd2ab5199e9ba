"""From what a service asks for to names of devices: `gpus`, reservations, `devices: vendor.com/class=name`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.cdi.spec import split_name
from pycompose.engine.errors import EngineError

if TYPE_CHECKING:
    from pycompose.cdi.registry import Registry
    from pycompose.model import DeviceRequest

# Whose driver comes first when none is named.
PREFERRED = ("nvidia.com/gpu", "amd.com/gpu")
ALL = "all"
GENERATE = (
    "nothing in /etc/cdi and /var/run/cdi describes any device; "
    "for NVIDIA's: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
)


def resolve(request: DeviceRequest, registry: Registry) -> list[str]:
    """Return the qualified names that a request stands for, all of which are there.

    Raises EngineError in Docker's words (moby daemon/devices.go, cdi.go).
    """
    if request.driver == "cdi":
        return _present(list(request.device_ids), registry)
    kind = _kind(request, registry)
    if request.device_ids:
        names = [name if split_name(name) else f"{kind}={name}" for name in request.device_ids]
        return _present(names, registry)
    names = _counted(kind, request, registry)
    return _present([f"{kind}={name}" for name in names], registry)


def _kind(request: DeviceRequest, registry: Registry) -> str:
    """Return the kind of device whose class is one of the capabilities, of the vendor that the driver names."""
    found = [
        kind
        for kind in (*PREFERRED, *registry.kinds())
        if kind in registry.kinds()
        and kind.partition("/")[2] in request.capabilities
        and (not request.driver or kind.startswith((f"{request.driver}.", f"{request.driver}/")))
    ]
    if not found:
        capabilities = f"[[{' '.join(request.capabilities)}]]" if request.capabilities else "[]"
        reason = f'could not select device driver "{request.driver}" with capabilities: {capabilities}'
        raise _error(reason, registry)
    return found[0]


def _counted(kind: str, request: DeviceRequest, registry: Registry) -> list[str]:
    """Return the names of as many devices as are asked for; -1 is all.

    Vendors number their devices, and may give them other names besides.
    """
    names = registry.names(kind)
    single = [name for name in names if name.isdigit()] or [name for name in names if name != ALL]
    if request.count < 0:
        return [ALL] if ALL in names else single
    if request.count > len(single):
        reason = f"{request.count} devices {kind} are asked for, there are {len(single)}"
        raise _error(reason, registry)
    return single[: request.count]


def _present(names: list[str], registry: Registry) -> list[str]:
    if absent := [name for name in names if not registry.has(name)]:
        reason = f"CDI device injection failed: unresolvable CDI devices {', '.join(absent)}"
        raise _error(reason, registry)
    return names


def _error(reason: str, registry: Registry) -> EngineError:
    there = [f"{kind}={name}" for kind in registry.kinds() for name in registry.names(kind)]
    hint = f"there are {', '.join(there)}" if there else GENERATE
    return EngineError(reason, hint="; ".join([*registry.problems, hint]))
