"""Many logs followed at once: they share what the kernel has little of, and none misses anything."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from pycompose.engine.config import LogConfig
from pycompose.engine.logs.follow import LogFollower
from pycompose.engine.logs.writer import FILE_NAME, LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def instances() -> int:
    """Return how many inotify instances the process has."""
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link) == "anon_inode:inotify" for link in links if os.path.lexists(link))


def write(directory: Path, *lines: str) -> None:
    writer = LogWriter(directory, LogConfig())
    for line in lines:
        writer.write("stdout", f"{line}\n".encode())
    writer.close()


def texts(followers: Iterable[LogFollower], count: int) -> list[str]:
    """Return so many lines of followers, waiting for each of them as everybody does."""
    found: list[str] = []
    waiting = list(followers)
    poll = select.poll()
    for one in waiting:
        poll.register(one.fileno(), select.POLLIN)
    while True:
        found += (new := [line.data.decode() for one in waiting for line in one.read()])
        if len(found) >= count:
            return found
        assert new or poll.poll(10_000)


def test_two_hundred_logs_take_one_instance(tmp_path: Path) -> None:
    """Of which root has 128 on the whole machine."""
    before = instances(), threading.active_count()
    followers = []
    for number in range(200):
        directory = tmp_path / str(number)
        directory.mkdir()
        followers.append(LogFollower(directory))
    assert instances() == before[0] + 1
    for number in range(200):
        write(tmp_path / str(number), f"of {number}")

    assert sorted(texts(followers, 200)) == sorted(f"of {number}" for number in range(200))
    for one in followers:
        one.close()
    assert (instances(), threading.active_count()) == before


def test_followers_in_many_threads(tmp_path: Path) -> None:
    """Each is woken for its own, while others come and go; some follow the same log."""
    found: dict[int, list[str]] = {}

    def follow(number: int) -> None:
        directory = tmp_path / str(number % 5)
        for _ in range(10):
            LogFollower(directory).close()
        with LogFollower(directory) as follower:
            found[number] = texts([follower], 100)

    for number in range(5):
        (tmp_path / str(number)).mkdir()
    threads = [threading.Thread(target=follow, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for line in range(100):
        for number in range(5):
            write(tmp_path / str(number), f"{number} {line}")
    for thread in threads:
        thread.join(30)

    assert found == {number: [f"{number % 5} {line}" for line in range(100)] for number in range(20)}
    assert instances() == 0


def test_a_directory_that_goes_and_comes_again(tmp_path: Path) -> None:
    """Who follows the first one is told of its end; who follows the second one of no end, and of all lines."""
    directory = tmp_path / "log"
    directory.mkdir()
    with LogFollower(directory) as first:
        write(directory, "one")
        assert texts([first], 1) == ["one"]
        (directory / FILE_NAME).unlink()
        directory.rmdir()
        directory.mkdir()
        with LogFollower(directory) as second:
            write(directory, "two")
            while not first.gone:
                assert select.select([first], [], [], 10)[0]
                first.read()
            assert texts([second], 1) == ["two"]
            write(directory, "three")
            assert texts([second], 1) == ["three"]
            assert not second.gone


def test_a_fork_follows_for_itself(tmp_path: Path) -> None:
    """And takes nothing from whom it is a fork of."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    with LogFollower(tmp_path / "ours") as ours:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with LogFollower(tmp_path / "theirs") as theirs:
                    write(tmp_path / "theirs", "theirs")
                    code = int(texts([theirs], 1) != ["theirs"] or instances() != 1)
                ours.close()
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        write(tmp_path / "ours", "ours")
        assert texts([ours], 1) == ["ours"]
