"""Flags that nothing else uses, many in one command: what each does is seen inside, or in what is printed."""

from __future__ import annotations

import json
import re
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.effects.table import commands, flags_of
from tests.support.registry import PASSWORD, USER, registry
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host, Result

WAIT = "init: true, command: [sleep, '1000']"
# These look on until something ends, with or without `--dry-run`.
WAITING = frozenset({"wait", "watch"})
FLAGS = (
    ("--add-host", "far.example:10.1.2.3"), ("--annotation", "a=b"), ("--cgroup-parent", "/above"),
    ("--cgroupns", "host"), ("--cpu-period", "60000"), ("--cpu-quota", "30000"), ("--cpu-shares", "512"),
    ("--cpuset-cpus", "0"), ("--cpuset-mems", "0"), ("--device-cgroup-rule", "c 250:* r"),
    ("--dns", "192.0.2.53"), ("--dns-option", "ndots:3"), ("--dns-search", "a.example"), ("--domainname", "dom"),
    ("--group-add", "777"), ("--health-cmd", "true"), ("--health-interval", "1m"), ("--health-retries", "7"),
    ("--health-start-interval", "2s"), ("--health-start-period", "3s"), ("--health-timeout", "4s"),
    ("--hostname", "box"), ("--ipc", "none"), ("--label-file", "labels"), ("--log-driver", "local"),
    ("--log-opt", "max-size=3m"), ("--memory", "64m"), ("--memory-reservation", "32m"), ("--memory-swap", "96m"),
    ("--memory-swappiness", "10"), ("--oom-kill-disable", ""), ("--oom-score-adj", "55"), ("--pids-limit", "44"),
    ("--read-only", ""), ("--shm-size", "1m"), ("--stop-signal", "SIGUSR1"), ("--stop-timeout", "3"),
    ("--sysctl", "net.ipv4.ip_default_ttl=77"), ("--tmpfs", "/scratch:size=2m"), ("--user", "app"),
    ("--ulimit", "nofile=100:200"), ("--pull", "missing"), ("--workdir", "/srv"), ("--env", "A=1"),
    ("--ip", "10.215.0.9"),
    ("--ip6", "fd00:78::9"), ("--mac-address", "02:00:00:00:00:07"), ("--network", "mesh"),
    ("--platform", "linux/amd64"), ("--userns", "host"), ("--link", "far:near"),
)  # fmt: skip
# What a script says inside of each.
PROBE = """
grep far.example /etc/hosts; cd /sys/fs/cgroup; cat cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us cpu/cpu.shares
cat cpuset/cpuset.cpus cpuset/cpuset.mems memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes
cat memory/memory.memsw.limit_in_bytes memory/memory.swappiness pids/pids.max; cd /srv
grep -w oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control
grep -o '/above/' /proc/self/cgroup | sort -u; cat /proc/sys/kernel/domainname; hostname; id -G; id -un
grep -c ' /dev/shm ' /proc/mounts; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl
df -k /scratch | awk 'END {print $2}'; ulimit -n; ulimit -Hn; echo $PWD0$A; cat /sys/class/net/eth0/address
ip -o addr show dev eth0 | grep -o -e 10.215.0.9 -e fd00:78::9; touch /x 2>&1 | grep -c Read-only
grep -o -e a.example -e ndots:3 /etc/resolv.conf
"""
SEEN = [
    "10.1.2.3\tfar.example", "60000", "30000", "512", "0", "0", "67108864", "33554432", "100663296", "10", "44",
    "oom_kill_disable 1", "/above/", "dom", "box", "1000 777 1001", "app", "0", "55", "77", "2048", "100",
    "200", "1", "02:00:00:00:00:07", "10.215.0.9", "fd00:78::9", "1", "a.example", "ndots:3",
]  # fmt: skip


def ok(host: Host, *arguments: str, cwd: Path | None = None) -> str:
    """Run a command; return what it prints."""
    return host.run(*arguments, cwd=cwd).ok().stdout


@contextmanager
def registered(host: Host, folder: Path, *, auth: bool = False) -> Iterator[str]:
    """Run a registry on the machine; give its address."""
    manager = registry(folder, auth=auth)
    running = host.inside(manager.__enter__)
    try:
        yield running.host
    finally:
        host.inside(lambda: manager.__exit__(None, None, None))


def test_what_a_container_is_run_with(busy: Host) -> None:
    """Every flag that says the same as a key of a service."""
    folder = busy.project({"labels": "from.file=yes\n"})
    ok(busy, "network", "create", "mesh", "--subnet", "10.215.0.0/24", "--subnet", "fd00:78::/64", "--ipv6")
    ok(
        busy,
        "container",
        "run",
        "-d",
        "--init",
        "--name",
        "far",
        "--network",
        "mesh",
        "busybox",
        "sleep",
        "1000",
    )
    flags = [word for pair in FLAGS for word in pair if word]
    ran = busy.run("container", "run", "--name", "it", *flags, "busybox", "sh", "-c", PROBE, cwd=folder).ok()
    (shown,) = busy.run("container", "inspect", "it").ok().json()
    ok(busy, "container", "rm", "-f", "it", "far")
    ok(busy, "network", "rm", "mesh")

    assert ran.stdout.splitlines() == SEEN
    assert shown["HostConfig"]["Annotations"] == {"a": "b"}
    assert shown["Config"]["Labels"]["from.file"] == "yes"
    assert shown["Config"]["StopSignal"] == "SIGUSR1"
    assert shown["Config"]["StopTimeout"] == 3
    assert shown["HostConfig"]["LogConfig"] == {
        "Type": "local",
        "Config": {"max-size": "3145728", "max-file": "5"},
    }
    health = shown["Config"]["Healthcheck"]
    assert health["Retries"] == 7
    assert {key: health[key] // 10**9 for key in ("Interval", "StartInterval", "StartPeriod", "Timeout")} == {
        "Interval": 60, "StartInterval": 2, "StartPeriod": 3, "Timeout": 4,
    }  # fmt: skip


def test_modes_of_a_container(busy: Host) -> None:
    """Namespaces of the machine, no health check, signals that aren't passed on."""
    same = 'for n in pid uts; do test "$(readlink /proc/1/ns/$n)" = "$(readlink /proc/self/ns/$n)" && echo $n; done'
    flags = ("--pid", "host", "--uts", "host", "--privileged")
    assert ok(busy, "container", "run", "--rm", *flags, "busybox", "sh", "-c", same) == "pid\nuts\n"
    script = "trap 'echo told' TERM; echo up; read x; echo end"
    run = busy.spawn("container", "run", "--rm", "-i", "--sig-proxy=false", "busybox", "sh", "-c", script)
    run.expect("up")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() != 0
    assert "told" not in run.output
    eventually(lambda: ok(busy, "container", "ls", "-q") == "")
    ok(busy, "image", "tag", "busybox", "checked")
    folder = busy.project({"Dockerfile": "FROM busybox\nHEALTHCHECK CMD true\n"})
    ok(busy, "image", "build", "-t", "checked", ".", cwd=folder)
    for flag, checked in (((), True), (("--no-healthcheck",), False)):
        name = ok(busy, "container", "create", *flag, "checked", "true").strip()
        test = ok(busy, "container", "inspect", "-f", "{{json .Config.Healthcheck}}", name)
        assert ("true" in test) == checked
        ok(busy, "container", "rm", name)


def test_update(busy: Host) -> None:
    """Each limit is in its file at once."""
    ok(busy, "container", "run", "-d", "--init", "--name", "it", "busybox", "sleep", "1000")
    files = {
        "--cpu-period": ("60000", "cpu/cpu.cfs_period_us"),
        "--cpu-quota": ("30000", "cpu/cpu.cfs_quota_us"),
        "--cpu-shares": ("512", "cpu/cpu.shares"),
        "--cpuset-cpus": ("0", "cpuset/cpuset.cpus"),
        "--cpuset-mems": ("0", "cpuset/cpuset.mems"),
        "--memory-swap": ("100663296", "memory/memory.memsw.limit_in_bytes"),
        "--memory": ("67108864", "memory/memory.limit_in_bytes"),
        "--memory-reservation": ("33554432", "memory/memory.soft_limit_in_bytes"),
        "--pids-limit": ("44", "pids/pids.max"),
    }
    flags = [word for flag, (value, _) in files.items() for word in (flag, value)]
    ok(busy, "container", "update", *flags, "it")
    script = "cd /sys/fs/cgroup; cat " + " ".join(file for _, file in files.values())
    seen = ok(busy, "container", "exec", "it", "sh", "-c", script).split()
    refused = busy.run("container", "update", "--cpus", "0.5", "it").exited(1).stderr
    ok(busy, "container", "rm", "-f", "it")
    unbounded = "--init --name it --cpu-quota -1 busybox sleep 1000"
    ok(busy, "container", "run", "-d", *unbounded.split())
    ok(busy, "container", "update", "--cpus", "0.5", "it")
    half = ok(busy, "container", "exec", "it", "cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    ok(busy, "container", "rm", "-f", "it")

    assert seen == [value for value, _ in files.values()]
    assert "cpus: cannot set 0.5: conflicts with cpu_quota 30000" in refused
    assert half == "50000\n"


def test_commands_for_one_container(busy: Host, tmp_path: Path) -> None:
    """exec, logs, cp, commit, export, ls, inspect, rm, stop, stats."""
    script = "echo one; sleep 0.5; echo two; trap '' TERM; while :; do sleep 0.1; done"
    ok(
        busy,
        "container",
        "run",
        "-d",
        "--name",
        "it",
        "-v",
        "/data",
        "--stop-timeout",
        "60",
        "busybox",
        "sh",
        "-c",
        script,
    )
    eventually(lambda: "two" in ok(busy, "container", "logs", "it"))
    look = "id -u; pwd; echo $A; grep CapEff /proc/self/status; test -t 0 || echo none"
    said = ok(busy, "container", "exec", "-u", "app", "-w", "/srv", "-e", "A=b", "it", "sh", "-c", look)
    assert said.splitlines()[:3] == ["1000", "/srv", "b"]
    assert re.search(
        "CapEff:\t0000[0-9a-f]{2}fff[ef]ffffff",
        ok(busy, "container", "exec", "--privileged", "it", "grep", "CapEff", "/proc/self/status"),
    )
    assert "none" in said
    terminal = busy.spawn(
        "container", "exec", "-it", "--detach-keys", "ctrl-a", "it", "sh", "-c", "tty; read x", tty=True
    )
    terminal.expect("/dev/pts/")
    terminal.send("\x01")
    assert terminal.wait() != 0
    stamp, _, line = ok(busy, "container", "logs", "--timestamps", "--tail", "1", "it").partition(" ")
    assert line == "two\n"
    assert ok(busy, "container", "logs", "--since", stamp, "it") == "two\n"
    assert ok(busy, "container", "logs", "--until", stamp, "it").startswith("one\n")
    followed = busy.spawn("container", "logs", "--follow", "it")
    followed.expect("two")

    assert (
        ok(busy, "container", "ls", "--latest", "-q")
        == ok(busy, "container", "ls", "--last", "1", "-q")
        != ""
    )
    assert '"SizeRw"' in ok(busy, "container", "inspect", "--size", "it")
    assert '"SizeRw"' in ok(busy, "inspect", "--size", "it")
    full = ok(busy, "container", "ls", "-q", "--no-trunc").strip()
    assert full in ok(busy, "container", "stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}")
    (tmp_path / "link").symlink_to("/etc/hostname")
    ok(busy, "container", "cp", "--follow-link", "--quiet", "--archive", f"{tmp_path}/link", "it:/tmp/file")
    assert ok(busy, "container", "exec", "it", "sh", "-c", "test -L /tmp/file || cat /tmp/file")
    ok(
        busy,
        "container",
        "commit",
        "--author",
        "me",
        "--message",
        "why",
        "--change",
        "ENV B=c",
        "--pause",
        "it",
        "mine",
    )
    (image,) = busy.run("image", "inspect", "mine").ok().json()
    assert (image["Author"], image["Comment"]) == ("me", "why")
    assert "B=c" in image["Config"]["Env"]
    ok(busy, "container", "export", "--output", str(tmp_path / "it.tar"), "it")
    assert (tmp_path / "it.tar").stat().st_size > 100_000
    attached = busy.spawn("container", "attach", "--no-stdin", "--sig-proxy=false", "it")
    while "here" not in attached.output:  # then it is attached
        ok(busy, "container", "exec", "it", "sh", "-c", "echo here > /proc/1/fd/1")
        attached.sleep(0.05)
    ok(busy, "container", "stop", "--timeout", "0", "it")
    assert attached.wait() == 137
    assert followed.wait() == 0
    assert ok(busy, "container", "stats", "--no-stream", "--format", "{{.Name}}") == ""
    assert "it" in ok(busy, "container", "stats", "--all", "--no-stream", "--format", "{{.Name}}")
    assert len(ok(busy, "volume", "ls", "-q").split()) == 1
    ok(busy, "container", "rm", "--volumes", "it")
    assert ok(busy, "volume", "ls", "-q") == ""


def test_a_terminal_is_left_by_other_keys(busy: Host) -> None:
    """`container attach --detach-keys`, `container start --interactive`."""
    ok(busy, "container", "create", "-it", "--name", "it", "busybox", "sh")
    start = busy.spawn("container", "start", "--interactive", "--detach-keys", "ctrl-a", "it", tty=True)
    start.send("echo $((6*7))\n")
    start.expect("42")
    start.send("\x01")
    assert start.wait() == 0
    attach = busy.spawn("container", "attach", "--detach-keys", "ctrl-b", "it", tty=True)
    attach.send("echo $((6*8))\n")
    attach.expect("48")
    attach.send("\x02")
    assert attach.wait() == 0
    ok(busy, "container", "shutdown", "--timeout", "0")
    assert ok(busy, "container", "ls", "-q") == ""
    ok(busy, "container", "rm", "it")


def test_what_prune_spares(busy: Host) -> None:
    """Filters of the prune commands: what doesn't match them stays."""
    for kind in ("a", "b"):
        ok(busy, "container", "create", "--label", f"kind={kind}", "busybox", "true")
        ok(busy, "volume", "create", "--label", f"kind={kind}", f"volume-{kind}")
        ok(busy, "network", "create", "--label", f"kind={kind}", f"network-{kind}")
    ok(busy, "container", "prune", "--force", "--filter", "label=kind=a")
    ok(busy, "volume", "prune", "--force", "--all", "--filter", "label=kind=a")
    ok(busy, "network", "prune", "--force", "--filter", "label=kind=a")
    ok(busy, "image", "prune", "--force", "--all", "--filter", "until=24h")
    left = [
        ok(busy, kind, "ls", *flags)
        for kind, flags in (
            ("container", ("-aq",)),
            ("volume", ("-q",)),
            ("network", ("-q", "-f", "label=kind")),
        )
    ]
    assert [len(text.split()) for text in left] == [1, 1, 1]
    assert "busybox" in ok(busy, "image", "ls")
    ok(busy, "system", "prune", "--force", "--volumes", "--filter", "label=kind=a")
    assert len(ok(busy, "container", "ls", "-aq").split()) == 1
    ok(busy, "system", "prune", "--all", "--force", "--volumes")
    ok(busy, "volume", "prune", "--all", "--force")
    assert ok(busy, "image", "ls", "-q") == ""


def test_networks(busy: Host) -> None:
    """What a network is made with is what a container sees of it."""
    flags = (
        "--driver",
        "bridge",
        "--subnet",
        "10.216.0.0/24",
        "--gateway",
        "10.216.0.2",
        "--ip-range",
        "10.216.0.128/25",
    )
    ok(
        busy,
        "network",
        "create",
        "inner",
        *flags,
        "--internal",
        "--opt",
        "com.docker.network.driver.mtu=1400",
    )
    ok(busy, "network", "create", "six", "--ipv6", "--subnet", "10.217.0.0/24", "--subnet", "fd00:79::/64")
    ok(
        busy,
        "container",
        "run",
        "-d",
        "--init",
        "--name",
        "it",
        "--network",
        "inner",
        "busybox",
        "sleep",
        "1000",
    )
    ok(busy, "network", "connect", "--ip6", "fd00:79::9", "six", "it")
    seen = ok(
        busy, "container", "exec", "it", "sh", "-c", "cat /sys/class/net/eth0/mtu; ip -o addr; ip route"
    )
    (shown,) = busy.run("network", "inspect", "inner").ok().json()
    ok(busy, "container", "rm", "-f", "it")
    ok(busy, "network", "rm", "inner", "six")

    assert seen.startswith("1400\n")
    assert re.search(r"10\.216\.0\.(12[89]|1[3-9]\d|2\d\d)/24", seen)
    assert "fd00:79::9/64" in seen
    assert "default via 10.216" not in seen
    assert shown["IPAM"]["Config"][0]["Gateway"] == "10.216.0.2"


def test_images(busy: Host, busybox_tar: Path, tmp_path: Path) -> None:
    """history, ls, import, save, load, inspect, rm."""
    folder = busy.project(
        {"Dockerfile": "FROM busybox\nLABEL kind=built\nRUN --network=none echo " + "long " * 30 + ">/f\n"}
    )
    ok(
        busy,
        "image",
        "build",
        "-t",
        "built",
        "--network",
        "none",
        "--progress",
        "plain",
        "--memory",
        "64m",
        "--platform",
        "linux/amd64",
        ".",
        cwd=folder,
    )
    short, whole = (ok(busy, "image", "history", *flags, "built") for flags in ((), ("--no-trunc",)))
    assert "long " * 30 not in short
    assert "long " * 30 in whole
    ids = ok(busy, "image", "history", "--quiet", "built").split()
    assert ids[0] in ok(busy, "image", "ls", "-q")
    sizes = [
        ok(busy, "image", "history", *flags, "--format", "{{.Size}}", "built").split()[-1]
        for flags in (("--human",), ("--human=false",))
    ]
    assert re.search("[A-Z]B$", sizes[0])
    assert sizes[1].isdigit()
    assert "sha256:" in ok(busy, "image", "ls", "--no-trunc")
    assert "DIGEST" in ok(busy, "image", "ls", "--digests")
    assert ok(busy, "image", "ls", "--filter", "label=kind=built", "--format", "{{.Repository}}") == "built\n"
    ok(busy, "image", "import", "--message", "why", str(busybox_tar), "other")
    assert "why" in ok(busy, "image", "history", "other")
    archive = str(tmp_path / "it.tar")
    ok(busy, "image", "save", "--platform", "linux/amd64", "--output", archive, "built")
    ok(busy, "image", "rm", "built")
    assert ok(busy, "image", "load", "--quiet", "--platform", "linux/amd64", "--input", archive) == ""
    assert (
        ok(busy, "image", "inspect", "--platform", "linux/amd64", "-f", "{{.Architecture}}", "built")
        == "amd64\n"
    )
    for command in (
        ("inspect", "--platform", "linux/s390x", "built"),
        ("save", "--platform", "linux/s390x", "-o", archive, "built"),
    ):
        busy.run("image", *command).exited(1)


def test_builds(busy: Host, tmp_path: Path) -> None:
    """What is built anew, with whose agent, and what of the cache goes."""
    folder = busy.project(
        {
            "Dockerfile": "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid >/one\nFROM one AS two\n"
            "RUN cat /proc/sys/kernel/random/uuid >/two\n",
            "agent/Dockerfile": "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK\n",
            "compose.yaml": f"services:\n  a: {{build: ., image: it, {WAIT}, depends_on: [b]}}\n"
            f"  b: {{build: {{context: agent, ssh: [default]}}, image: agent, {WAIT}}}\n",
        }
    )

    def built(*flags: str) -> list[str]:
        ok(busy, "image", "build", "-t", "it", *flags, ".", cwd=folder)
        return ok(busy, "container", "run", "--rm", "it", "cat", "/one", "/two").split()

    first = built()
    assert built("--no-cache-filter", "two")[0] == first[0]
    assert built("--no-cache-filter", "two")[1] != first[1]
    agent = tmp_path / "agent"
    with registered_agent(busy, agent):
        ok(busy, "image", "build", "--ssh", f"default={agent}", "agent", cwd=folder)
        done = busy.run(
            "build",
            "--ssh",
            f"default={agent}",
            "--with-dependencies",
            "--memory",
            "64m",
            "a",
            cwd=folder,
            env={"SSH_AUTH_SOCK": str(agent)},
        ).ok()
    assert "agent" in ok(busy, "image", "ls")
    assert "Built" in done.stderr
    ok(busy, "image", "build", "--allow", "network.host", "--network", "host", "-t", "it", ".", cwd=folder)
    assert "Total reclaimed space: 0B" in ok(busy, "builder", "prune", "-f", "--all", "--filter", "until=24h")
    assert "Total reclaimed space: 0B" in ok(busy, "builder", "prune", "-f", "--all", "--keep-storage", "10g")


@contextmanager
def registered_agent(host: Host, path: Path) -> Iterator[None]:
    """Have a socket that looks like an SSH agent's."""
    with host.inside(lambda: socket.socket(socket.AF_UNIX)) as listener:
        host.inside(lambda: (listener.bind(str(path)), listener.listen()))
        yield


def test_registries(busy: Host, tmp_path: Path) -> None:
    """login, push and pull, by project and by image."""
    with registered(busy, tmp_path / "open") as address:
        name = f"{address}/it:1"
        folder = busy.project(
            {
                "Dockerfile": f"FROM {address}/base\nRUN true\n",
                "compose.yaml": f"services:\n  a: {{image: '{name}', build: ., depends_on: [b], {WAIT}}}\n"
                f"  b: {{image: '{address}/dep:1', build: ., {WAIT}}}\n  c: {{image: '{address}/none:1', {WAIT}}}\n",
            }
        )
        ok(busy, "image", "tag", "busybox", f"{address}/base")
        ok(busy, "image", "push", f"{address}/base")
        ok(busy, "build", "--push", "--pull", "--with-dependencies", "a", cwd=folder)
        pushed = busy.run("push", "--include-deps", "--ignore-push-failures", "a", cwd=folder).ok().stderr
        assert "dep:1 Pushed" in pushed
        assert busy.run("push", "--quiet", "a", cwd=folder).ok().stderr == ""

        def pulled(*arguments: str, code: int = 0) -> str:
            for image in (name, f"{address}/dep:1"):
                busy.run("image", "rm", "-f", image)
            return busy.run(*arguments, cwd=folder).exited(code).stderr

        assert "dep:1" not in pulled("pull", "a")
        assert "dep:1 Pulled" in pulled("pull", "--include-deps", "a")
        assert "it:1 Pulled" not in pulled("pull", "--ignore-buildable", "a")
        assert "none:1" in pulled("pull", "--ignore-pull-failures", "a", "c")
        assert "none:1" in pulled("pull", "a", "c", code=1)
        loud, silent = (pulled("--progress", "plain", "pull", *flags, "a") for flags in ((), ("--quiet",)))
        assert len(silent.splitlines()) < len(loud.splitlines())
        assert "it:1 Pulled" not in busy.run("pull", "--policy", "missing", "a", cwd=folder).ok().stderr
        assert "it:1 Pulled" in busy.run("pull", "--policy", "always", "a", cwd=folder).ok().stderr
        assert (
            "it:1 Pulled"
            in busy.run("create", "--pull", "always", "--quiet-pull", "a", cwd=folder).ok().stderr
        )
        assert (
            "it:1 Pulled"
            in busy.run("up", "-d", "--no-deps", "--pull", "always", "--quiet-pull", "a", cwd=folder)
            .ok()
            .stderr
        )
        run = ("run", "--rm", "--no-deps", "-T")
        assert (
            "it:1 Pulled"
            in busy.run(*run, "--pull", "always", "--quiet-pull", "a", "true", cwd=folder).ok().stderr
        )
        assert busy.run(*run, "--quiet", "a", "true", cwd=folder).ok().stderr == ""
        ok(busy, "container", "run", "--rm", "--pull", "always", "--quiet", name, "true")
        ok(busy, "image", "push", "--quiet", name)
        assert (
            ok(busy, "image", "pull", "--quiet", "--platform", "linux/amd64", name).strip().endswith("it:1")
        )
        assert "@sha256:" in ok(busy, "config", "--resolve-image-digests", "a", cwd=folder)
        assert "@sha256:" in ok(busy, "config", "--lock-image-digests", "a", cwd=folder)
        ok(busy, "down", "-t", "0", cwd=folder)
    with registered(busy, tmp_path / "closed", auth=True) as address:
        busy.run("login", "-u", USER, "--password-stdin", address, stdin="wrong").exited(1)
        busy.run("login", "--username", USER, "--password-stdin", address, stdin=PASSWORD).ok()
        ok(busy, "login", "--username", USER, "--password", PASSWORD, address)
        ok(busy, "image", "tag", "busybox", f"{address}/it")
        ok(busy, "image", "push", f"{address}/it")
        ok(busy, "logout", address)
        busy.run("image", "push", f"{address}/it").exited(1)


def test_projects(busy: Host) -> None:
    """Global flags, orphans, replicas by number, and what `config` may leave undone."""
    said = "init: true, command: [sh, -c, 'while :; do hostname; sleep 0.2; done']"
    text = f"services:\n  a: {{image: busybox, {said}, environment: [A], env_file: [v.env],"
    text += f" volumes: ['./d:/d'], depends_on: [b]}}\n  b: {{image: busybox, {WAIT}}}\n"
    folder = busy.project(
        {"compose.yaml": text, "v.env": "V=1\n", "one.yaml": f"services: {{a: {{image: busybox, {WAIT}}}}}"}
    )
    plain = busy.run(
        "--no-ansi", "--parallel", "1", "--compatibility", "up", "-d", "--scale", "a=2", cwd=folder
    ).ok()
    assert "\x1b" not in plain.stderr
    assert "demo_a_2" in ok(busy, "--compatibility", "ps", "--format", "{{.Name}}", cwd=folder)
    ok(
        busy,
        "--compatibility",
        "exec",
        "--index",
        "2",
        "--workdir",
        "/srv",
        "-T",
        "a",
        "touch",
        "second",
        cwd=folder,
    )
    for command in (
        ("export", "--index", "2", "-o", "out.tar", "a"),
        ("commit", "--index", "2", "--no-pause", "--author", "me", "--change", "ENV X=y", "a", "second"),
    ):
        ok(busy, *command, cwd=folder)
    assert ok(busy, "container", "run", "--rm", "second", "sh", "-c", "ls /srv; echo $X") == "second\ny\n"
    everything = r"0000[0-9a-f]{2}fff[ef]ffffff"
    rights = ok(busy, "exec", "-T", "--privileged", "a", "grep", "CapEff", "/proc/self/status", cwd=folder)
    assert re.search(everything, rights)
    assert len(ok(busy, "ps", "--no-trunc", "--format", "{{.ID}}", cwd=folder).split()[0]) == 64
    (folder / "in.txt").write_text("in\n", encoding="ascii")
    ok(busy, "cp", "--all", "in.txt", "a:/in.txt", cwd=folder)
    assert [ok(busy, "exec", "-T", "--index", n, "a", "cat", "/in.txt", cwd=folder) for n in "12"] == [
        "in\n"
    ] * 2
    typed = busy.run(
        "run", "--rm", "--interactive", "-T", "--no-deps", "b", "cat", cwd=folder, stdin="typed"
    ).ok()
    assert typed.stdout == "typed"
    counted = {
        state: len(ok(busy, "ps", "-a", "--status", state, "-q", cwd=folder).split())
        for state in ("paused", "restarting", "removing", "running", "dead", "created", "exited")
    }
    assert counted == dict.fromkeys(counted, 0) | {"running": 3}
    assert "sctp" in busy.run("port", "--protocol", "sctp", "a", "80", cwd=folder).exited(1).stderr
    assert ">2 running</text>" in ok(busy, "graph", "--format", "svg", "--live", cwd=folder)
    viz = ok(busy, "viz", "--indentation-size", "3", cwd=folder)
    assert re.search('^\t\t\t"a"', viz, re.MULTILINE)
    ok(busy, "commit", "--pause", "a", "third", cwd=folder)
    one = ("-f", "one.yaml")
    assert ok(busy, *one, "ps", "--orphans=false", "--services", cwd=folder).split() == ["a"]
    assert "b" in ok(busy, *one, "ps", "-a", "--format", "{{.Service}}", cwd=folder).split()
    assert "b" not in ok(busy, *one, "ps", "--orphans=false", "--format", "{{.Service}}", cwd=folder).split()
    attach = busy.spawn("attach", "--index", "2", "--sig-proxy=false", "--no-stdin", "a", cwd=folder)
    attach.expect(
        ok(busy, "--compatibility", "exec", "-T", "--index", "2", "a", "hostname", cwd=folder).strip()
    )
    ok(busy, "kill", "a", cwd=folder)
    assert attach.wait() == 137
    assert (
        len(
            ok(
                busy, "stats", "--no-stream", "--all", "--no-trunc", "--format", "{{.ID}}", cwd=folder
            ).split()[0]
        )
        == 64
    )
    ok(busy, *one, "kill", "--remove-orphans", cwd=folder)
    eventually(lambda: ok(busy, "ps", "-q", cwd=folder) == "")
    ok(busy, "start", "--wait", "--wait-timeout", "30", cwd=folder)
    assert len(ok(busy, "ps", "-q", cwd=folder).split()) == 3
    ok(busy, *one, "create", "--remove-orphans", cwd=folder)
    assert ok(busy, "ps", "-a", "--services", cwd=folder).split() == ["a"]
    ok(busy, "scale", "--no-deps", "a=1", cwd=folder)
    assert ok(busy, "ps", "-a", "--services", cwd=folder).split() == ["a"]
    ok(busy, "down", "-t", "0", cwd=folder)
    flags = {
        "--no-env-resolution": "env_file:",
        "--no-path-resolution": "source: ./d",
        "--no-normalize": "image: busybox",
    }
    for flag, wanted in flags.items():
        assert wanted in ok(busy, "config", flag, cwd=folder)
    (folder / "loose.yaml").write_text("services: {a: {image: x, depends_on: [nobody]}}", encoding="utf-8")
    busy.run("-f", "loose.yaml", "config", cwd=folder).exited(1)
    assert "nobody" in ok(busy, "-f", "loose.yaml", "config", "--no-consistency", cwd=folder)
    assert "networks:" not in ok(busy, "-f", "one.yaml", "config", "--no-normalize", cwd=folder)
    assert ok(busy, "graph", "--format", "mermaid", cwd=folder).startswith("flowchart")
    assert ok(busy, "graph", "--format", "tree", cwd=folder) == "a\n└── b\n"
    assert ok(busy, "graph", "--format", "dot", cwd=folder).startswith("digraph")
    assert ">not created</text>" not in ok(busy, "graph", "--format", "svg", cwd=folder)
    assert ">not created</text>" in ok(busy, "graph", "--format", "svg", "--live", cwd=folder)
    assert "--format svg" in busy.run("graph", "--live", cwd=folder).exited(1).stderr
    for flag in ("--verbose", "--debug"):
        assert "Traceback" in busy.run(flag, "-f", "loose.yaml", "config", cwd=folder).stderr
    (folder / "other.env").write_text("A=from the other\n", encoding="ascii")
    assert "A: from the other" in ok(busy, "--env-file", "other.env", "config", cwd=folder)
    (folder / "one.yaml").write_text("services: {a: {image: busybox, restart: always}}", encoding="utf-8")
    assert "[Unit]" in ok(busy, *one, "systemd", "--all", cwd=folder)
    assert "container boot" in ok(busy, "systemd", "--containers")


def test_how_progress_is_shown(busy: Host) -> None:
    """Every word of `--progress` and `--ansi`."""
    folder = busy.project({"compose.yaml": f"services: {{a: {{image: busybox, {WAIT}}}}}"})
    shown = {}
    for words in (
        *(("--progress", word) for word in ("auto", "tty", "plain", "json", "quiet", "none")),
        *(("--progress", "tty", "--ansi", word) for word in ("always", "auto")),
        ("--progress", "plain", "--ansi", "never"),
    ):
        shown[words[-1] if "--ansi" in words else words[1]] = (
            busy.run(*words, "up", "-d", cwd=folder).ok().stderr
        )
        ok(busy, "down", "-t", "0", cwd=folder)
    assert shown["quiet"] == shown["none"] == ""
    assert json.loads(shown["json"].splitlines()[0])
    for word in ("auto", "plain", "tty", "never"):
        assert "Container demo-a-1" in shown[word]
    assert "\x1b[" in shown["always"]
    assert "\x1b[" not in shown["never"] + shown["plain"]
    for progress, ansi in (("tty", "never"), ("plain", "always")):
        told = busy.run("--progress", progress, "--ansi", ansi, "up", "-d", cwd=folder).exited(1).stderr
        assert f"--progress {progress} and --ansi {ansi}: cannot be combined" in told
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo from the step\n", encoding="ascii")
    built = {
        word: busy.run("image", "build", "--no-cache", "--progress", word, ".", cwd=folder).ok().stderr
        for word in ("auto", "plain", "tty", "quiet", "rawjson")
    }
    assert "from the step" in built["plain"]
    assert "from the step" not in built["quiet"]
    assert json.loads(built["rawjson"].splitlines()[0])
    assert built["auto"]
    assert built["tty"]
    (folder / "compose.yaml").write_text("services: {a: {build: .}}", encoding="ascii")
    done = {
        word: busy.run("build", "--no-cache", "--progress", word, cwd=folder).ok()
        for word in ("auto", "tty", "plain", "json", "quiet", "none")
    }
    services = {word: result.stderr for word, result in done.items()}
    assert services["quiet"] == services["none"] == done["quiet"].stdout == ""
    assert "from the step" in done["plain"].stdout
    assert "from the step" not in services["plain"]
    assert json.loads(services["json"].splitlines()[0])["text"] == "Building"
    assert "vertexes" in json.loads(done["json"].stdout.splitlines()[0])
    assert services["auto"]
    assert "\x1b[" in services["tty"]


def test_limits_of_devices_and_real_time(busy: Host) -> None:
    """They are what `inspect` tells; real time is granted where the kernel has it."""
    flags = (
        "--blkio-weight", "300", "--blkio-weight-device", "/dev/loop0:200", "--device-read-bps", "/dev/loop0:1mb",
        "--device-read-iops", "/dev/loop0:8", "--device-write-bps", "/dev/loop0:2mb",
        "--device-write-iops", "/dev/loop0:9",
    )  # fmt: skip
    read = "cd /sys/fs/cgroup/blkio; cat blkio.throttle.*_device | cut -d' ' -f2"
    ran = busy.run("container", "run", "--name", "it", *flags, "busybox", "sh", "-c", read)
    (shown,) = busy.run("container", "inspect", "it").ok().json()
    ok(busy, "container", "rm", "it")
    assert ran.stdout.split() == ["1048576", "8", "2097152", "9"]
    host = shown["HostConfig"]
    assert host["BlkioWeight"] == 300
    assert host["BlkioWeightDevice"] == [{"Path": "/dev/loop0", "Weight": 200}]
    budget = ("--cpu-rt-runtime", "1000", "--cpu-rt-period", "500000")
    done = busy.run(
        "container", "run", "--rm", *budget, "busybox", "cat", "/sys/fs/cgroup/cpu/cpu.rt_runtime_us"
    )
    assert done.stdout == "1000\n" or "cpu_rt" in done.stderr
    ok(busy, "container", "run", "-d", "--init", "--name", "it", "busybox", "sleep", "1000")
    changed = busy.run("container", "update", *budget, "--blkio-weight", "300", "it")
    assert changed.code == 0 or "rt" in changed.stderr or "blkio" in changed.stderr
    ok(busy, "container", "rm", "-f", "it")


@pytest.mark.timeout(150)
def test_dry_run_changes_nothing(busy: Host) -> None:
    """Every command that takes `--dry-run` leaves everything as it is."""
    folder = busy.project(
        {
            "compose.yaml": f"services: {{a: {{image: busybox, {WAIT}, volumes: ['data:/data']}}}}\n"
            "volumes: {data: }\n"
        }
    )
    ok(busy, "up", "-d", cwd=folder)
    arguments = {
        "commit": ["a", "new"], "cp": ["compose.yaml", "a:/x"], "create": ["--force-recreate"],
        "down": ["-v"], "events": ["--since", "1h", "--until", "0s"], "exec": ["-T", "a", "touch", "/x"],
        "export": ["-o", "x.tar", "a"],
        "logs": ["a"], "port": ["a", "80"], "rm": ["-fsv"], "run": ["--rm", "-T", "a", "touch", "/data/x"],
        "scale": ["a=3"],
        "stats": ["--no-stream"], "up": ["-d", "--force-recreate"],
    }  # fmt: skip
    seen = []

    def state() -> str:
        return ok(busy, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}", cwd=folder)

    def machine() -> str:
        return "".join(ok(busy, kind, "ls", "-q") for kind in ("volume", "network", "image"))

    before, there = state(), machine()
    for name, command in commands().items():
        if name and " " not in name and "--dry-run" in flags_of(command):
            seen.append(name)
            if name not in WAITING:
                busy.run("--dry-run", name, *arguments.get(name, ()), cwd=folder, timeout_s=60)
            assert state() == before, name
    assert machine() == there
    assert busy.run("exec", "-T", "a", "ls", "/x", "/data/x", cwd=folder).stdout == ""
    ok(busy, "down", "-v", "-t", "0", cwd=folder)
    assert len(seen) > 25


def test_what_has_no_effect_is_said(busy: Host) -> None:
    """A flag that docker knows and that means nothing here is taken, with a line that says why."""
    folder = busy.project(
        {"Dockerfile": "FROM busybox\nRUN true\n", "compose.yaml": "services: {a: {build: ., image: it}}"}
    )
    ok(busy, "container", "create", "--name", "it", "busybox", "true")
    cases = (
        ("build", "--builder", "x", "--provenance", "true", "--sbom", "true"),
        (
            "image",
            "build",
            "--attest",
            "x",
            "--builder",
            "x",
            "--provenance",
            "true",
            "--sbom",
            "true",
            "--load",
            ".",
        ),
        ("network", "create", "--ipam-opt", "a=b", "net"),
        ("network", "disconnect", "--force", "net", "it"),
        ("image", "ls", "--all"),
        ("image", "rm", "--no-prune", "it"),
    )
    for words in cases:
        told = busy.run(*words, cwd=folder).stderr
        for flag in words:
            if flag.startswith("--"):
                assert f"{flag} has no effect: " in told
    ok(busy, "container", "rm", "it")
    ok(busy, "network", "rm", "net")


def test_quiet_builds(busy: Host) -> None:
    """`up`, `create` and `run` build what is missing, with or without what the steps print."""
    folder = busy.project(
        {
            "Dockerfile": "FROM busybox\nRUN echo from the step\n",
            "compose.yaml": f"services: {{a: {{build: ., image: it, {WAIT}}}}}",
        }
    )

    def said(*arguments: str) -> Result:
        busy.run("image", "rm", "-f", "it")
        busy.run("builder", "prune", "-af")
        return busy.run("--progress", "plain", *arguments, cwd=folder).ok()

    for words in (("up", "-d", "--build"), ("create", "--build"), ("run", "--rm", "-T", "--build")):
        tail = ("a", "true") if words[0] == "run" else ()
        told = said(*words, *tail)
        assert "from the step" in (told.stderr if words[0] == "run" else told.stdout)
        quiet = said(*words, "--quiet-build", *tail)
        assert "from the step" not in quiet.stdout + quiet.stderr
        ok(busy, "down", "-t", "0", cwd=folder)
    busy.run("image", "rm", "-f", "it")
    assert "it" in busy.run("create", "--no-build", "--pull", "never", cwd=folder).exited(1).stderr


def test_what_tests_are_run_with(busy: Host) -> None:
    """`test`: a build first, a bound on the wait, the project's own volumes, a stack that stays."""
    text = f"""
name: shop
services:
  db: {{image: db, build: ., {WAIT}, healthcheck: {{test: [CMD, test, -e, /ok], interval: 100ms}}}}
  check:
    {{image: busybox, profiles: [test], depends_on: {{db: {{condition: service_healthy}}}}, volumes: ["data:/data"]}}
volumes: {{data: }}
"""
    folder = busy.project({"compose.yaml": text, "Dockerfile": "FROM busybox\nRUN true\n"})
    late = busy.run("test", "--build", "--timeout", "1", "check", "--", "true", cwd=folder)
    assert late.code != 0
    assert "db" in ok(busy, "image", "ls")
    (folder / "Dockerfile").write_text("FROM busybox\nRUN touch /ok\n", encoding="ascii")
    assert (
        busy.run("test", "--build", "--env", "A=b", "check", "--", "sh", "-c", "echo $A", cwd=folder)
        .ok()
        .stdout
        == "b\n"
    )
    ok(busy, "run", "--rm", "-T", "--no-deps", "check", "touch", "/data/mine", cwd=folder)
    look = ("check", "--", "ls", "/data")
    assert busy.run("test", *look, cwd=folder).ok().stdout == ""
    assert busy.run("test", "--no-isolated", *look, cwd=folder).ok().stdout == "mine\n"
    busy.run("test", "--keep", "check", "--", "true", cwd=folder).ok()
    assert ok(busy, "gc", "--kept").strip() != ""
    busy.run("--profile", "*", "down", "-v", "-t", "0", cwd=folder)


def test_what_watching_leaves(busy: Host) -> None:
    """`watch` removes what its builds leave without a name, unless told otherwise, and shows their output or not."""
    text = f"services: {{a: {{image: it, build: ., {WAIT}, develop: {{watch: [{{path: f, action: rebuild}}]}}}}}}"
    folder = busy.project(
        {"compose.yaml": text, "Dockerfile": "FROM busybox\nCOPY f /f\nRUN echo from the step\n", "f": "0\n"}
    )

    def nameless() -> int:
        return ok(busy, "image", "ls", "--format", "{{.Repository}}").split().count("<none>")

    for number, (flags, left, shown) in enumerate(
        ((("--prune",), 0, True), (("--no-prune", "--quiet"), 1, False)), 1
    ):
        watching = busy.spawn("--progress", "plain", "watch", *flags, cwd=folder)
        watching.expect("^Watch enabled")
        (folder / "f").write_text(f"{number}\n", encoding="ascii")
        eventually(
            lambda number=number: ok(busy, "exec", "-T", "a", "cat", "/f", cwd=folder) == f"{number}\n", 30
        )
        eventually(lambda left=left: nameless() == left)
        watching.interrupt()
        watching.wait()
        assert ("from the step" in watching.output + watching.errors) == shown
    ok(busy, "down", "-t", "0", cwd=folder)
