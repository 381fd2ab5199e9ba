"""What the facts mean, check by check. Pure: the same facts, the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor import judge_kernel, judge_machine, judge_rootless

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.doctor.facts import Facts
    from pycompose.doctor.rows import Row

# In the order in which they are worth reading.
CHECKS: tuple[Callable[[Facts], Row], ...] = (
    judge_kernel.user,
    judge_kernel.program,
    judge_kernel.kernel,
    judge_kernel.namespaces,
    judge_kernel.user_namespaces,
    judge_kernel.seccomp,
    judge_kernel.security_modules,
    judge_kernel.landlock,
    judge_kernel.groups,
    judge_kernel.swap,
    judge_kernel.device_filter,
    judge_kernel.birth,
    judge_kernel.exit_codes,
    judge_machine.overlay,
    judge_machine.state_directory,
    judge_machine.run_directory,
    judge_machine.network_devices,
    judge_machine.nftables,
    judge_machine.forwarding,
    judge_machine.ipv6,
    judge_machine.network_faults,
    judge_machine.firewalls,
    judge_machine.tun,
    judge_machine.inotify,
    judge_machine.open_files,
    judge_machine.processes,
    judge_machine.mounts,
    judge_machine.namespace_counts,
    judge_rootless.identities,
    judge_rootless.uplink,
    judge_rootless.low_ports,
    judge_rootless.runtime_directory,
    judge_rootless.linger,
    judge_rootless.home,
    judge_rootless.ping,
)


def verdicts(facts: Facts) -> list[Row]:
    """Return one row per check."""
    return [judge(facts) for judge in CHECKS]
