"""The AppArmor profile of containers that name none; its decisions are those of Docker's `docker-default`.

What it forbids is out of reach by other means, too, as long as a container has Docker's capabilities: the profile is
what holds one that was given more, CAP_SYS_ADMIN above all. The language is apparmor.d(5). It has no "all but": a
pattern each for what begins otherwise, letter by letter.
"""

from __future__ import annotations

import os

from pycompose.engine.errors import EngineError
from pycompose.engine.machine import has_apparmor

DEFAULT = "pycompose-default"
INTERFACE = "/sys/kernel/security/apparmor"
_PARSERS = ("/usr/sbin/apparmor_parser", "/sbin/apparmor_parser")
_UNCONFINED = "unconfined"
_PARSER_S = 60

_ALLOWED = ("network", "capability", "file", "umount", "unix")
# Directories that are left out: those of processes, /proc/sys, of that kernel/shm*; and control groups.
_NO_WRITING = (
    "/proc/*",
    "/proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/**",
    "/proc/sys/[^k]**",
    "/proc/sys/kernel/{?,??,[^s][^h][^m]**}",
)
_NO_CHANGE = (
    "/sys/[^f]*/**",
    "/sys/f[^s]*/**",
    "/sys/fs/[^c]*/**",
    "/sys/fs/c[^g]*/**",
    "/sys/fs/cg[^r]*/**",
)
_NOTHING = (
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/sys/firmware/**",
    "/sys/devices/virtual/powercap/**",
    "/sys/kernel/security/**",
)


def parser() -> str:
    """Return the path of the program that compiles profiles, "" where there is none."""
    return next((path for path in _PARSERS if os.access(path, os.X_OK)), "")


def default_profile() -> str:
    """Return the name of the profile for a container that names none; "" where none can be loaded."""
    return DEFAULT if has_apparmor() and os.access(f"{INTERFACE}/.load", os.W_OK) and parser() else ""


def is_loaded(name: str) -> bool:
    """Tell whether the kernel has a profile; False where it doesn't say."""
    try:
        with open(f"{INTERFACE}/profiles", encoding="utf-8") as file:
            return any(line.rpartition(" (")[0] == name for line in file)
    except OSError:
        return False


def load_default() -> None:
    """Give the kernel the default profile if it hasn't got it: after a boot, or when somebody has removed it.

    Raises EngineError.
    """
    if is_loaded(DEFAULT):
        return
    import subprocess  # noqa: PLC0415 - once per boot

    program = parser()
    reason = "there is no apparmor_parser"
    if program:
        try:
            done = subprocess.run(
                [program, "-r", "-K", "-f", INTERFACE],
                input=profile(DEFAULT, _own_label()),
                capture_output=True,
                text=True,
                timeout=_PARSER_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            reason = f"{program}: {exc}"
        else:
            if done.returncode == 0:
                return
            reason = f"{program}: {done.stderr.strip() or done.returncode}"
    raise EngineError(
        f"AppArmor profile {DEFAULT}: cannot load: {reason}",
        hint="`security_opt: [apparmor=unconfined]` runs the container without one",
    )


def profile(name: str, own_label: str = _UNCONFINED) -> str:
    """Return the text of the profile; processes of the label `own_label`, ours, may signal the container's."""
    senders = dict.fromkeys((_UNCONFINED, own_label))
    rules = [
        *_ALLOWED,
        *(f'signal (receive) peer="{label}"' for label in senders),
        f'signal (send, receive) peer="{name}"',
        f'ptrace (trace, read, tracedby, readby) peer="{name}"',
        "deny mount",
        *(f"deny {path} w" for path in _NO_WRITING),
        *(f"deny {path} wklx" for path in _NO_CHANGE),
        *(f"deny {path} rwklx" for path in _NOTHING),
    ]
    body = "".join(f"  {rule},\n" for rule in rules)
    return f"profile {name} flags=(attach_disconnected, mediate_deleted) {{\n{body}}}\n"


def _own_label() -> str:
    """Return what profile we are in: "NAME (enforce)", or "unconfined"."""
    try:
        with open("/proc/self/attr/current", encoding="utf-8") as file:
            return file.read().rstrip("\0\n").rpartition(" (")[0] or _UNCONFINED
    except OSError:
        return _UNCONFINED
