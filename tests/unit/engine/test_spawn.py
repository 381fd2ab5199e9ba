"""What is decided before the clone, and how failures and messages travel."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.config import ContainerConfig, Namespaces, Process, RootfsTree
from pycompose.engine.container import child_error
from pycompose.engine.container.child import find_program, with_home
from pycompose.engine.container.users import Ids
from pycompose.engine.errors import (
    ChildError,
    EngineError,
    ExecError,
    MountError,
    NamespaceError,
    NoSuchContainer,
    PycomposeError,
)
from pycompose.engine.keeper import wire
from pycompose.engine.keeper.spawn import DEFAULT_PATH, check_modes, environment, sysctls, with_init
from pycompose.engine.linux.caps import mask_of, permitted


def config(**fields: Any) -> ContainerConfig:
    """Return a configuration."""
    tree = RootfsTree(lowers=("/layer",))
    return ContainerConfig(
        id="1" * 64, name="web", project="p", rootfs=(tree,), process=Process(args=("true",)), **fields
    )


def test_environment_order() -> None:
    """Defaults first, a given value in its place, the last of two; TERM only with a terminal."""
    made = environment(Process(args=(), env=("B=1", "PATH=/x", "B=2", "E=", "Q=a=b"), tty=True), "box")

    assert list(made.items()) == [
        ("PATH", "/x"), ("HOSTNAME", "box"), ("TERM", "xterm"), ("B", "2"), ("E", ""), ("Q", "a=b"),
    ]  # fmt: skip
    assert environment(Process(args=()), "box") == {"PATH": DEFAULT_PATH, "HOSTNAME": "box"}


@pytest.mark.parametrize("entry", ("NOEQUALS", "=value", "A=\0", ""))
def test_bad_environment(entry: str) -> None:
    """Named in the message."""
    with pytest.raises(EngineError, match="NAME=value"):
        environment(Process(args=(), env=(entry,)), "box")


def test_home_is_filled_in_only_where_missing() -> None:
    """An empty HOME counts as none."""
    ids = Ids(uid=1, gid=1, groups=(1,), home="/home/x")
    assert with_home({}, ids)["HOME"] == "/home/x"
    assert with_home({"HOME": ""}, ids)["HOME"] == "/home/x"
    assert with_home({"HOME": "/y"}, ids)["HOME"] == "/y"


def test_sysctls_with_and_without_own_network() -> None:
    """Docker's two defaults belong to a network of its own; the user's value wins."""
    path = "net/ipv4/ip_unprivileged_port_start"
    assert sysctls(config())[path] == "0"
    for key in ("net.ipv4.ip_unprivileged_port_start", path):
        assert sysctls(config(sysctls={key: "1024"}))[path] == "1024"
    assert sysctls(config(namespaces=Namespaces(network="host"))) == {}


@pytest.mark.parametrize(
    ("key", "namespaces"),
    (
        ("kernel.panic", Namespaces()),
        ("vm.swappiness", Namespaces()),
        ("net.core.somaxconn", Namespaces(network="host")),
        ("kernel.shmmax", Namespaces(ipc="host")),
        ("fs.mqueue.msg_max", Namespaces(ipc="host")),
        ("fs.file-max", Namespaces()),
        ("net/../kernel/panic", Namespaces()),
        ("/net/core/somaxconn", Namespaces()),
        ("kernel.domainname", Namespaces(uts="host")),
    ),
)
def test_foreign_sysctls_are_refused(key: str, namespaces: Namespaces) -> None:
    """What isn't in a namespace of the container would change the machine."""
    with pytest.raises(EngineError, match=f"sysctl {key}: cannot set"):
        sysctls(config(sysctls={key: "1"}, namespaces=namespaces))


def test_either_separator_may_come_first() -> None:
    """sysctl(8): it is the one between names, the other belongs to them."""
    given = {
        "net.ipv4.conf.eth0/1.forwarding": "1",
        "net/ipv4/conf/eth0.2/forwarding": "0",
        "kernel.domainname": "d",
    }

    paths = sysctls(config(sysctls=given, namespaces=Namespaces(network="container:x")))

    assert paths == {
        "net/ipv4/conf/eth0.1/forwarding": "1",
        "net/ipv4/conf/eth0.2/forwarding": "0",
        "kernel/domainname": "d",
    }


@pytest.mark.parametrize("kind", ("network", "pid", "ipc", "uts", "cgroup", "user"))
@pytest.mark.parametrize("mode", ("Private", "foo", "", "container:", "service:x", "hosts", "host "))
def test_an_unknown_mode_starts_nothing(kind: str, mode: str) -> None:
    """Least of all in the host's namespace."""
    with pytest.raises(NamespaceError, match=rf"unknown {kind} mode"):
        check_modes(config(namespaces=Namespaces(**{kind: mode})))


def test_capability_names() -> None:
    """Any case, with or without prefix; never more than we have; unknown ones are errors."""
    assert mask_of(("cap_kill", "KILL", "CAP_CHOWN")) == (1 << 5 | 1) & permitted()
    assert mask_of(("ALL",)) == permitted()
    with pytest.raises(EngineError, match="capability FLY"):
        mask_of(("FLY",))


def test_the_reaper_gets_the_command_behind_a_double_dash() -> None:
    """A command that starts with a dash isn't taken for an option."""
    assert with_init(Process(args=("-x", "y"))).args == ("/sbin/docker-init", "--", "-x", "y")


def test_program_lookup(tmp_path: Path) -> None:
    """First executable file along PATH; a file that isn't executable is told from none."""
    for name, mode in (("a/tool", 0o644), ("b/tool", 0o755), ("a/plain", 0o644), ("a/dir/x", 0o644)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(mode)
    env = {"PATH": f"/nowhere:{tmp_path}/a:{tmp_path}/b"}

    assert find_program(("tool",), env) == f"{tmp_path}/b/tool"
    assert find_program(("./tool", "x"), env) == "./tool"
    with pytest.raises(PermissionError):
        find_program(("plain",), env)
    for args in (("dir",), ("nothing",), (), ("",)):
        with pytest.raises(FileNotFoundError):
            find_program(args, env)


@pytest.mark.parametrize(
    ("number", "code"),
    (
        (errno.ENOENT, 127),
        (errno.ENOTDIR, 127),
        (errno.EACCES, 126),
        (errno.EISDIR, 126),
        (errno.ENOEXEC, 126),
        (errno.ENOMEM, 126),
    ),
)
def test_execve_failures_have_the_shells_codes(number: int, code: int) -> None:
    """127 is not found, 126 is found but not executable."""
    error = child_error.to_error(
        "container c", {"errno": number, "op": "execve", "path": "x", "message": "m"}
    )

    assert isinstance(error, ExecError)
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("op", "number", "message", "hint"),
    (
        ("mount", errno.ENOSPC, "move_mount: No space left on device", "fs.mount-max"),
        ("mount", errno.ENOSPC, "No space left on device", "None"),
        ("enter the container", errno.EAGAIN, "clone3: Resource temporarily unavailable", "kernel.pid_max"),
    ),
)
def test_limits_of_the_machine_are_named(op: str, number: int, message: str, hint: str) -> None:
    """A limit of mounts isn't a full disk, and one of processes no lack of the kernel."""
    failure = {"errno": number, "op": op, "path": "/data", "message": message}

    assert hint in str(child_error.to_error("container c", failure).hint)


def test_failures_become_errors_of_their_kind() -> None:
    """Mounts have hints, the rest tells its step; an error of ours keeps its words."""
    child_error.at("mount", "/data")
    error = child_error.to_error("container c", child_error.describe(OSError(errno.ELOOP, "too many links")))
    assert isinstance(error, MountError)
    assert error.message == "container c: cannot mount /data: too many links"
    assert error.hint == "the image has a symbolic link there"

    child_error.at("mount", "/sys")
    lacking = child_error.to_error(
        "container c", child_error.describe(OSError(errno.ENODEV, "no such device"))
    )
    assert str(lacking.hint).startswith("`pycompose doctor` shows")

    child_error.at("change the user", "app")
    ours = child_error.to_error("container c", child_error.describe(EngineError("user app: no", hint="h")))
    assert isinstance(ours, ChildError)
    assert (ours.message, ours.hint, ours.step) == ("container c: user app: no", "h", "change the user")

    other = child_error.to_error("container c", child_error.describe(ValueError("odd")))
    assert other.message == "container c: cannot change the user app: ValueError: odd"


@pytest.mark.parametrize(
    "error",
    (
        EngineError("a", hint="b"),
        ExecError("a", exit_code=126),
        ChildError("a", step="s", errno=5),
        NoSuchContainer("a"),
        PycomposeError("p"),
    ),
)
def test_errors_survive_the_wire(error: PycomposeError) -> None:
    """Type, message, hint, exit code and the rest."""
    back = wire.error_from_json(wire.error_to_json(error))

    assert type(back) is type(error)
    assert vars(back) == vars(error)
    assert str(back) == str(error)


def test_foreign_errors_are_told_by_type() -> None:
    """And an unknown type from a newer keeper is an EngineError."""
    back = wire.error_from_json(wire.error_to_json(ZeroDivisionError("x")))
    assert back.message == "keeper: unexpected error: ZeroDivisionError: x"
    assert type(wire.error_from_json({"type": "Newer", "message": "m"})) is EngineError
    assert type(wire.error_from_json({"type": "annotations", "message": "m"})) is EngineError


@given(st.dictionaries(st.text(max_size=10), st.integers() | st.text(max_size=50) | st.none(), max_size=5))
def test_messages_arrive_as_they_were(message: dict[str, Any]) -> None:
    """Whatever JSON can say."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        wire.send(left, wire.encode(message))
        assert wire.receive(right) == (message, [])
        left.close()
        assert wire.receive(right) is None


@pytest.mark.parametrize("data", (b"x", b"[]", b"3", b"{" * 100_000, b"\xff"))
def test_nonsense_is_refused(data: bytes) -> None:
    """Not an object, not JSON, too long."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        left.send(data)
        with pytest.raises(EngineError, match="cannot read a message"):
            wire.receive(right)


def test_long_messages_are_not_sent() -> None:
    """64 KiB, and the operation is named."""
    with pytest.raises(EngineError, match="cannot send exec: "):
        wire.encode({"op": "exec", "x": "y" * wire.MAX_BYTES})
