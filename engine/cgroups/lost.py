"""What an ordinary user can't have of control groups: said, or refused to who insists on walls that hold.

Root of a user namespace has the groups that were delegated to him, and no filter of devices: the kernel takes such a
program (BPF_PROG_TYPE_CGROUP_DEVICE) from the machine's root only. Docker's rootless mode goes on without, too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import CgroupError, doctor_row
from pycompose.engine.paths import STRICT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.engine.config import Device

_NO_FILTER = "only root filters devices"


def insists() -> bool:
    """Tell whether what can't be had is to be an error."""
    return os.environ.get(STRICT_LIMITS) == "1"


def parent(name: str) -> str:
    """Return what to say of `cgroup_parent` where there is no group to put containers into; raises CgroupError."""
    reason = "this user has no control group"
    if insists():
        raise CgroupError(
            f"cgroup_parent: cannot use {name}: {reason} there",
            hint=f"remove the key from the service; {doctor_row('control groups')}",
        )
    return f"cgroup_parent has no effect: {reason} there; {doctor_row('control groups')}"


def filters(devices: Sequence[Device], rules: Sequence[str]) -> Iterator[str]:
    """Yield what to say of keys that only a filter of devices makes true; raises CgroupError.

    That a container may make nodes ("m") is no loss: in a user namespace nobody can.
    """
    for device in devices:
        if not {"r", "w"} <= set(device.permissions):
            if insists():
                raise _refused(f"devices: cannot restrict {device.source} to {device.permissions}")
            place = f"{device.permissions} of {device.source}"
            yield f"devices: {place} has no effect: {_NO_FILTER}, the permissions of its node hold"
    if rules:
        if insists():
            raise _refused(f'device_cgroup_rules: cannot set "{rules[0]}"')
        yield f"device_cgroup_rules has no effect: {_NO_FILTER}, the permissions of their nodes hold"


def _refused(what: str) -> CgroupError:
    return CgroupError(
        f"{what}: {_NO_FILTER}", hint=f"remove it from the service; {doctor_row('device filter')}"
    )
