"""The keeper itself: connections, held descriptors, terminals and input, death and adoption."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from pycompose.engine.api import ContainerExited, EngineGone
from pycompose.engine.builder.clearing import remove_project
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.client import KeeperClient
from pycompose.engine.config import Namespaces, OciHook, Process
from pycompose.engine.errors import CgroupError, EngineError, NoSuchContainer, StateError
from pycompose.engine.keeper import requests, wire
from pycompose.engine.linux.process import signal_handled
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status

from tests.support.lab import PROJECT, Lab, put_into, status_field
from tests.support.scenario import eventually


def die(lab: Lab) -> None:
    """Kill the keeper as the kernel would, and wait until its supervisor knows."""
    os.kill(lab.keeper.pid, signal.SIGKILL)
    lab.wait(EngineGone)
    lab.keeper.close()
    lab.events.clear()


def test_containers_survive_the_keeper_and_are_adopted(lab: Lab) -> None:
    """After SIGKILL of the keeper the container runs on; the next one copies its output and knows its end."""
    container = lab.make("n=0; while [ ! -e /stop ]; do n=$((n+1)); echo $n; sleep 0.01; done; exit 5")
    pid = lab.keeper.start_container(container).pid
    lab.wait_for_output(container, "3\n")

    die(lab)
    assert lab.state(container).status is Status.RUNNING
    lab.start()

    (entry,) = lab.keeper.list()
    assert (entry["id"], entry["pid"], entry["status"]) == (container, pid, "running")
    assert lab.exec(container, "touch /stop")[0] == 0
    event = lab.wait(ContainerExited)
    numbers = [int(line) for line in lab.output(container).splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), "output was lost or doubled"
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    expected = (5, True) if release >= (6, 15) else (255, False)
    assert (event.exit_code, event.exit_code_known) == expected
    assert lab.state(container).exit_code == expected[0]


def test_an_end_without_keeper_has_an_unknown_code(lab: Lab) -> None:
    """What ended while nobody looked is exited, and says so when the code is a guess."""
    container = lab.make(["sleep", "1000"])
    pid = lab.keeper.start_container(container).pid
    watch = os.pidfd_open(pid)

    die(lab)
    os.kill(pid, signal.SIGKILL)
    assert signal_of_end(watch)
    lab.start()

    if lab.keeper.list():  # a zombie: the code is known if somebody reaps it within two seconds
        lab.wait(ContainerExited)
    state = lab.state(container)
    assert state.status is Status.EXITED
    assert (state.exit_code, state.exit_code_known) in ((255, False), (137, True))
    assert state.finished_ns > 0
    assert lab.keeper.list() == []


def signal_of_end(pidfd: int) -> bool:
    """Wait for the end of a process that isn't ours."""
    try:
        return bool(select.select([pidfd], [], [], 10)[0])
    finally:
        os.close(pidfd)


def test_a_paused_container_is_adopted_paused(lab: Lab) -> None:
    """The state of the freezer is the container's, not the keeper's."""
    container = lab.make("while :; do echo tick; sleep 0.01; done")
    lab.keeper.start_container(container)
    lab.keeper.pause(container)

    die(lab)
    lab.start()

    assert lab.keeper.list()[0]["status"] == "paused"
    lab.keeper.unpause(container)
    count = lab.output(container).count("tick")
    lab.wait_for_output(container, "tick\n" * (count + 3))


@pytest.mark.parametrize("victim", ("keeper", "supervisor"))
def test_a_start_that_is_cut_off_is_decided_before_the_next_one_looks(lab: Lab, victim: str) -> None:
    """It runs or it is gone, and in either case the container can be used; ten different moments."""
    for number in range(10):
        container = lab.make(["sleep", "1000"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with wire.address(lab.paths.keeper_socket(PROJECT)) as name:
                sock.connect(name)
            wire.send(sock, wire.encode({"id": 1, "op": "hello", "protocol": wire.PROTOCOL}))
            assert wire.receive(sock) is not None
            wire.send(sock, wire.encode({"id": 2, "op": "start", "container": container, "filter": ""}))
            select.select([sock], [], [], number * 0.001)
            if victim == "keeper":
                die(lab)
        if victim == "keeper":
            lab.start()
        else:
            lab.keeper.close()
            lab.keeper = KeeperClient.connect(lab.paths, PROJECT, on_event=lab.on_event)

        running = {entry["id"]: entry["status"] for entry in lab.keeper.list()}

        assert running.get(container, "running") == "running"
        status = lab.state(container).status
        assert status is (Status.RUNNING if container in running else Status.CREATED)
        if container not in running:
            assert lab.keeper.start_container(container).status is Status.RUNNING
        lab.keeper.discard(container)


def test_several_get_their_signals_in_one_go_and_whoever_has_ended_harms_nobody(lab: Lab) -> None:
    """What is wrong with one of them is told of that one; all others have got theirs, once."""
    container = lab.make("trap 'n=$((n+1))' TERM; while [ ! -e /stop ]; do sleep 0.01; done; echo $n signals")
    lab.keeper.start_container(container)
    eventually(lambda: signal_handled(lab.state(container).pid, signal.SIGTERM))

    gone, reached, unknown = lab.keeper.signal_each(
        [("0" * 64, signal.SIGTERM), (container, signal.SIGTERM), ("1" * 64, signal.SIGTERM)]
    )

    assert isinstance(gone, NoSuchContainer)
    assert isinstance(unknown, NoSuchContainer)
    assert reached is None
    assert lab.exec(container, "touch /stop")[0] == 0
    lab.wait(ContainerExited)
    assert lab.output(container) == "1 signals\n"


def test_several_are_discarded_in_one_go(lab: Lab) -> None:
    """Those that run, those that have never run, and those that nobody knows, which are no error."""
    running = [lab.make("sleep 100") for _ in range(3)]
    for container in running:
        lab.keeper.start_container(container)

    lab.keeper.discard(*running, lab.make("true"), "0" * 64)

    assert lab.keeper.list() == []
    assert [one for one in running if lab.paths.container_run(one).exists()] == []


def test_held_descriptors_survive_the_supervisor(lab: Lab) -> None:
    """A socket held by the keeper is there for the next connection, until it is dropped."""
    ours, theirs = socket.socketpair()
    lab.keeper.hold("dns", [theirs.fileno()])
    theirs.close()
    lab.keeper.close()

    lab.keeper = KeeperClient.connect(lab.paths, PROJECT, on_event=lab.on_event)

    assert lab.keeper.held() == ["dns"]
    (fd,) = lab.keeper.take("dns")
    with socket.socket(fileno=fd) as taken:
        taken.send(b"still here")
        assert ours.recv(64) == b"still here"
    lab.keeper.drop("dns")
    assert ours.recv(64) == b""
    assert lab.keeper.held() == []
    with pytest.raises(EngineError, match="cannot take dns"):
        lab.keeper.take("dns")
    ours.close()


def test_a_second_keeper_is_refused(lab: Lab) -> None:
    """There is one keeper per project."""
    with pytest.raises(EngineError, match="one is running already"):
        KeeperClient.start(lab.paths, PROJECT, on_event=lab.on_event, log=lab.log_of_keeper)


DIES = """
import os, sys
from pathlib import Path
from pycompose.engine.client import KeeperClient
from pycompose.engine.paths import StatePaths
mark, log = map(Path, sys.argv[1:])
guard = (("/bin/sh", "-c", f"echo guarded >{mark}"), dict(os.environ))
paths = StatePaths.from_environment(os.environ)
KeeperClient.launch_guarded(paths, "short", log, on_event=lambda _event: None, guard=guard)
os.kill(os.getpid(), 9)
"""


def test_a_guard_holds_before_the_keeper_is_there(lab: Lab, tmp_path: Path) -> None:
    """Who dies as soon as it has started a keeper is missed by it all the same."""
    mark = tmp_path / "mark"
    environment = {**os.environ, **lab.paths.to_environment()}
    argv = [sys.executable, "-c", DIES, str(mark), str(tmp_path / "log")]
    assert subprocess.run(argv, env=environment, check=False).returncode == -signal.SIGKILL
    try:
        assert eventually(lambda: mark.exists() and mark.read_text()) == "guarded\n"
    finally:
        keeper = KeeperClient.connect(lab.paths, "short", on_event=lab.on_event)
        keeper.shutdown(force=True)
        keeper.close()
        remove_project(lab.paths, "short")


def test_connecting_to_nobody_is_an_error(lab: Lab) -> None:
    """The message names the project."""
    with pytest.raises(EngineError, match="keeper of nobody: cannot connect"):
        KeeperClient.connect(lab.paths, "nobody", on_event=lab.on_event)


def test_another_protocol_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper of another version says so instead of guessing."""
    ours = wire.PROTOCOL
    monkeypatch.setattr(wire, "PROTOCOL", 999)

    with pytest.raises(EngineError, match=f"speaks protocol {ours}, not 999"):
        KeeperClient.connect(lab.paths, PROJECT, on_event=lab.on_event)


def test_without_hello_nothing_is_served(lab: Lab) -> None:
    """The first message must be the greeting; nonsense closes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        with wire.address(lab.paths.keeper_socket(PROJECT)) as name:
            sock.connect(name)
        sock.send(b'{"id": 1, "op": "list"}')
        assert b"no hello" in sock.recv(4096)
        sock.send(b"nonsense")
        assert sock.recv(4096) == b""


def test_a_container_that_isnt_there_can_neither_start_nor_execute(lab: Lab) -> None:
    """One that is removed meanwhile, say."""
    with pytest.raises(NoSuchContainer, match="container ffffffffffff: there is none"):
        lab.keeper.start_container("f" * 64)
    with pytest.raises(NoSuchContainer, match="container ffffffffffff: there is none"):
        lab.exec("f" * 64, "true")


def test_unknown_operations_and_bad_arguments_are_answered(lab: Lab) -> None:
    """A request that makes no sense is an error of this request only."""
    path = lab.paths.keeper_socket(PROJECT)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        with wire.address(path) as name:
            sock.connect(name)
        answers = []
        for number, message in enumerate(
            ({"op": "hello", "protocol": wire.PROTOCOL}, {"op": "fly"}, {"op": "signal"})
        ):
            wire.send(sock, wire.encode({"id": number, **message}))
            received = wire.receive(sock)
            assert received is not None
            answers.append(received[0].get("error", {}).get("message", ""))
    assert "unknown operation fly" in answers[1]
    assert "cannot signal: TypeError" in answers[2]
    assert lab.keeper.list() == []


def test_nothing_starts_without_the_filter_that_it_should_have(lab: Lab) -> None:
    """A client gives a filter once per connection and names it from then on; what nobody has given is an error."""
    container = lab.make(["sleep", "1000"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        with wire.address(lab.paths.keeper_socket(PROJECT)) as name:
            sock.connect(name)
        errors = []
        for request in (
            requests.Hello(protocol=wire.PROTOCOL),
            requests.Start(container=container, filter="nobody's"),
        ):
            wire.send(sock, wire.encode(request.message(0)))
            received = wire.receive(sock)
            assert received is not None
            errors.append(received[0].get("error", {}).get("message", ""))

    assert errors[0] == ""
    assert "no filter of system calls is called nobody's" in errors[1]
    assert lab.keeper.list() == []
    assert lab.keeper.start_container(container).status is Status.RUNNING
    assert lab.exec(container, "grep Seccomp: /proc/self/status") == (0, "Seccomp:\t2\n")


def test_the_socket_is_for_its_owner_only(lab: Lab) -> None:
    """A path in a directory of mode 0700, never an abstract name (CVE-2020-15257)."""
    path = lab.paths.keeper_socket(PROJECT)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    listening = [line.split() for line in Path("/proc/net/unix").read_text().splitlines() if "keeper" in line]
    assert not [fields for fields in listening if fields[-1].startswith("@")]


def test_the_path_of_the_socket_may_be_long(host_paths: StatePaths, busybox_rootfs: Path) -> None:
    """Deeper than the 108 bytes of sun_path."""
    deep = host_paths.run / ("d" * 100) / ("e" * 60)
    deep.mkdir(parents=True)
    paths = StatePaths(root=host_paths.root, run=deep, cgroup_parent=host_paths.cgroup_parent)
    paths.project(PROJECT).mkdir(parents=True)
    lab = Lab(paths=paths, rootfs=busybox_rootfs)
    lab.start()
    try:
        assert lab.run("echo far") == (0, "far\n")
    finally:
        lab.close()
        for directory in (paths.run / "containers", deep, deep.parent):
            directory.rmdir()


def test_the_keeper_runs_from_a_sealed_copy(lab: Lab) -> None:
    """Its executable is nobody's file: who got hold of it could change nothing (CVE-2019-5736)."""
    pid = lab.keeper.pid

    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:pycompose-keeper")
    with pytest.raises(OSError):  # ETXTBSY while it runs, EPERM by the seal ever after
        os.open(f"/proc/{pid}/exe", os.O_WRONLY)
    assert os.getsid(pid) == pid


def test_the_child_before_execve_runs_from_the_sealed_copy(lab: Lab, tmp_path: Path) -> None:
    """What the container's /proc/1/exe shows before it executes is that copy too."""
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nuntil test -e {tmp_path}/seen; do sleep 0.01; done\n")
    hook.chmod(0o700)
    container = lab.make("true", hooks=(OciHook(path=str(hook)),), namespaces=Namespaces(network="private"))
    seen: set[str] = set()
    thread = threading.Thread(target=lab.keeper.start_container, args=(container,))
    thread.start()
    while thread.is_alive():
        for pid in Path(f"/proc/{lab.keeper.pid}/task/{lab.keeper.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                seen.add(os.readlink(f"/proc/{pid}/exe"))
        if seen:
            (tmp_path / "seen").touch()  # which the child waits for before it executes
    thread.join()

    assert any(name.startswith("/memfd:pycompose-keeper") for name in seen)
    assert all(name.startswith("/memfd:pycompose-keeper") or name == "/bin/busybox" for name in seen)


def test_shutdown_needs_force_while_containers_run(lab: Lab) -> None:
    """Without force it is refused; with it everything is killed and written down first."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)

    with pytest.raises(StateError, match="it has 1 containers"):
        lab.keeper.shutdown()
    lab.keeper.shutdown(force=True)

    assert lab.state(container).exit_code == 137
    assert not lab.paths.keeper_socket(PROJECT).exists()
    lab.keeper.close()
    lab.start()


def test_a_terminal_is_the_containers_own(lab: Lab) -> None:
    """With tty: a terminal as console and streams, size settable, input by the master, output in the log."""
    container = lab.make(
        "tty; ls -l /dev/console; stty -echo; echo ready; read line; stty size; echo got $line; echo $TERM",
        process={"tty": True},
    )
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "ready")
    lab.keeper.resize(container, 33, 99)

    attached = lab.keeper.attach(container)
    assert attached.terminal is not None
    os.write(attached.terminal, b"typed\n")

    assert lab.exit_code(container) == 0
    os.close(attached.terminal)
    text = lab.output(container)
    assert text.startswith("/dev/pts/0")
    assert "got typed" in text
    assert "33 99" in text
    assert "xterm" in text


def test_input_is_kept_open_until_it_is_closed(lab: Lab) -> None:
    """With stdin_open the container waits for input; closing all ends is the end of file."""
    container = lab.make("cat; echo end", process={"stdin_open": True})
    lab.keeper.start_container(container)

    attached = lab.keeper.attach(container)
    assert attached.stdin is not None
    os.write(attached.stdin, b"some input\n")
    lab.wait_for_output(container, "some input")
    os.close(attached.stdin)
    lab.keeper.close_stdin(container)

    assert lab.exit_code(container) == 0
    assert lab.output(container) == "some input\nend\n"


def test_closed_input_is_empty(lab: Lab) -> None:
    """Without stdin_open the input is /dev/null."""
    assert lab.run("cat; readlink /proc/self/fd/0") == (0, "/dev/null\n")


def test_the_keeper_is_small_and_deaf(lab: Lab) -> None:
    """One thread, every signal blocked, few descriptors."""
    pid = lab.keeper.pid
    text = Path(f"/proc/{pid}/status").read_text()

    assert status_field(text, "Threads") == "1"
    assert status_field(text, "SigBlk") == "fffffffe7ffbfeff"
    assert len(os.listdir(f"/proc/{pid}/fd")) < 10


def test_a_message_that_is_too_long_is_refused_here(lab: Lab) -> None:
    """64 KiB is the limit; the connection stays."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)

    with pytest.raises(EngineError, match="cannot send exec"):
        lab.keeper.exec(container, Process(args=("true", "x" * 70_000)), stdin=None, stdout=None, stderr=None)
    assert lab.exec(container, "true")[0] == 0


def test_a_start_waits_for_what_the_run_before_has_left(lab: Lab) -> None:
    """A probe may die a moment after its container; nothing stays open of a start that failed for it."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)
    with subprocess.Popen(["sleep", "1000"]) as straggler:
        put_into(open_existing(lab.paths, container), straggler.pid)
        lab.keeper.signal(container, signal.SIGKILL)
        assert lab.exit_code(container) == 128 + signal.SIGKILL
        descriptors = Path(f"/proc/{lab.keeper.pid}/fd")
        before = len(os.listdir(descriptors))

        with pytest.raises(CgroupError, match="populated"):
            lab.keeper.start_container(container)
        assert len(os.listdir(descriptors)) == before

        end = threading.Timer(0.2, straggler.kill)
        end.start()
        assert lab.keeper.start_container(container).status is Status.RUNNING
        end.join()


@pytest.mark.parametrize("then", ("wait", "discard"))
def test_a_start_that_waits_is_known_to_all(lab: Lab, then: str) -> None:
    """Nobody else can start the container meanwhile; the next supervisor finds it decided; discard ends the wait."""
    container = lab.make(["sleep", "1000"])
    lab.keeper.start_container(container)
    with subprocess.Popen(["sleep", "1000"]) as straggler, ThreadPoolExecutor(2) as pool:
        put_into(open_existing(lab.paths, container), straggler.pid)
        lab.keeper.signal(container, signal.SIGKILL)
        assert lab.exit_code(container) == 128 + signal.SIGKILL
        both = [pool.submit(lab.keeper.start_container, container) for _ in range(2)]
        refused = next(as_completed(both))
        (late,) = (one for one in both if one is not refused)
        with pytest.raises(StateError, match="running already"):
            refused.result()

        if then == "discard":
            # Not by its group: whoever runs there isn't the container's.
            straggler.kill()
            lab.keeper.discard(container)
            # On a slow machine the start may have begun when the straggler was gone.
            with pytest.raises(EngineError, match=r"being removed|before it ran"):
                late.result()
            assert not lab.paths.container_run(container).exists()
            return
        threading.Timer(0.2, straggler.kill).start()
        second = KeeperClient.connect(lab.paths, PROJECT, on_event=lambda _event: None)

        assert [entry["status"] for entry in second.list()] == ["running"]
        assert late.result().status is Status.RUNNING
        second.close()
