"""The flags of `container run` and `create` that say the same as a key of a service: a table for both sides of it."""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag that says the same as a key of a service.

    `path` is the key. `kind`: text, count (an integer), switch, list (repeated), pairs (repeated KEY=VALUE, a mapping),
    seconds (an integer that becomes a duration); rates, counts and weights (repeated DEVICE:NUMBER, a list of
    mappings; bytes with a unit, plain numbers, and 10 to 1000). Without `metavar` it takes no value.
    """

    names: tuple[str, ...]
    path: tuple[str, ...]
    kind: str
    metavar: str = ""
    help: str = ""

    @property
    def key(self) -> str:
        """What the flag's value is kept under."""
        return "_".join(self.path)


def _flag(names: str, path: str, kind: str, metavar: str, text: str) -> Flag:
    return Flag(
        names=tuple(names.split()), path=tuple(path.split(".")), kind=kind, metavar=metavar, help=text
    )


REPEATED = frozenset({"list", "pairs", "rates", "counts", "weights"})
# docker run --help, in its order.
FLAGS = (
    _flag("--add-host", "extra_hosts", "list", "HOST:IP", "One more name in /etc/hosts."),
    _flag("--annotation", "annotations", "list", "KEY=VALUE", "An annotation."),
    _flag("--blkio-weight", "blkio_config.weight", "count", "N", "Weight of block I/O (10 to 1000)."),
    _flag("--blkio-weight-device", "blkio_config.weight_device", "weights", "DEVICE:N", "The same for a device."),
    _flag("--cap-add", "cap_add", "list", "NAME", "Give this capability."),
    _flag("--cap-drop", "cap_drop", "list", "NAME", "Take this capability away."),
    _flag("--cgroup-parent", "cgroup_parent", "text", "PATH", "Control group above the container's."),
    _flag("--cgroupns", "cgroup", "text", "MODE", "host or private control group namespace."),
    _flag("--cpu-period", "cpu_period", "text", "US", "Period of the CPU quota."),
    _flag("--cpu-quota", "cpu_quota", "text", "US", "CPU time per period."),
    _flag("--cpu-rt-period", "cpu_rt_period", "text", "US", "Real-time period."),
    _flag("--cpu-rt-runtime", "cpu_rt_runtime", "text", "US", "Real-time CPU time per period."),
    _flag("-c --cpu-shares", "cpu_shares", "text", "N", "Weight of CPU time."),
    _flag("--cpus", "cpus", "text", "N", "Number of CPUs."),
    _flag("--cpuset-cpus", "cpuset", "text", "LIST", "These CPUs (0-2,4)."),
    _flag("--device", "devices", "list", "DEVICE", "A device of the host (SOURCE[:TARGET[:rwm]])."),
    _flag("--device-cgroup-rule", "device_cgroup_rules", "list", "RULE", "Allow devices (c 1:3 mr)."),
    _flag("--device-read-bps", "blkio_config.device_read_bps", "rates", "DEVICE:BYTES", "Read no more a second."),
    _flag("--device-read-iops", "blkio_config.device_read_iops", "counts", "DEVICE:N", "Read no more often a second."),
    _flag("--device-write-bps", "blkio_config.device_write_bps", "rates", "DEVICE:BYTES", "Write no more a second."),
    _flag("--device-write-iops", "blkio_config.device_write_iops", "counts", "DEVICE:N",
          "Write no more often a second."),
    _flag("--dns", "dns", "list", "ADDRESS", "A DNS server."),
    _flag("--dns-option", "dns_opt", "list", "OPTION", "An option of resolv.conf."),
    _flag("--dns-search", "dns_search", "list", "DOMAIN", "A search domain."),
    _flag("--domainname", "domainname", "text", "NAME", "NIS domain name."),
    _flag("-e --env", "environment", "list", "KEY=VALUE", "Set a variable (KEY alone: from here)."),
    _flag("--expose", "expose", "list", "PORT", "A port that -P publishes."),
    _flag("--group-add", "group_add", "list", "GROUP", "One more group."),
    _flag("--health-cmd", "healthcheck.test", "text", "COMMAND", "How to find out whether it is healthy."),
    _flag("--health-interval", "healthcheck.interval", "text", "TIME", "Time between two checks."),
    _flag("--health-retries", "healthcheck.retries", "text", "N", "Failures in a row until it is unhealthy."),
    _flag("--health-start-interval", "healthcheck.start_interval", "text", "TIME", "The same while it starts."),
    _flag("--health-start-period", "healthcheck.start_period", "text", "TIME", "How long it may take to start."),
    _flag("--health-timeout", "healthcheck.timeout", "text", "TIME", "How long a check may take."),
    _flag("-h --hostname", "hostname", "text", "NAME", "Host name."),
    _flag("--init", "init", "switch", "", "With an init that reaps processes and passes signals on."),
    _flag("-i --interactive", "stdin_open", "switch", "", "Pass standard input on."),
    _flag("--ipc", "ipc", "text", "MODE", "host, private, shareable, none or container:NAME."),
    _flag("-l --label", "labels", "list", "KEY=VALUE", "A label."),
    _flag("--label-file", "label_file", "list", "FILE", "Labels from a file."),
    _flag("--link", "external_links", "list", "NAME[:ALIAS]", "Another container under another name."),
    _flag("--log-driver", "logging.driver", "text", "NAME", "json-file, local, journald, syslog or none."),
    _flag("--log-opt", "logging.options", "pairs", "KEY=VALUE", "An option of it."),
    _flag("-m --memory", "mem_limit", "text", "BYTES", "Memory limit (64m, 1g)."),
    _flag("--memory-reservation", "mem_reservation", "text", "BYTES", "Soft memory limit."),
    _flag("--memory-swap", "memswap_limit", "text", "BYTES", "Memory plus swap, -1: no limit."),
    _flag("--memory-swappiness", "mem_swappiness", "text", "N", "0 to 100."),
    _flag("--no-healthcheck", "healthcheck.disable", "switch", "", "Without the image's health check."),
    _flag("--oom-kill-disable", "oom_kill_disable", "switch", "", "Without the kernel's OOM killer."),
    _flag("--oom-score-adj", "oom_score_adj", "count", "N", "Who the OOM killer takes (-1000 to 1000)."),
    _flag("--pid", "pid", "text", "MODE", "host or container:NAME."),
    _flag("--pids-limit", "pids_limit", "text", "N", "Most processes, -1: no limit."),
    _flag("--platform", "platform", "text", "OS/ARCH", "Platform of the image."),
    _flag("--privileged", "privileged", "switch", "", "With all capabilities and devices."),
    _flag("-p --publish", "ports", "list", "PORT", "Publish a port (8080:80)."),
    _flag("--read-only", "read_only", "switch", "", "Root file system read-only."),
    _flag("--security-opt", "security_opt", "list", "OPTION", "no-new-privileges, seccomp=…, …"),
    _flag("--shm-size", "shm_size", "text", "BYTES", "Size of /dev/shm."),
    _flag("--stop-signal", "stop_signal", "text", "SIGNAL", "Signal that ends it."),
    _flag("--stop-timeout", "stop_grace_period", "seconds", "SECONDS", "Time to end before it is killed."),
    _flag("--sysctl", "sysctls", "list", "KEY=VALUE", "A kernel parameter."),
    _flag("--tmpfs", "tmpfs", "list", "PATH[:OPTIONS]", "A tmpfs."),
    _flag("-t --tty", "tty", "switch", "", "With a terminal."),
    _flag("-u --user", "user", "text", "USER[:GROUP]", "As this user."),
    _flag("--userns", "userns_mode", "text", "MODE", "User namespace."),
    _flag("--uts", "uts", "text", "MODE", "host: the machine's host name."),
    _flag("--volumes-from", "volumes_from", "list", "NAME[:ro]", "The volumes of another container."),
    _flag("-w --workdir", "working_dir", "text", "DIR", "In this directory."),
)  # fmt: skip
