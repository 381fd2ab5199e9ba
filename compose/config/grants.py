"""What a service is given of the machine: capabilities, limits, parameters, ids. Findings for runnable.py.

Docker's engine says so when it makes or starts the container, one after the other and without a place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.config.bind import limits_of
from pycompose.engine.errors import CgroupError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.config.consistency import Finding
    from pycompose.config.tree import Map, Path

MAX_ID = 2**31 - 1
_ANY = "ALL"
# Keys whose ranges engine/cgroups/limits.py knows; what `deploy.resources` has for some of them.
_LIMITS = (
    "mem_limit", "memswap_limit", "mem_reservation", "mem_swappiness", "cpus", "cpu_quota", "cpu_period", "cpu_shares",
    "cpu_rt_runtime", "cpu_rt_period", "cpuset", "pids_limit", "blkio_config",
)  # fmt: skip
_DEPLOYED = {
    "mem_limit": ("limits", "memory"),
    "mem_reservation": ("reservations", "memory"),
    "cpus": ("limits", "cpus"),
    "pids_limit": ("limits", "pids"),
}


def capabilities(service: Map, _services: Map) -> Iterator[Finding]:
    """Find names that are no capabilities."""
    for key in ("cap_add", "cap_drop"):
        for index, text in enumerate(service.get(key) or ()):
            from pycompose.engine.linux.caps import CAPABILITIES  # noqa: PLC0415 - few have any

            name = str(text).upper().removeprefix("CAP_")
            if name != _ANY and name not in CAPABILITIES:
                yield (key, index), f'unknown capability "{text}"', _near(name, CAPABILITIES)


def _near(word: str, known: tuple[str, ...]) -> str:
    """Return a hint: the known word that is meant, or where all of them are told."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    close = get_close_matches(word, known, 1, 0.6)
    return f'did you mean "{close[0]}"?' if close else "see capabilities(7) for the names"


def ulimits(service: Map, _services: Map) -> Iterator[Finding]:
    """Find limits that there aren't, and soft ones above hard ones; a negative one is infinite."""
    for name, value in (service.get("ulimits") or {}).items():
        from pycompose.engine.linux.process import RLIMITS  # noqa: PLC0415 - few have any

        if name.lower().removeprefix("rlimit_") not in RLIMITS:
            yield ("ulimits", name), f'unknown limit "{name}"', f"known: {', '.join(sorted(RLIMITS))}"
        elif isinstance(value, dict):
            soft, hard = value.get("soft", 0), value.get("hard", 0)
            if hard >= 0 and not 0 <= soft <= hard:
                yield ("ulimits", name, "soft"), f"{soft} is above the hard limit {hard}", None


def limits(service: Map, _services: Map) -> Iterator[Finding]:
    """Find the first limit that is out of its range, or that this machine hasn't got so much for."""
    resources = (service.get("deploy") or {}).get("resources")
    if not resources and not any(key in service for key in _LIMITS):
        return
    from pycompose.engine.cgroups.limits import MEMORY_MIN_BYTES, check  # noqa: PLC0415 - few have any

    wanted = limits_of(service)
    if wanted.memory_bytes == -1:  # which lifts a limit, where there is one
        yield _place(service, "mem_limit"), f"the least is {MEMORY_MIN_BYTES} bytes (6 MiB)", "leave it out"
        return
    try:
        check(wanted)
    except CgroupError as exc:
        key, _, reason = exc.message.partition(": ")
        key, _, device = key.partition(" ")
        yield _place(service, key), f"{device}: {reason}" if device else reason, exc.hint


def _place(service: Map, key: str) -> Path:
    """Return where the value of a limit stands: at the service's own key, or in `deploy.resources`."""
    head, *rest = key.split(".")
    if head in service:
        inner = tuple(rest) if rest and rest[0] in service[head] else ()
        return (head, *inner)
    return ("deploy", "resources", *_DEPLOYED.get(head, ()))


def parameters(service: Map, _services: Map) -> Iterator[Finding]:
    """Find kernel parameters that aren't the container's own."""
    for key in service.get("sysctls") or {}:
        from pycompose.engine.sysctls import path_of  # noqa: PLC0415 - few have any

        modes = dict.fromkeys(("network", "ipc", "uts"), "private")
        for kind, name in (("network", "network_mode"), ("ipc", "ipc"), ("uts", "uts")):
            if service.get(name) == "host":
                modes[kind] = "host"
        try:
            path_of(key, **modes)
        except EngineError as exc:
            yield ("sysctls", key), "it is not the container's own", exc.hint


def device_rules(service: Map, _services: Map) -> Iterator[Finding]:
    """Find rules for devices that can't be read."""
    for index, text in enumerate(service.get("device_cgroup_rules") or ()):
        from pycompose.engine.cgroups.devices import parse_rule  # noqa: PLC0415 - few have any

        try:
            parse_rule(text)
        except CgroupError as exc:
            yield ("device_cgroup_rules", index), exc.message.partition(": ")[2], exc.hint


def identity(service: Map, _services: Map) -> Iterator[Finding]:
    """Find ids out of range, a directory that isn't absolute, and memory of a negative size."""
    for text in str(service.get("user") or "").split(":"):
        if text.removeprefix("-").isdecimal() and not 0 <= int(text) <= MAX_ID:
            yield ("user",), f"uids and gids must be in range 0-{MAX_ID}", None
    directory = service.get("working_dir") or "/"
    if not directory.startswith("/"):
        yield (
            ("working_dir",),
            f'the working directory "{directory}" is not absolute',
            "begin it with a slash",
        )
    if int(service.get("shm_size") or 0) < 0:
        yield ("shm_size",), "a size can't be less than 0", None
