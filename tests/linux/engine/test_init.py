"""`init: true`: our own process 1 in real containers."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from pycompose.engine.config import Namespaces, RootfsTree, Security, User
from pycompose.engine.errors import ExecError
from pycompose.engine.init import program

from tests.support.lab import Lab, status_field
from tests.support.requires import requires
from tests.support.rootfs import BUSYBOX

INIT = {"init": True}
pytestmark = requires("root", "overlay", "static-busybox")


def _wait_for_child(pid: int, name: str) -> None:
    """Wait until the child of `pid` has executed the program `name`."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not any(
        Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() == name
        for child in children.read_text(encoding="ascii").split()
    ):
        time.sleep(0.005)


def test_process_one_is_ours_and_the_command_its_child(lab: Lab) -> None:
    """Under docker-init's name, with the command's exit code."""
    code, text = lab.run(
        "readlink /proc/1/exe; cat /proc/1/comm; tr '\\0' '|' </proc/1/cmdline; echo; echo $PPID; exit 6",
        process=INIT,
    )

    assert code == 6
    exe, name, arguments, parent = text.splitlines()
    assert (exe, name, parent) == ("/sbin/docker-init", "docker-init", "1")
    assert arguments.startswith("/sbin/docker-init|--|sh|-c|")


@pytest.mark.parametrize(("script", "code"), (("kill -9 $$", 137), ("kill -SEGV $$", 139), ("nosuch", 127)))
def test_exit_codes(lab: Lab, script: str, code: int) -> None:
    """128+n for a command that signal n ended."""
    assert lab.run(script, process=INIT)[0] == code


def test_a_missing_command_is_told_by_the_init(lab: Lab) -> None:
    """The container has run, as in Docker; without any command there is none to run."""
    assert lab.run(["nosuch"], process=INIT) == (
        127,
        "docker-init: cannot execute nosuch: no such file or directory\n",
    )
    with pytest.raises(ExecError, match="cannot execute"):
        lab.keeper.start_container(lab.make([], process=INIT))


def test_orphans_are_reaped(lab: Lab) -> None:
    """No zombie stays, of a hundred that nobody waits for."""
    script = "for i in $(seq 100); do (sh -c 'exit 1' &); done; echo done; exec sleep 1000"
    container = lab.make(script, process=INIT)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "done")

    assert lab.exec(container, "while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done")[0] == 0


def test_signals_reach_the_command(lab: Lab) -> None:
    """One that it handles, and one that ends it because it isn't process 1."""
    script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done"
    container = lab.make(script, process=INIT)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "ready")

    lab.keeper.signal(container, signal.SIGHUP)
    lab.wait_for_output(container, "hup")
    lab.keeper.signal(container, signal.SIGTERM)
    assert lab.exit_code(container) == 143


def test_a_stop_takes_no_time(lab: Lab) -> None:
    """`sleep` as process 1 would be deaf to SIGTERM."""
    container = lab.make(["sleep", "1000"], process=INIT)
    pid = lab.keeper.start_container(container).pid
    _wait_for_child(pid, "sleep")
    start = time.monotonic()
    lab.keeper.signal(container, signal.SIGTERM)

    assert lab.exit_code(container) == 143
    assert time.monotonic() - start < 5


def test_it_ends_with_its_command_and_takes_the_rest_along(lab: Lab) -> None:
    """What the command leaves behind doesn't keep the container."""
    start = time.monotonic()
    code, _text = lab.run("setsid sleep 1000 & exit 3", process=INIT)

    assert (code, time.monotonic() - start < 5) == (3, True)


def test_an_image_of_one_file_is_enough(lab: Lab, tmp_path: Path) -> None:
    """No shell, no libc, no /sbin."""
    (tmp_path / "image").mkdir()
    shutil.copy2(BUSYBOX, tmp_path / "image/busybox")
    code, text = lab.run(
        ["/busybox", "ls", "/sbin"],
        process=INIT,
        rootfs=(RootfsTree(lowers=(str(tmp_path / "image"),)),),
        security=Security(read_only_rootfs=True),
    )

    assert (code, text) == (0, "docker-init\n")


def test_a_merged_usr_gets_it_too(lab: Lab, tmp_path: Path) -> None:
    """/sbin is a link in today's distributions."""
    image = tmp_path / "image"
    (image / "usr/sbin").mkdir(parents=True)
    (image / "sbin").symlink_to("usr/sbin")
    shutil.copy2(BUSYBOX, image / "usr/sbin/busybox")
    trees = (RootfsTree(lowers=(str(image),)),)

    assert lab.run(["/sbin/busybox", "readlink", "/proc/1/exe"], process=INIT, rootfs=trees) == (
        0,
        "/usr/sbin/docker-init\n",
    )


def test_it_holds_nothing_of_the_host(lab: Lab) -> None:
    """The container's streams are open, nothing else; it has no more rights than the command."""
    wanted = {**INIT, "user": User(spec="1000:1000"), "no_new_privs": True}
    fields = "^(Cap|NoNew|Uid|Groups|Seccomp:)"
    script = f"ls /proc/1/fd; for n in 1 self; do echo -; grep -E '{fields}' /proc/$n/status; done"
    _code, text = lab.run(script, process=wanted, namespaces=Namespaces(network="private"))
    descriptors, its, own = text.split("-\n")

    assert descriptors.split() == ["0", "1", "2"]
    assert its == own
    assert status_field(its, "NoNewPrivs") == "1"


def test_the_container_cannot_change_it(lab: Lab) -> None:
    """By no name: it is read-only, and busy besides; ours on the host is as before."""
    text = lab.run(
        "for f in /sbin/docker-init /proc/1/exe; do (echo x >$f) 2>/dev/null && echo WRITTEN; done;"
        "rm -f /sbin/docker-init 2>/dev/null && echo REMOVED; grep ' /sbin/docker-init ' /proc/mounts | cut -d' ' -f4",
        process=INIT,
    )[1]

    assert text.split(",")[0] == "ro"
    assert lab.paths.init.read_bytes() == program.packaged(os.uname().machine).read_bytes()


def test_it_takes_next_to_no_memory(lab: Lab) -> None:
    """A few pages: stack, and one of code that all containers share."""
    container = lab.make(["sleep", "1000"], process=INIT)
    pid = lab.keeper.start_container(container).pid
    _wait_for_child(pid, "sleep")
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")

    assert int(status_field(text, "Pss").removesuffix("kB")) <= 32


def test_without_its_own_processes_there_is_none(lab: Lab) -> None:
    """In the host's pid namespace somebody else reaps."""
    _code, text = lab.run("readlink /proc/$$/exe", process=INIT, namespaces=Namespaces(pid="host"))

    assert "docker-init" not in text
