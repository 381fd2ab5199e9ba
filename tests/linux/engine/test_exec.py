"""Executing in a running container: same jail, same limits, own streams and terminal."""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.config import Limits, Namespaces, Process, Security, User, plain
from pycompose.engine.errors import ChildError, EngineError, ExecError, NoSuchContainer
from pycompose.engine.keeper import wire

from tests.support.lab import PROJECT, Lab, status_field
from tests.support.scenario import eventually

EMPTY = "0" * 16
DEFAULT_CAPS = "00000000a80425fb"


def running(lab: Lab, **fields: Any) -> str:
    """Start a container that only waits."""
    container = lab.make(["sleep", "1000"], **fields)
    lab.keeper.start_container(container)
    return container


def test_exec_prints_to_the_given_descriptors(lab: Lab) -> None:
    """Output goes where the caller says, the code comes as an event, the log stays empty."""
    container = running(lab)

    assert lab.exec(container, "echo hello; exit 9") == (9, "hello\n")
    assert lab.output(container) == ""


def test_exec_reads_its_input(lab: Lab) -> None:
    """A pipe as stdin is read to its end."""
    container = running(lab)
    (input_read, input_write), (output_read, output_write) = os.pipe(), os.pipe()
    os.write(input_write, b"typed")
    os.close(input_write)

    done = lab.keeper.exec(
        container, Process(args=("cat",)), stdin=input_read, stdout=output_write, stderr=None
    )

    os.close(input_read)
    os.close(output_write)
    assert lab.exec_code(done) == 0
    with os.fdopen(output_read, "rb") as file:
        assert file.read() == b"typed"


def test_exec_is_in_every_namespace_and_group_of_the_container(lab: Lab) -> None:
    """Namespaces and control groups of an executed process are those of pid 1."""
    container = lab.make(["sleep", "1000"], namespaces=Namespaces(network="private"), limits=Limits(pids=50))
    pid = lab.keeper.start_container(container).pid
    script = "for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup"

    code, text = lab.exec(container, script)

    lines = text.splitlines()
    kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
    assert code == 0
    assert lines[:6] == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds]
    assert lines[:6] != [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]
    groups = dict(line.split(":", 2)[1:] for line in lines[6:])
    assert groups.get("pids", "/") == "/"
    assert groups[""].startswith("/exec-")


def test_exec_caps_equal_those_asked_for_and_nothing_is_inheritable(lab: Lab) -> None:
    """The default set for root, nothing effective for others; inheritable and ambient are empty."""
    container = running(lab)

    root = lab.exec(container, "cat /proc/self/status")[1]
    user = lab.exec(container, "cat /proc/self/status", user=User(spec="app"))[1]
    few = lab.exec(container, "cat /proc/self/status", capabilities=("KILL",))[1]

    assert [status_field(root, name) for name in ("CapPrm", "CapEff", "CapBnd")] == [DEFAULT_CAPS] * 3
    assert [status_field(user, name) for name in ("CapPrm", "CapEff")] == [EMPTY] * 2
    assert status_field(user, "CapBnd") == DEFAULT_CAPS
    assert status_field(few, "CapBnd") == f"{1 << 5:016x}"
    for text in (root, user, few):
        assert status_field(text, "CapInh") == status_field(text, "CapAmb") == EMPTY
    assert status_field(user, "Groups") == "1000 1001"


def test_exec_leaks_no_descriptor(lab: Lab) -> None:
    """Inside, a process has 0, 1, 2 and what it opens itself (CVE-2024-21626)."""
    container = running(lab)
    lab.keeper.hold("secret", [0])

    code, text = lab.exec(container, ["ls", "/proc/self/fd"])

    assert code == 0
    assert text.split() == ["0", "1", "2", "3"]


def test_exec_gets_no_device_of_the_host(lab: Lab) -> None:
    """The machine's /dev/null as a stream is replaced by the container's own."""
    container = running(lab)
    (reader, writer), null = os.pipe(), os.open(os.devnull, os.O_RDWR)
    done = lab.keeper.exec(
        container,
        Process(args=("stat", "-Lc", "%d:%i", "/proc/self/fd/0", "/dev/null")),
        stdin=null,
        stdout=writer,
        stderr=None,
    )
    os.close(writer)
    os.close(null)

    assert lab.exec_code(done) == 0
    with os.fdopen(reader) as file:
        given, own = file.read().split()
    assert given == own


def test_exec_has_clean_signals_and_umask(lab: Lab) -> None:
    """Nothing of Python's signal setup or the keeper's mask arrives."""
    text = lab.exec(running(lab), "cat /proc/self/status; umask")[1]

    assert status_field(text, "SigIgn") == status_field(text, "SigBlk") == EMPTY
    assert text.endswith("0022\n")


def test_exec_cannot_start_in_a_magic_directory(lab: Lab) -> None:
    """A working directory out of /proc/self/fd is refused."""
    with pytest.raises(ChildError, match="working directory"):
        lab.exec(running(lab), "pwd", cwd="/proc/self/fd/3")


@pytest.mark.parametrize(("args", "code"), ((["nothere"], 127), (["/etc/passwd"], 126)))
def test_exec_of_what_cannot_execute(lab: Lab, args: list[str], code: int) -> None:
    """126 and 127 as at the start; the container goes on."""
    container = running(lab)

    with pytest.raises(ExecError) as caught:
        lab.exec(container, args)

    assert caught.value.exit_code == code
    assert lab.exec(container, "true")[0] == 0


def test_exec_of_an_unknown_user_is_an_error(lab: Lab) -> None:
    """The message names the user."""
    with pytest.raises(EngineError, match="user ghost"):
        lab.exec(running(lab), "true", user=User(spec="ghost"))


def test_exec_killed_alone_takes_its_children(lab: Lab) -> None:
    """A probe that timed out is killed with everything it started; the container stays."""
    container = running(lab)
    reader, writer = os.pipe()
    script = "trap '' TERM; sleep 1000 & echo go; wait"
    done = lab.keeper.exec(
        container, Process(args=("sh", "-c", script)), stdin=None, stdout=writer, stderr=None
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.readline() == b"go\n"
        lab.keeper.kill_exec(done.id)
        assert lab.exec_code(done) == 137
        assert file.read() == b""
    assert lab.keeper.list()[0]["status"] == "running"
    with pytest.raises(NoSuchContainer):
        lab.keeper.signal_exec(done.id, signal.SIGTERM)


def test_exec_terminal_belongs_to_the_caller(lab: Lab) -> None:
    """With tty the caller gets the master; size is set before the start and can be changed."""
    container = running(lab)
    script = "tty; stty size; read line; stty size; echo got $line; ls -ln $(tty)"

    done = lab.keeper.exec(
        container,
        Process(args=("sh", "-c", script), tty=True, user=User(spec="app")),
        stdin=None,
        stdout=None,
        stderr=None,
        rows=31,
        cols=97,
    )

    assert done.terminal is not None
    text = read_until(done.terminal, b"31 97")
    lab.keeper.resize(done.id, 40, 120)
    os.write(done.terminal, b"word\n")
    text += read_until(done.terminal, b"/dev/pts/0\r\n", after=len(text))
    assert lab.exec_code(done) == 0
    os.close(done.terminal)
    assert b"/dev/pts/0" in text
    assert b"40 120" in text
    assert b"got word" in text
    assert b" 1000 " in text


def read_until(fd: int, wanted: bytes, after: int = 0) -> bytes:
    """Read a terminal until `wanted` has come."""
    text = b""
    while wanted not in text:
        assert select.select([fd], [], [], 10)[0], text
        text += os.read(fd, 4096)
    return text


def test_exec_ends_with_its_container(lab: Lab) -> None:
    """When pid 1 ends, executed processes end and are reported."""
    container = running(lab)
    done = lab.keeper.exec(container, Process(args=("sleep", "1000")), stdin=None, stdout=None, stderr=None)

    lab.keeper.kill(container)

    assert lab.exec_code(done) == 137
    assert lab.exit_code(container) == 137


def test_exec_in_a_privileged_container_may_have_everything(lab: Lab) -> None:
    """ALL means what we have ourselves."""
    container = running(lab, security=Security(privileged=True))
    ours = status_field(Path("/proc/self/status").read_text(encoding="ascii"), "CapPrm")

    text = lab.exec(container, "cat /proc/self/status", capabilities=("ALL",))[1]

    assert status_field(text, "CapEff") == ours


def test_a_container_ends_while_something_is_being_executed(lab: Lab) -> None:
    """Killed at any moment of an exec, it is gone at once: the process that nobody knew of yet is reaped, too."""
    for number in range(60):
        container = lab.make(["sleep", "1000"])
        lab.keeper.start_container(container)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with wire.address(lab.paths.keeper_socket(PROJECT)) as name:
                sock.connect(name)
            wire.send(sock, wire.encode({"id": 1, "op": "hello", "protocol": wire.PROTOCOL}))
            assert wire.receive(sock) is not None
            request = {
                "container": container,
                "process": plain(Process(args=("true",))),
                "rows": 0,
                "columns": 0,
            }
            wire.send(sock, wire.encode({"id": 2, "op": "exec", "streams": [False] * 3, **request}))
            select.select([sock], [], [], number * 0.0002)
            lab.keeper.kill(container)

            assert lab.exit_code(container) == 137
        lab.keeper.discard(container)


def test_short_executions_leave_neither_processes_nor_groups(lab: Lab) -> None:
    """Their helpers go with them, whichever of the two ends first; one that can't execute is no other."""
    container = running(lab)
    pid = lab.state(container).pid
    for _ in range(20):
        assert lab.exec(container, ["true"]) == (0, "")
        with pytest.raises(ExecError):
            lab.exec(container, ["/nowhere"])

    children = Path(f"/proc/{lab.keeper.pid}/task/{lab.keeper.pid}/children")
    eventually(lambda: children.read_text(encoding="ascii").split() == [str(pid)])
    leaf = open_existing(lab.paths, container).inside
    assert leaf is not None
    assert [entry.name for entry in leaf.iterdir() if entry.is_dir()] == []
