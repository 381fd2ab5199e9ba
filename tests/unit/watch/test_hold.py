"""The project held still, by a supervisor that only says yes: whoever asks while it is held is heard."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.paths import StatePaths
from pycompose.ipc.protocol import PROTOCOL, receive, send
from pycompose.watch.hold import ProjectHold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 10


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[StatePaths]:
    """Have a supervisor that grants every hold, one after the other."""
    paths = StatePaths(root=tmp_path / "root", run=tmp_path / "run")
    place = paths.control_socket("demo")
    place.parent.mkdir(parents=True)
    before = os.open(".", os.O_PATH)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.chdir(place.parent)  # the name may be too long for a socket
    listener.bind(place.name)
    os.fchdir(before)
    os.close(before)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                send(peer, {"hello": PROTOCOL, "pid": os.getpid(), "version": "1"})
                while (asked := receive(peer)[0]) is not None:
                    assert asked["op"] == "hold"
                    send(peer, {"result": {"nothing": False}})

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield paths
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_who_asks_while_it_is_held_is_heard(paths: StatePaths) -> None:
    """Whoever holds it may have looked already: it is held once more, and only once, however many have asked."""
    held: list[threading.Event] = []
    taken = threading.Semaphore(0)

    def hold(done: threading.Event) -> None:
        held.append(done)
        taken.release()

    asker = ProjectHold(paths, "demo", hold)
    asker.soon()
    assert taken.acquire(timeout=WAIT_S)
    asker.soon()
    asker.soon()
    held[0].set()
    assert taken.acquire(timeout=WAIT_S)
    held[1].set()
    assert not taken.acquire(timeout=0.2)
    asker.soon()
    assert taken.acquire(timeout=WAIT_S)
    assert len(held) == 3
    asker.close()
    assert held[2].is_set()
    asker.soon()
    assert not taken.acquire(timeout=0.2)


def test_nobody_to_ask(tmp_path: Path) -> None:
    """Without a supervisor nothing is held, and the next one is asked."""
    asker = ProjectHold(
        StatePaths(root=tmp_path / "root", run=tmp_path / "run"), "demo", lambda done: done.set()
    )
    before = threading.active_count()
    for _ in range(3):
        asker.soon()
    for thread in threading.enumerate():
        if thread.name == "hold":
            thread.join(WAIT_S)
    assert threading.active_count() == before
