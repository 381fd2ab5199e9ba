"""System calls that need root, or show only in a process of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pycompose.engine.errors import EngineError
from pycompose.engine.launch import sealed_copy
from pycompose.engine.linux import fs, libc, mounts, process

from tests.support.namespaces import mount, umount

OVERLAYFS_SUPER_MAGIC = 0x794C7630  # linux/magic.h


@pytest.fixture
def layers(private_host: Path, tmp_path: Path) -> Iterator[dict[str, int]]:
    """Open two lower directories, upper, work and a place, all on a tmpfs."""
    top = private_host / tmp_path.name
    top.mkdir()
    mount("layers", top, "tmpfs")
    fds = {}
    for name in ("low1", "low2", "upper", "work", "place"):
        (top / name).mkdir()
        fds[name] = os.open(top / name, os.O_PATH | os.O_DIRECTORY)
    (top / "low1/file").write_text("one")
    (top / "low2/file").write_text("two")
    (top / "low2/more").write_text("two")
    yield fds
    for fd in fds.values():
        os.close(fd)
    umount(top)
    top.rmdir()


@pytest.mark.parametrize("make", (mounts.overlay, mounts.overlay_by_names))
def test_an_overlay_by_descriptors_or_by_names_is_the_same(
    layers: dict[str, int], make: Callable[..., int]
) -> None:
    """The way of older kernels gives the same tree, and leaves nothing mounted."""
    before = Path("/proc/mounts").read_text()

    fd = make((layers["low1"], layers["low2"]), layers["upper"], layers["work"], layers["place"])

    assert fs.filesystem(fd) == OVERLAYFS_SUPER_MAGIC
    mounts.attach(fd, layers["place"], "place")
    place = os.readlink(f"/proc/self/fd/{layers['place']}")
    assert Path(place, "file").read_text() == "one"
    assert Path(place, "more").read_text() == "two"
    Path(place, "new").touch()
    os.close(fd)
    umount(place)
    assert os.path.exists(os.readlink(f"/proc/self/fd/{layers['upper']}") + "/new")
    assert Path("/proc/mounts").read_text() == before


def test_the_kernels_complaint_is_in_the_error() -> None:
    """Which option it was, in the filesystem's words."""
    with pytest.raises(OSError, match=r"tmpfs: .*bananas"):
        mounts.new_filesystem("tmpfs", [("bananas", "1")])
    with pytest.raises(OSError, match="fsopen: No such device"):
        mounts.new_filesystem("nofs")


def test_attributes_are_set_while_detached() -> None:
    """Read-only before anybody can see it."""
    fd = mounts.new_filesystem("tmpfs", [("mode", "700")], mounts.MOUNT_ATTR_RDONLY)
    try:
        with pytest.raises(OSError, match="Read-only file system"):
            os.mkdir("x", dir_fd=fd)
        mounts.set_attributes(fd, clear=mounts.MOUNT_ATTR_RDONLY)
        os.mkdir("x", dir_fd=fd)
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o700
    finally:
        os.close(fd)


def test_unknown_system_calls_are_enosys() -> None:
    """A machine whose table lacks a call gets the errno of a kernel that lacks it."""
    with pytest.raises(OSError, match="no system call number"):
        libc.syscall("made_up")


IN_A_PROCESS = "import os, signal, sys, time\nfrom pycompose.engine.linux import process\n"


def in_a_process(body: str) -> str:
    """Run `body` in a fresh interpreter, return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS + body], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_clone3_returns_twice_and_gives_a_pidfd() -> None:
    """The pidfd is the child's: it can be waited for."""
    assert in_a_process(
        "pid, fd = process.clone3(0)\n"
        "if pid == 0: os._exit(7)\n"
        "print(process.exit_code(os.waitid(os.P_PIDFD, fd, os.WEXITED)))"
    ).split() == ["7"]


def test_exit_codes_of_signals() -> None:
    """128+n."""
    assert in_a_process(
        "pid, fd = process.clone3(0)\n"
        "if pid == 0: signal.pause()\n"
        "signal.pidfd_send_signal(fd, 9)\n"
        "print(process.exit_code(os.waitid(os.P_PIDFD, fd, os.WEXITED)))"
    ).split() == ["137"]


@pytest.mark.parametrize(("end", "code"), (("os._exit(42)", 42), ("os.kill(os.getpid(), 15)", 143)))
def test_the_exit_code_of_somebody_elses_child(end: str, code: int) -> None:
    """The kernel tells it once the real parent has reaped; before that it isn't known."""
    text = in_a_process(
        "import select\n"
        "r, w = os.pipe()\n"
        "parent = os.fork()\n"
        "if parent == 0:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        time.sleep(0.1)\n"
        f"        {end}\n"
        "    os.write(w, b'%d' % child)\n"
        "    os.waitpid(child, 0)\n"
        "    os._exit(0)\n"
        "fd = os.pidfd_open(int(os.read(r, 20)))\n"
        "print(process.exit_code_of_other(fd))\n"
        "poll = select.epoll(); poll.register(fd, 0)\n"
        "poll.poll(10)\n"
        "print(process.exit_code_of_other(fd))\n"
    )
    if text.split()[1] == "None":
        pytest.skip("this kernel doesn't tell (before 6.15)")
    assert text.split() == ["None", str(code)]


def test_signals_are_really_reset() -> None:
    """Everything ignored or blocked by Python, libc or whoever started us is at its default."""
    text = in_a_process(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "process.reset_signals()\n"
        "os.execv('/bin/cat', ['cat', '/proc/self/status'])"
    )
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {fields[name].strip() for name in ("SigIgn", "SigBlk", "SigCgt")} == {"0" * 16}


def test_descriptors_are_closed_but_for_the_ones_named() -> None:
    """Gaps between the kept ones too, and those that were made inheritable."""
    text = in_a_process(
        "fds = [os.open('/dev/null', os.O_RDONLY) for _ in range(8)]\n"
        "for fd in fds: os.set_inheritable(fd, True)\n"
        "process.close_all_but([fds[1], fds[4], 0, -1])\n"
        "open_ = [fd for fd in range(3, 40) if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "print(open_ == [fds[1], fds[4]])\n"
        "process.close_on_exec_from(3)\n"
        "print(os.get_inheritable(fds[1]))"
    )
    assert text.split() == ["True", "False"]


def test_limits_are_set_or_refused_by_name() -> None:
    """With or without prefix; -1 is infinity; unknown names are errors."""
    text = in_a_process(
        "import resource\n"
        "process.set_rlimit('RLIMIT_NOFILE', 64, 128)\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "process.set_default_rlimit('core', -1, -1)\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert text.split() == ["64", "128", "-1", "-1"]
    with pytest.raises(EngineError, match="ulimit nofiles"):
        process.set_rlimit("nofiles", 1, 1)


def test_a_sealed_copy_cannot_be_written() -> None:
    """Not by anybody, whatever their rights."""
    fd = sealed_copy("/bin/true")
    try:
        assert os.pread(fd, 4, 0) == b"\x7fELF"
        with pytest.raises(PermissionError):
            os.write(fd, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        assert subprocess.run([f"/proc/self/fd/{fd}"], pass_fds=[fd], check=False).returncode == 0
    finally:
        os.close(fd)


def test_signal_handled_of_nobody_is_false() -> None:
    """A process that is gone will not react."""
    assert not process.signal_handled(2**22 + 1, signal.SIGTERM)
    assert ctypes.sizeof(process.CloneArgs) == 88
