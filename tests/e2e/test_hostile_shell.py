"""What the shell of the first caller has set for itself doesn't reach the project's processes."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.scenario import Host

COMPOSE = """
services:
  app:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    hostname: app
    volumes: [data:/data, ./made:/made]
    networks: {net: {aliases: [friend]}}
volumes: {data: }
networks: {net: }
"""
# What a program sees of itself that it can have inherited.
LOOK = """
cat /proc/PID/status | grep -E '^(Sig(Ign|Blk|Cgt)|Cap|NoNewPrivs|Umask|Cpus_allowed:|THP)'
cat /proc/PID/limits /proc/PID/personality /proc/PID/oom_score_adj /proc/PID/coredump_filter
cut -d' ' -f19,41 /proc/PID/stat
"""
# A shell as bad as it can be: each line is one thing that children inherit.
HOSTILE = """
import ctypes, os, resource, signal, sys
libc = ctypes.CDLL(None)
os.umask(0o777)
os.setpriority(os.PRIO_PROCESS, 0, 7)
libc.personality(0x0040000 | 0x0400000)                       # ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
libc.syscall(NR_IOPRIO_SET, 1, 0, 3 << 13)                    # idle
libc.prctl(29, 1_000_000_000, 0, 0, 0)                        # timer slack
libc.prctl(41, 1, 0, 0, 0)                                    # no transparent huge pages
libc.prctl(28, 1 << 2, 0, 0, 0)                               # SECBIT_NO_SETUID_FIXUP
soft = {"STACK": 256 * 1024, "CORE": 0, "FSIZE": 1 << 30, "NOFILE": 200, "MSGQUEUE": 1000, "SIGPENDING": 100,
        "MEMLOCK": 4096, "CPU": 500, "RSS": 1 << 30, "DATA": 1 << 33}
for name, value in soft.items():
    number = getattr(resource, "RLIMIT_" + name)
    resource.setrlimit(number, (value, resource.getrlimit(number)[1]))
open("/proc/self/oom_score_adj", "w").write("500")
open("/proc/self/coredump_filter", "w").write("0x7f")
for number in (1, 2, 3, 10, 12, 13, 15, 17, 28, 34):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 10, 14, 15, 17, 40})
os.environ.update(LC_ALL="en_US.ISO-8859-1", LANG="C", LEAK_ME="yes", PYTHONUTF8="0", TMPDIR="/nowhere")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def seen(host: Host, folder: Path) -> dict[str, str]:
    """Return what is inherited by the container, an exec and a new start, and what is made for it."""
    look = LOOK.replace("PID", "1")
    own = LOOK.replace("PID", "self")

    def inside(*command: str) -> str:
        return host.run("exec", "-T", *command, cwd=folder).ok().stdout

    found = {
        "container": inside("app", "sh", "-c", look),
        "exec": inside("app", "sh", "-c", own),
        "environment": inside("app", "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | sort"),
        "files": inside(
            "app", "stat", "-c", "%n %a", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/data", "/made"
        ),
        "limits by group": inside("app", "sh", "-c", "ls -ld /sys/fs/cgroup/memory | cut -c1-10"),
        "name": inside(
            "-u", "1000", "app", "sh", "-c", "nslookup friend >/dev/null 2>&1 && cat /etc/hosts | head -n 1"
        ),
    }
    host.run("restart", cwd=folder).ok()
    return found | {"after a restart": inside("app", "sh", "-c", look)}


def people(host: Host) -> dict[str, str]:
    """Return the same of supervisor and keeper, without what they choose for themselves."""
    found = {}
    for who in ("pycompose.supervisor", "pycompose.engine.keeper"):
        pid = host.process(who)
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        wanted = ("Umask", "CapInh", "CapAmb", "CapEff", "Cpus_allowed:", "NoNewPrivs", "THP_enabled")
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        found[who] = "\n".join(
            [
                *(line for line in status if line.startswith(wanted)),
                *(line for line in limits if not line.startswith("Max open files")),
                Path(f"/proc/{pid}/personality").read_text(encoding="ascii"),
                f"nice {stat[16]} policy {stat[38]}",
            ]
        )
    return found


def test_nothing_of_a_hostile_shell_is_inherited(busy: Host) -> None:
    """All is as from a clean one: in the container, in an exec, after a restart, in supervisor and keeper."""
    clean = busy.project({"compose.yaml": COMPOSE}, "clean")
    busy.run("up", "-d", cwd=clean).ok()
    wanted = seen(busy, clean), people(busy)
    busy.run("down", "-v", cwd=clean).ok()

    hostile = busy.project({"compose.yaml": COMPOSE}, "hostile")
    program = HOSTILE.replace("NR_IOPRIO_SET", {"x86_64": "251", "aarch64": "30"}[os.uname().machine])
    busy.command([sys.executable, "-c", program, "pycompose", "up", "-d"], cwd=hostile).ok()

    got = seen(busy, hostile), people(busy)
    for part, other in zip(wanted, got, strict=True):
        for name, text in part.items():
            assert other[name] == text, name
    assert "LEAK_ME" not in got[0]["environment"]
    assert stat.S_IMODE((hostile / "made").stat().st_mode) == 0o755
    assert got[0]["name"].startswith("127.0.0.1")
    busy.run("down", "-v", cwd=hostile).ok()


@pytest.mark.parametrize("command", ("up", "create"))
def test_no_new_privs_cannot_be_undone_and_is_told(busy: Host, command: str) -> None:
    """It lasts as long as the supervisor: later commands from clean shells are told, too."""
    folder = busy.project({"compose.yaml": COMPOSE})
    flags = ["-d"] if command == "up" else []
    words = "no_new_privs was set in the shell that has started this project"
    first = busy.command(["setpriv", "--no-new-privs", "pycompose", command, *flags], cwd=folder).ok()
    started = set(busy.processes("pycompose.supervisor"))
    later = busy.run("up", "-d", cwd=folder).ok()

    # A supervisor of containers that don't run ends after 2 s; on a slow machine the second command starts its own.
    lasts = bool(started & set(busy.processes("pycompose.supervisor")))
    assert lasts or command == "create"
    assert words in first.stderr
    assert (words in later.stderr) == lasts
    busy.run("down", "-v", cwd=folder).ok()
    assert "no_new_privs" not in busy.run("up", "-d", cwd=folder).ok().stderr
    busy.run("down", "-v", cwd=folder).ok()
