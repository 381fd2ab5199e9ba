"""How the keeper learns of the end of a process, its own child or somebody else's, and of orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from pycompose.engine.errors import EngineError
from pycompose.engine.keeper import processes, reaper
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.keeper.processes import WatchedProcess
from pycompose.engine.keeper.reaper import OrphanReaper, children


class Watched(WatchedProcess):
    """Writes down what it is told."""

    def __init__(self, loop: Loop, pid: int, sync: socket.socket | None) -> None:
        self.said: list[str] = []
        super().__init__(loop, pid, os.pidfd_open(pid), sync)

    def on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        """Note it."""
        for fd in fds:
            os.close(fd)
        self.said.append(f"message {message['text']} {len(fds)}")

    def on_silence(self) -> None:
        """Note it."""
        self.said.append("silence")

    def write_end(self, code: int, *, known: bool) -> None:
        """Note it, and that the process is a zombie still."""
        self.said.append(f"end {code} {known} {os.path.exists(f'/proc/{self.pid}')}")

    def on_end(self, code: int) -> None:
        """Note it."""
        self.said.append(f"over {code} {os.path.exists(f'/proc/{self.pid}')}")
        self.loop.stop()


def fork(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            body()
        os._exit(99)
    return pid


def run(loop: Loop) -> None:
    """Run until something stops the loop; ten seconds at most."""
    deadline = [False]

    def late() -> None:
        deadline[0] = True
        loop.stop()

    loop.after(10, late)
    loop.run()
    assert not deadline[0], "not in time"


def child(loop: Loop, body: Callable[[socket.socket], None]) -> Watched:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = fork(lambda: body(theirs))
    theirs.close()
    ours.setblocking(False)
    return Watched(loop, pid, ours)


def test_what_a_child_says_comes_before_its_end() -> None:
    """Although all of it is there at once: messages, descriptors, silence, the code, and only then it is reaped."""

    def body(sync: socket.socket) -> None:
        sync.send(b'{"text": "ready"}')
        socket.send_fds(sync, [b'{"text": "terminal"}'], [0])
        os._exit(3)

    loop = Loop()
    watched = child(loop, body)
    run(loop)

    assert watched.said == [
        "message ready 0",
        "message terminal 1",
        "silence",
        "end 3 True True",
        "over 3 False",
    ]


def test_a_child_that_is_killed_without_having_read() -> None:
    """Words that it never took are no reason to lose its own."""

    def body(sync: socket.socket) -> None:
        sync.send(b'{"text": "one"}')
        signal.pause()

    loop = Loop()
    watched = child(loop, body)
    watched.say(b"go")
    watched.signal(signal.SIGKILL)
    run(loop)
    watched.signal(signal.SIGTERM)  # to nobody

    assert watched.said[-2:] == [
        f"end {128 + signal.SIGKILL} True True",
        f"over {128 + signal.SIGKILL} False",
    ]
    assert watched.said[-3] == "silence"


def test_a_signal_that_there_is_not() -> None:
    loop = Loop()
    watched = child(loop, lambda _sync: signal.pause())
    with pytest.raises(EngineError, match=r"cannot send signal 999"):
        watched.signal(999)
    with pytest.raises(EngineError, match="it has no terminal"):
        watched.resize(24, 80)
    watched.signal(signal.SIGKILL)
    run(loop)


def test_a_strangers_child_that_nobody_reaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adopted process is another's child: its code is unknown when its parent doesn't ask for it in time."""
    monkeypatch.setattr(processes, "ORPHAN_S", 0.05)
    loop = Loop()
    reading, writing = os.pipe()

    def parent() -> None:
        grandchild = fork(lambda: os._exit(7))
        os.write(writing, str(grandchild).encode())
        signal.pause()

    middle = fork(parent)
    try:
        watched = Watched(loop, int(os.read(reading, 20)), None)
        run(loop)
    finally:
        os.kill(middle, signal.SIGKILL)
        os.waitpid(middle, 0)
        os.close(reading)
        os.close(writing)

    assert watched.said == ["end 255 False True", "over 255 True"]


def test_orphans_are_reaped_and_others_are_left() -> None:
    """A zombie that is nobody's; one that somebody waits for; one that still runs, until it has ended."""
    loop = Loop()
    zombie, ours, runs = fork(lambda: os._exit(0)), fork(lambda: os._exit(5)), fork(lambda: time.sleep(0.05))
    known = {ours} | (children() - {zombie, runs})
    OrphanReaper(loop, lambda: known, lambda: False).start()
    _until(loop, lambda: not children() & {zombie, runs})

    assert os.waitstatus_to_exitcode(os.waitpid(ours, 0)[1]) == 5


def test_while_a_helper_may_still_tell_nobody_is_an_orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its child may be the one whose pid it is about to send; it isn't waited for for ever."""
    monkeypatch.setattr(reaper, "INTERVAL_S", 0.001)
    monkeypatch.setattr(reaper, "MOST_ROUNDS", 20)
    loop = Loop()
    before = children()
    zombie = fork(lambda: os._exit(0))
    pending = OrphanReaper(loop, lambda: before, lambda: True)
    pending.start()
    loop.after(0.1, loop.stop)
    loop.run()
    assert zombie in children()

    OrphanReaper(loop, lambda: before, lambda: False).start()
    _until(loop, lambda: zombie not in children())


def _until(loop: Loop, done: Callable[[], bool]) -> None:
    def look() -> None:
        if done():
            loop.stop()
        else:
            loop.after(0.005, look)

    loop.after(0, look)
    run(loop)
