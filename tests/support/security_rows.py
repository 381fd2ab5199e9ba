"""How tight a container is, here and in Docker: what inspection.py has found, compared and written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.inspection import tries
from tests.support.seccomp_record import ABIS, LAST, STRICTER, docker_rows

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"
RECORD = Path(__file__).with_name("security_record.json")

Rows = Mapping[str, Sequence[str]]

# Rows that depend on whoever has started the engine: shown, and not compared.
INHERITED = ("limits",)
# Rows whose texts begin with a place or a name, which get a table of their own.
DETAILED = {"mounts": "mounted at", "nodes that can be made and opened": "device"}
NOTHING = "nothing"
# Rows of which it is told what was tried in vain, too.
TRIED = ("attempts by root", "attempts by an ordinary user")

CGROUPS = (
    "Docker hides them with cgroup v2 only. A program that takes the paths in `/proc/self/cgroup` for the "
    "machine's (old monitoring agents) finds `/`; `cgroup: host` gives it what Docker gives."
)
TMPFS = "It is the directory in which v1's hierarchies are mounted; nothing is known to need it."
TUN = (
    "A VPN in a container needs `devices: [/dev/net/tun]` beside its `cap_add: [NET_ADMIN]`, even if it makes "
    "the node itself. runc lets it through for old images."
)
ALG = (
    "Sockets of AF_ALG have been a way to root, and current Docker refuses them too. OpenSSL's `afalg` engine "
    "falls back to its own code, `cryptsetup benchmark` doesn't work."
)
# Where a container of ours may do less: (row, what it hasn't got) → what that breaks.
EXPLAINED = {
    ("namespaces of the machine", "cgroup"): CGROUPS,
    ("control groups", "names of the machine's groups"): CGROUPS,
    ("control groups", "makes groups"): TMPFS,
    ("mounts", "/sys/fs/cgroup write"): TMPFS,
    ("telling files that are readable", "/proc/interrupts"): (
        "Current Docker hides it too. `irqbalance` and tools that show interrupts; `systempaths=unconfined` shows it."
    ),
    ("nodes that can be made and opened", "tun: read"): TUN,
    ("nodes that can be made and opened", "tun: write"): TUN,
    ("nodes that can be made and opened", "fuse: make"): (
        "Nothing: a node that was made could not be opened. File systems in user space need "
        "`devices: [/dev/fuse]`, as there."
    ),
    ("attempts by root", "the kernel's cryptography"): ALG,
    ("attempts by an ordinary user", "the kernel's cryptography"): ALG,
}  # fmt: skip

HEAD = """\
# How tight a container is

What a service without any hardening key has and may do, beside the same service in Docker {docker} (kernel
{kernel}). A script has looked at real containers of both from inside: it reads what a process is told,
opens what might be opened, and tries what might be allowed. **No row is looser than Docker's.**

This file is made by `python -m tests.support.security_table`, which needs root and a Docker of its own, and
keeps what it saw in [security_record.json](../tests/support/security_record.json).
`tests/e2e/test_security_table.py` looks at a container of ours again in every run of the tests, and
compares with that.

## Side by side

| | here | Docker |
| --- | --- | --- |
"""
REFUSED = """
## What was tried in vain by both

{names}.
"""
CALLS = """
## System calls

Every number of the three ways into an x86_64 kernel was asked for by a process inside, and each argument
that Docker's profile looks at: {allowed}. The two decide alike, with each capability added too
(`tests/linux/engine/test_seccomp.py`), but for what only Docker's lets through:

{stricter}
An unknown number is answered "no such call" (ENOSYS), so that programs fall back, and what is known and
refused "not permitted" (EPERM). aarch64 has the same policy by name.

## Where a container has less than Docker's, and what that breaks

"""
TAIL = """
## What the table can't show

* **Limits** are what the engine was started with, in Docker. Here they are set: 1024 open files, 524288 at
  most (or as many as whoever started the project may have), processes and core files without limit,
  whatever the caller's shell has.
* **AppArmor** isn't in the kernel of the record. Where it is, each container, whatever is executed in it, and each step
  of a build is in the profile `pycompose-default`, which decides as `docker-default` does: no mounts, no writing to
  `/proc/sys` and `/sys`, signals and tracing among those in the profile only (`tests/linux/security/test_apparmor.py`).
  It is given to the kernel when a container needs it, by `apparmor_parser`: where that is missing, or
  `/sys/kernel/security` isn't mounted, containers have no profile, as with Docker, and `doctor` says so.
  `security_opt: apparmor=PROFILE` names another one, which has to be loaded; `apparmor=unconfined` and
  `privileged: true` give none. A profile that is asked for where the kernel has no AppArmor is an error.
* **`/proc/dynamic_debug`**, which the kernel of the record lacks, is read-only. Docker leaves it to root of a
  container, who can fill the machine's log through it.
* **SELinux** labels are given to nobody (so Docker by default, too). `label=disable` says so; any other `label=` is
  an error, whether the kernel has SELinux or not.
* **Limits of resources** hold against a container that makes user namespaces, too (`seccomp=unconfined`):
  they stand one group above what it can mount. Those of v1's `blkio` don't.
* **Other users of the machine** list, read and connect to nothing of a project: the state directories are closed,
  and neither interfaces nor the arguments of our processes tell its name (`tests/e2e/test_other_users.py`).
  What they see, as with Docker: that containers run, their ids (`/proc/PID/cgroup`) and commands. Who has
  the user id that a process of a container runs as may signal it and look into it: there is one set of ids.
* **`image: host`** leaves out what others may not read, as it is at a start. What comes into `/usr` and `/opt` later
  shows in the containers that run already, and their root can read it until they are made anew.
* **`privileged: true`** takes all of it away, as in Docker.

## Attacks

Each class of faults that engines of containers have had is tried on a real container in
`tests/linux/security/test_cve_*.py`.
"""


def looser(ours: Rows, docker: Rows) -> list[str]:
    """Return what containers of ours have or may, and Docker's don't."""
    return [
        f"{row}: {text}"
        for row, texts in ours.items()
        if row not in INHERITED
        for text in sorted(set(texts) - set(docker[row]))
    ]


def stricter(ours: Rows, docker: Rows) -> list[tuple[str, str]]:
    """Return row and text of what only Docker's containers have or may."""
    return [
        (row, text)
        for row, texts in docker.items()
        if row not in INHERITED
        for text in sorted(set(texts) - set(ours[row]))
    ]


def load() -> tuple[dict[str, str], dict[str, list[str]], dict[str, list[str]]]:
    """Return the record: versions, our rows, Docker's."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return record["versions"], record["pycompose"], record["docker"]


def document(versions: Mapping[str, str], ours: Rows, docker: Rows) -> str:
    """Return the text of docs/security.md."""
    parts = [HEAD.format(**versions)]
    shown = {row: (ours[row], docker[row]) for row in ours if row not in DETAILED}
    for row in INHERITED:
        both = set(ours[row]) & set(docker[row])
        shown[row] = (
            [text for text in ours[row] if text not in both],
            [text for text in docker[row] if text not in both],
        )
    parts += [line(row, *pair) for row, pair in shown.items()]
    for row, title in DETAILED.items():
        parts.append(f"\n## {row.capitalize()}\n\n| {title} | here | Docker |\n| --- | --- | --- |\n")
        mine, theirs = by_first_word(ours[row]), by_first_word(docker[row])
        parts += [line(key, mine.get(key, []), theirs.get(key, [])) for key in sorted({*mine, *theirs})]
    parts.append(
        REFUSED.format(
            names=", ".join(name for name in tries() if all(name not in docker[row] for row in TRIED))
        )
    )
    parts.append(CALLS.format(allowed=_allowed(), stricter=_stricter_calls()))
    reasons: dict[str, list[str]] = {}
    for row, text in stricter(ours, docker):
        reasons.setdefault(EXPLAINED[row, text], []).append(f"{row}: {text}")
    parts += [f"* **{'; '.join(what)}.** {why}\n" for why, what in reasons.items()]
    return "".join([*parts, TAIL])


def line(name: str, ours: Sequence[str], docker: Sequence[str]) -> str:
    """Return a line of a table."""
    second = "the same" if sorted(ours) == sorted(docker) else ", ".join(docker) or NOTHING
    return f"| {name} | {', '.join(ours) or NOTHING} | {second} |\n"


def by_first_word(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return what follows the first word of each text, or the part before a colon; a place alone is a bind."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, _, rest = text.partition(": ") if ": " in text else text.partition(" ")
        found.setdefault(key, []).append(rest or "from the disk")
    return found


def _allowed() -> str:
    """Return how many numbers are let through, by the way into the kernel."""
    rows = docker_rows("default")
    counts = [
        f"{sum(rows.get((way, number), 1) == 0 for number in range(LAST + 1))} of {way}"
        for way in ABIS
        if way != "x32"
    ]
    return f"{' and '.join(counts)} are let through"


def _stricter_calls() -> str:
    """Return a line for each reason why ours refuses what the recorded profile lets through."""
    reasons: dict[str, list[str]] = {}
    for (call, argument), why in STRICTER.items():
        reasons.setdefault(why, []).append(f"{call}({argument:#x})")
    return "".join(f"* `{'`, `'.join(calls)}`: {why}.\n" for why, calls in reasons.items())
