"""What processes of a container may gain, exceed or get around: nothing by setuid programs, execs, signals or death."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from pycompose.engine.config import Device, Limits, Rlimit, RootfsTree, User
from pycompose.engine.errors import EngineError

from tests.support.attack import TOOLS
from tests.support.lab import Lab, status_field

MIB = 1024 * 1024


def setuid_root(lab: Lab) -> tuple[Path, tuple[RootfsTree, ...]]:
    """Make a layer with a setuid program; return it and the root that has it."""
    top = lab.paths.root / "setuid"
    top.mkdir()
    shutil.copy("/bin/cat", top / "cat")  # busybox gives such rights away itself
    (top / "cat").chmod(0o4755)
    return top, (RootfsTree(lowers=(str(top), str(lab.rootfs))),)


@pytest.mark.parametrize(("denied", "uid"), ((False, "0"), (True, "1000")))
def test_a_setuid_program(lab: Lab, denied: bool, uid: str) -> None:  # noqa: FBT001 - a column
    """With no-new-privileges it gains nothing, at the start and in an exec; without, as much as the container has."""
    top, rootfs = setuid_root(lab)
    process = {"user": User(spec="app"), "no_new_privs": denied}
    container = lab.make("/cat /proc/self/status; sleep 1000", rootfs=rootfs, mounts=TOOLS, process=process)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "nonvoluntary")
    executed = lab.exec(container, ["/cat", "/proc/self/status"], user=User(spec="app"), no_new_privs=denied)[
        1
    ]

    for said in (lab.output(container), executed):
        assert status_field(said, "Uid").split()[1] == uid
        assert status_field(said, "CapBnd") == "00000000a80425fb"
        assert (int(status_field(said, "CapEff"), 16) == 0) is denied
    lab.keeper.kill(container)
    lab.exit_code(container)
    lab.remove(top)


def test_an_exec_cannot_open_what_its_container_cannot(lab: Lab) -> None:
    """Devices and limits hold for what is executed, with all capabilities too."""
    device = Device(source="/dev/kmsg", target="/dev/kmsg", permissions="m")
    container = lab.make(["sleep", "1000"], devices=(device,), limits=Limits(pids=20, memory_bytes=32 * MIB))
    lab.keeper.start_container(container)
    script = "cat /dev/kmsg; mknod /vda b 254 0; cat /vda; echo x >/vda"

    code, said = lab.exec(container, script, capabilities=("ALL",))
    greedy = lab.exec(container, "head -c 60000000 /dev/zero | tail >/dev/null")[0]
    many = lab.exec(container, "for i in `seq 40`; do sleep 600 >/dev/null 2>&1 & done")[1]

    assert code != 0
    assert said.count("not permitted") == 3
    assert greedy == 137
    assert "can't fork" in many
    lab.keeper.kill(container)
    lab.exit_code(container)


def test_an_exec_has_the_limits_it_is_given(lab: Lab) -> None:
    """The service's ulimits, no more and no less; above the machine's own hard limit it is an error."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)
    limits = (Rlimit(name="nofile", soft=100, hard=200),)

    assert lab.exec(container, "ulimit -Sn; ulimit -Hn", rlimits=limits) == (0, "100\n200\n")
    assert "not permitted" in lab.exec(container, "ulimit -n 300", rlimits=limits)[1]
    with pytest.raises(EngineError, match="ulimit nofile"):
        lab.exec(container, "true", rlimits=(Rlimit(name="nofile", soft=1, hard=1 << 40),))
    lab.keeper.kill(container)
    lab.exit_code(container)


def test_directories_that_only_one_of_them_may_enter(lab: Lab) -> None:
    """Root without capabilities starts in a directory of the user's own, and the user in one of root's."""
    top = lab.paths.root / "private"
    (top / "users").mkdir(parents=True, mode=0o700)
    os.chown(top / "users", 1000, 1000)
    rootfs = (RootfsTree(lowers=(str(top), str(lab.rootfs))),)
    user = User(spec="app")

    assert lab.run("pwd", rootfs=rootfs, process={"cwd": "/users", "capabilities": ()}) == (0, "/users\n")
    assert lab.run("pwd", rootfs=rootfs, process={"cwd": "/users", "user": user}) == (0, "/users\n")
    assert lab.run("pwd; ls", process={"cwd": "/root", "user": user})[1].startswith(
        "/root\nls: .: Permission denied"
    )
    lab.remove(top)


@pytest.mark.parametrize(
    "number", (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGWINCH, 34, 50, 64)
)
def test_signals_arrive(lab: Lab, number: int) -> None:
    """By number, those of real time too."""
    container = lab.make(f"trap 'echo came; exit 7' {int(number)}; echo ready; while :; do sleep 0.05; done")
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "ready")

    lab.keeper.signal(container, int(number))

    assert lab.exit_code(container) == 7
    assert lab.output(container).splitlines()[-1] == "came"


@pytest.mark.parametrize("number", (-1, 65, 1000))
def test_signals_that_there_are_not(lab: Lab, number: int) -> None:
    """Are refused, and do nothing."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)

    with pytest.raises(EngineError, match=rf"signal {number}"):
        lab.keeper.signal(container, number)
    lab.keeper.kill(container)
    lab.exit_code(container)


def test_a_child_that_runs_out_of_memory_is_killed_alone(lab: Lab) -> None:
    """The container goes on, and is not said to have been killed.

    What the kernel has killed may still count, though it is no process any more, and then another one goes, too: all
    that the child is are more willing to than process 1.
    """
    child = "(echo 1000 >/proc/self/oom_score_adj; head -c 60000000 /dev/zero | tail >/dev/null)"
    script = f"{child}; echo child $?; sleep 0.1; exit 3"
    container = lab.make(script, limits=Limits(memory_bytes=24 * MIB, memory_swap_bytes=24 * MIB))
    lab.keeper.start_container(container)

    assert lab.exit_code(container) == 3
    assert lab.output(container).splitlines()[-1] == "child 137"
    assert not lab.state(container).oom_killed
