"""From a profile to the bytes that are installed."""

from __future__ import annotations

import os

from pycompose.engine.errors import SeccompError, doctor_row
from pycompose.engine.linux import seccomp
from pycompose.engine.machine import machine_name
from pycompose.engine.seccomp.assembler import assemble
from pycompose.engine.seccomp.default import default_policy
from pycompose.engine.seccomp.machines import MACHINES
from pycompose.engine.seccomp.profile import Host, profile_policy, this_kernel

_HINT = f"security_opt: seccomp=unconfined runs a container without a filter; {doctor_row('seccomp')}"


def build(capabilities: int, profile: str) -> bytes:
    """Return the filter for a mask of capabilities and a profile in Docker's JSON ("": the default policy).

    Raises SeccompError for a profile that can't be used, and where this machine or its kernel has no filters.
    """
    name = machine_name()
    tables = MACHINES.get(name)
    if tables is None:
        raise SeccompError(f"seccomp: cannot filter system calls: no table for machine {name}", hint=_HINT)
    if not os.path.exists("/proc/sys/kernel/seccomp/actions_avail"):
        raise SeccompError("seccomp: cannot filter system calls: this kernel doesn't", hint=_HINT)
    policy = (
        profile_policy(profile, Host(tables, this_kernel(), capabilities))
        if profile
        else default_policy(tables, capabilities)
    )
    return seccomp.pack(assemble(policy), policy.flags)
