"""`pycompose container …`: one container, by name or beginning of an id, whatever its project."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

COMPOSE = """
services:
  app:
    image: busybox
    command:
      - sh
      - -c
      - |
        echo new >/new; mkdir /etc/own; echo x >/etc/own/x; echo more >>/etc/passwd; rm /bin/tac
        read x; echo got $$x; exec sleep 1000
    stop_signal: SIGKILL
    stdin_open: true
    ports: ["8080:80", "8053:53/udp"]
    mem_limit: 64m
  other:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
"""


@pytest.fixture
def project(busy: Host) -> Iterator[Path]:
    """Start two containers."""
    folder = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", "--wait", cwd=folder).ok()
    yield folder
    busy.run("down", "-v", "--remove-orphans", cwd=folder).ok()


def container(host: Host, *arguments: str | Path) -> str:
    """Run a command of the group and return what it prints."""
    return host.run("container", *arguments).ok().stdout


def test_files(busy: Host, project: Path) -> None:
    """`diff`, `cp`, `export` and `commit`."""
    eventually(lambda: "D /bin/tac" in container(busy, "diff", "demo-app-1"))
    assert container(busy, "diff", "demo-app-1").splitlines() == [
        "C /bin",
        "D /bin/tac",
        "C /etc",
        "A /etc/own",
        "A /etc/own/x",
        "C /etc/passwd",
        "A /new",
    ]
    container(busy, "cp", "demo-app-1:/new", project / "copied")
    assert (project / "copied").read_text(encoding="ascii") == "new\n"
    container(busy, "cp", "-q", project / "copied", "demo-other-1:/there")
    assert container(busy, "exec", "demo-other-1", "cat", "/there") == "new\n"
    busy.run("container", "cp", "demo-app-1:/new", "demo-other-1:/new").exited(1)
    container(busy, "export", "-o", project / "out.tar", "demo-app-1")
    with tarfile.open(project / "out.tar") as tar:
        assert {"new", "etc/own/x"} <= set(tar.getnames())
    image = container(busy, "commit", "-m", "why", "demo-app-1", "made:1").strip()
    assert image.startswith("sha256:")
    assert "made" in busy.run("image", "ls").ok().stdout


def test_looking(busy: Host, project: Path) -> None:
    """`ps`, `top`, `stats` and `port`."""
    found = json.loads(container(busy, "ps", "--filter", "name=app", "--format", "jsonl"))
    assert found["Names"] == "demo-app-1"
    processes = container(busy, "top", found["ID"]).splitlines()
    assert processes[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any("read x" in line for line in processes[1:])
    found = container(busy, "top", "demo-app-1", "-o", "pid,args").splitlines()
    assert found[0].split() == ["PID", "COMMAND"]
    assert len(found) == len(processes)
    assert any("read x" in line for line in found[1:])
    assert "%CPU" in container(busy, "top", "demo-app-1", "aux").splitlines()[0]
    assert "no PID" in busy.run("container", "top", "demo-app-1", "-o", "comm").exited(1).stderr
    assert "ps --no-such" in busy.run("container", "top", "demo-app-1", "--no-such").exited(1).stderr
    names = container(busy, "stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}").splitlines()
    assert sorted(line.split()[0] for line in names) == ["demo-app-1", "demo-other-1"]
    only = container(busy, "stats", "--no-stream", "--format", "{{.Name}}", "demo-other-1")
    assert only.split() == ["demo-other-1"]
    ports = container(busy, "port", "demo-app-1").splitlines()
    assert {"80/tcp -> 0.0.0.0:8080", "53/udp -> 0.0.0.0:8053"} <= set(ports)
    assert container(busy, "port", "demo-app-1", "53/udp").splitlines()[0] == "0.0.0.0:8053"
    busy.run("container", "port", "demo-app-1", "53").exited(1)


def test_attach(busy: Host, project: Path) -> None:
    """What is typed goes to process 1."""
    attached = busy.spawn("container", "attach", "demo-app-1", cwd=project)
    attached.send("word\n")
    attached.expect("got word")
    attached.close()


def test_rename(busy: Host, project: Path) -> None:
    """The new name is what everybody knows it by; `up` leaves the container alone."""
    before = container(busy, "inspect", "-f", "{{.Id}}", "demo-app-1")
    container(busy, "rename", "demo-app-1", "another")
    assert container(busy, "inspect", "-f", "{{.Id}} {{.Name}}", "another") == before.strip() + " /another\n"
    busy.run("container", "inspect", "demo-app-1").exited(1)
    busy.run("exec", "-T", "other", "nslookup", "another", cwd=project).ok()
    assert "in use" in busy.run("container", "rename", "another", "demo-other-1").exited(1).stderr
    assert "another" in busy.run("ps", cwd=project).ok().stdout
    busy.run("container", "rename", "another", "no good").exited(1)
    busy.run("up", "-d", cwd=project).ok()
    assert container(busy, "inspect", "-f", "{{.Id}}", "another") == before


def test_update(busy: Host, project: Path) -> None:
    """Limits hold at once, and after the next start; so does the restart policy."""
    limit = ["exec", "demo-app-1", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    read = busy.run("container", *limit)
    container(
        busy,
        "update",
        "--cpuset-mems",
        "0",
        "--memory",
        "128m",
        "--pids-limit",
        "77",
        "--restart",
        "on-failure:3",
        "demo-app-1",
    )
    keys = ("Memory", "PidsLimit", "RestartPolicy.Name", "CpusetMems")
    shown = " ".join(f"{{{{.HostConfig.{key}}}}}" for key in keys)
    assert container(busy, "inspect", "-f", shown, "demo-app-1") == "134217728 77 on-failure 0\n"
    if read.code == 0:
        assert read.stdout == "67108864\n"
        assert container(busy, *limit) == "134217728\n"
    container(busy, "restart", "-t", "0", "demo-app-1")
    if read.code == 0:
        assert container(busy, *limit) == "134217728\n"
    assert "nothing to change" in busy.run("container", "update", "demo-app-1").exited(1).stderr
    assert busy.run("container", "update", "--memory", "1k", "demo-app-1").code == 1
    assert container(busy, "inspect", "-f", shown, "demo-app-1").startswith("134217728 ")


def test_events_of_all_projects(busy: Host, project: Path) -> None:
    """`system events` tells of every project, of those that come later too, and of one-off containers."""
    shown = (
        "{{.Action}} {{.Actor.Attributes.name}}"  # from earlier on: nothing tells when it has begun to listen
    )
    events = busy.spawn("system", "events", "--since", "30s", "--filter", "event=start", "--format", shown)
    second = busy.project(
        {"compose.yaml": COMPOSE.split("  app:", maxsplit=1)[0] + "  other:" + COMPOSE.split("  other:")[1]},
        name="second",
    )
    busy.run("up", "-d", cwd=second).ok()
    events.expect("^start second-other-1$")
    busy.run("run", "--name", "once", "other", "true", cwd=second).ok()
    events.expect("^start once$")
    events.close()
    past = (
        busy.run("system", "events", "--since", "1h", "--until", "0s", "--format", "json")
        .ok()
        .stdout.splitlines()
    )
    found = [json.loads(line) for line in past]
    assert {"create", "start"} <= {
        item["Action"] for item in found if item["Actor"]["Attributes"]["name"] == "demo-app-1"
    }
    lines = busy.run("system", "events", "--since", "1h", "--until", "0s", "-f", "container=once").ok().stdout
    assert " container die " in lines
    assert "demo-app" not in lines
    busy.run("system", "events", "--filter", "colour=red").exited(1)
    busy.run("down", "-t", "0", "--remove-orphans", cwd=second).ok()
