"""A container from start to end: states, exit codes, output, signals, pause, discard."""

from __future__ import annotations

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pycompose.engine.config import LogConfig, Mount, MountKind, Namespaces, RootfsTree
from pycompose.engine.errors import (
    ChildError,
    EngineError,
    ExecError,
    MountError,
    NamespaceError,
    NoSuchContainer,
    StateError,
)
from pycompose.engine.linux.process import signal_handled
from pycompose.engine.state import Status

from tests.support.lab import Lab, runs
from tests.support.namespaces import mount, umount


def test_exit_code_and_output_are_kept(lab: Lab) -> None:
    """What was printed last before the end is in the log by stream, the code in the event and the state."""
    container = lab.make("echo out; echo err >&2; printf unfinished; exit 7")

    started = lab.keeper.start_container(container)

    assert started.status in (Status.RUNNING, Status.EXITED)
    assert started.started_ns > 0
    assert lab.exit_code(container) == 7
    assert lab.output(container, "stdout") == "out\nunfinished\n"
    assert lab.output(container, "stderr") == "err\n"
    state = lab.state(container)
    assert (state.status, state.exit_code, state.exit_code_known) == (Status.EXITED, 7, True)
    assert state.finished_ns >= state.started_ns


@pytest.mark.parametrize(
    ("script", "code"), (("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 0), ("kill -15 $$", 0))
)
def test_exit_codes_pass_through(lab: Lab, script: str, code: int) -> None:
    """Codes are the process's own; pid 1 is immune to its own SIGKILL and, without handler, SIGTERM."""
    assert lab.run(script)[0] == code


def test_death_by_signal_is_128_plus_n(lab: Lab) -> None:
    """A pid 1 killed from outside ends with 137."""
    container = lab.make("sleep 1000")
    lab.keeper.start_container(container)

    lab.keeper.signal(container, signal.SIGKILL)

    assert lab.exit_code(container) == 137
    assert not lab.state(container).oom_killed


def test_a_state_directory_on_an_overlay_is_explained(lab: Lab) -> None:
    """As inside a container of somebody else's, where the kernel only says "Invalid argument"."""
    container = lab.make("true")
    rw = lab.paths.container(container) / "rw"
    places = [lab.paths.root / "outer" / name for name in ("lower", "upper", "work")]
    for place in (*places, rw):
        place.mkdir(parents=True)
    lower, upper, work = places
    mount("overlay", rw, "overlay", data=f"lowerdir={lower},upperdir={upper},workdir={work}")
    try:
        with pytest.raises(MountError, match="cannot mount overlay /") as caught:
            lab.keeper.start_container(container)
    finally:
        umount(rw)

    assert "set PYCOMPOSE_ROOT" in str(caught.value.hint)


def test_an_image_that_lacks_everything_gets_it_from_the_base(lab: Lab, tmp_path: Path) -> None:
    """Mount points and marks come from one layer for all; what the image has lies over them, what is written, too."""
    image = tmp_path / "image"
    shutil.copytree(lab.rootfs, image, symlinks=True)
    for name in ("dev", "proc", "sys"):
        (image / name).rmdir()
    shutil.rmtree(image / "etc")
    trees = (RootfsTree(lowers=(str(image),)),)
    first = lab.make("ls -a / /etc; readlink /etc/mtab; echo mine > /etc/more", rootfs=trees)

    lab.keeper.start_container(first)

    assert lab.exit_code(first) == 0
    shown = lab.output(first).split()
    assert {".dockerenv", "dev", "etc", "proc", "sys", "mtab", "/proc/mounts"} <= set(shown)
    upper = lab.paths.container(first) / "rw/0/upper"
    assert sorted(path.name for path in upper.rglob("*")) == ["etc", "more"]
    (lab.paths.base / ".dockerenv").unlink()  # as after a crash in the middle
    shutil.rmtree(lab.paths.base / "proc")
    assert lab.run("test -e /proc/1 -a -e /.dockerenv && echo whole", rootfs=trees) == (0, "whole\n")
    assert (lab.paths.base / "proc").is_dir()


def test_a_process_without_handler_is_known_beforehand(lab: Lab) -> None:
    """signal_handled tells whether pid 1 would react to its stop signal."""
    deaf = lab.make(["sleep", "1000"])
    polite = lab.make("trap 'exit 3' TERM; echo set; while :; do sleep 0.1; done")
    deaf_pid = lab.keeper.start_container(deaf).pid
    polite_pid = lab.keeper.start_container(polite).pid
    lab.wait_for_output(polite, "set")

    assert not signal_handled(deaf_pid, signal.SIGTERM)
    assert signal_handled(polite_pid, signal.SIGTERM)
    lab.keeper.signal(polite, signal.SIGTERM)
    assert lab.exit_code(polite) == 3


def test_kill_takes_everything(lab: Lab) -> None:
    """Kill reaches processes that left the session and ignore signals, in a shared pid namespace too."""
    container = lab.make(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo child $$; sleep 1000' & wait",
        namespaces=Namespaces(network="host", pid="host"),
    )
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "child")
    child = int(lab.output(container).split()[1])

    lab.keeper.kill(container)

    assert lab.exit_code(container) == 137
    lab.keeper.discard(container)
    assert not runs(child)


def test_pid_one_of_a_shared_namespace_takes_its_children_along(lab: Lab) -> None:
    """With pid: host the kernel doesn't end the others when the first process ends; we do."""
    container = lab.make("sleep 1000 & echo $!", namespaces=Namespaces(network="host", pid="host"))
    lab.keeper.start_container(container)
    assert lab.exit_code(container) == 0
    child = int(lab.output(container))

    lab.keeper.discard(container)

    assert not runs(child)


def test_pause_stops_and_unpause_goes_on(lab: Lab) -> None:
    """A paused container prints nothing, refuses exec, can be killed; its state says paused."""
    container = lab.make("while :; do echo tick; sleep 0.01; done")
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "tick")

    lab.keeper.pause(container)

    assert lab.state(container).status is Status.PAUSED
    with pytest.raises(StateError, match="cannot execute: it is paused"):
        lab.exec(container, "true")
    with pytest.raises(EngineError, match="cannot pause: it is paused"):
        lab.keeper.pause(container)
    lab.keeper.unpause(container)
    assert lab.state(container).status is Status.RUNNING
    count = lab.output(container).count("tick")
    lab.wait_for_output(container, "tick\n" * (count + 3))
    lab.keeper.pause(container)
    lab.keeper.kill(container)
    assert lab.exit_code(container) == 137


def test_requests_for_the_wrong_state_are_refused(lab: Lab) -> None:
    """Starting twice, and signalling what doesn't run, are errors that say so."""
    container = lab.make("sleep 1000")
    lab.keeper.start_container(container)

    with pytest.raises(StateError, match="running already"):
        lab.keeper.start_container(container)
    with pytest.raises(NoSuchContainer):
        lab.keeper.signal("f" * 64, 15)
    with pytest.raises(EngineError, match="cannot send signal 1000"):
        lab.keeper.signal(container, 1000)


def test_restart_uses_the_same_writable_layer(lab: Lab) -> None:
    """Files written by the first run are there in the second; the log goes on."""
    container = lab.make("cat /note 2>/dev/null || echo first; echo second > /note")
    for _ in range(2):
        lab.events.clear()
        lab.keeper.start_container(container)
        assert lab.exit_code(container) == 0

    assert lab.output(container) == "first\nsecond\n"


def test_discard_removes_and_can_be_repeated(lab: Lab) -> None:
    """Discard kills, removes run directory and control group, and is content when nothing is there."""
    container = lab.make("sleep 1000")
    lab.keeper.start_container(container)

    lab.keeper.discard(container)
    lab.keeper.discard(container)

    assert lab.keeper.list() == []
    assert not lab.paths.container_run(container).exists()


@pytest.mark.parametrize(
    ("args", "code"),
    (
        (["nothere"], 127),
        (["/bin/nothere"], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
        (["/script-of-nobody"], 127),
        (["/text"], 126),
        (["/etc/passwd/x"], 127),
    ),
)
def test_what_cannot_execute_is_told_apart(lab: Lab, args: list[str], code: int) -> None:
    """127 for what isn't there (also the interpreter of a script), 126 for what isn't executable."""
    files = lab.paths.root / "files"
    files.mkdir()
    for name, text in (("script-of-nobody", "#!/no/such/sh\n"), ("text", "just text\n")):
        (files / name).write_text(text)
        (files / name).chmod(0o755)
    container = lab.make(args, rootfs=(RootfsTree(lowers=(str(files), str(lab.rootfs))),))

    with pytest.raises(ExecError, match=f"cannot execute {args[0]}: ") as caught:
        lab.keeper.start_container(container)

    assert caught.value.exit_code == code
    assert lab.keeper.list() == []
    state = lab.state(container)
    assert (state.status, state.exit_code) == (Status.CREATED, code)
    assert state.error == caught.value.message


def test_errors_of_the_child_name_what_failed(lab: Lab) -> None:
    """Mount source, user, working directory, namespace: each error says what it was about."""
    missing = Mount(kind=MountKind.BIND, source="/nonexistent/x", target="/data")
    with pytest.raises(MountError, match=r"lab-1: cannot mount /nonexistent/x: .*No such file"):
        lab.keeper.start_container(lab.make("true", mounts=(missing,)))
    with pytest.raises(ChildError, match=r"working directory /etc/passwd: .*[Nn]ot a directory"):
        lab.keeper.start_container(lab.make("true", process={"cwd": "/etc/passwd"}))
    with pytest.raises(NamespaceError, match="it is not running"):
        lab.keeper.start_container(lab.make("true", namespaces=Namespaces(network="container:" + "e" * 64)))
    with pytest.raises(EngineError, match="layer /nonexistent/layer"):
        lab.keeper.start_container(lab.make("true", rootfs=(RootfsTree(lowers=("/nonexistent/layer",)),)))
    assert lab.keeper.list() == []


def test_a_noisy_container_does_not_starve_others(lab: Lab) -> None:
    """While one floods its log, another starts and ends; the flood is kept within its rotation."""
    noisy = lab.make("yes", log=LogConfig(max_bytes=1 << 20, max_files=2))
    lab.keeper.start_container(noisy)

    assert lab.run("echo quiet") == (0, "quiet\n")

    lab.keeper.kill(noisy)
    assert lab.exit_code(noisy) == 137


def test_the_last_byte_of_a_flood_is_kept(lab: Lab) -> None:
    """Four hundred thousand bytes and a last line: nothing is lost at the end."""
    code, text = lab.run("seq 1 60000; echo end")

    assert code == 0
    assert text.splitlines() == [*map(str, range(1, 60001)), "end"]


def test_many_containers_are_prepared_at_once(lab: Lab) -> None:
    """Threads may call at once; every container gets its own answer."""
    containers = [lab.make(f"exit {number}") for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lab.keeper.start_container, containers))

    assert [lab.exit_code(container) for container in containers] == list(range(12))
    assert threading.active_count() < 20
