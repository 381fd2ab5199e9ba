"""Limits of inotify, which watchfiles passes over in silence: found, told of, and got along with."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROBE = """
import os, sys, time
from pycompose.watch.wakeup import Wakeup

top, name, value = sys.argv[1:]
with open(f"/proc/sys/user/{name}", "w") as file:
    file.write(value)
directories = [f"{top}/{number}" for number in range(50)]
for path in directories:
    os.mkdir(path)

class Listener:
    polled = ()
    def touched(self, paths, replaced):
        pass
    def recheck(self, found):
        self.polled = found or self.polled
    def failed(self, failure):
        print(failure)
    def degraded(self, text, hint):
        print(text)
        print(hint)

listener = Listener()
wakeup = Wakeup(listener)
wakeup.start(directories)
deadline = time.monotonic() + 10
while not listener.polled and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(listener.polled))
wakeup.close()
"""


def degraded(folder: Path, name: str, value: int) -> list[str]:
    """Watch 50 directories where a limit of a user namespace is lower; return what was told, how many are polled."""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", textwrap.dedent(PROBE)]
    done = subprocess.run(
        [*command, str(folder), name, str(value)], capture_output=True, text=True, check=False, timeout=50
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith(" ")]


def test_watches(tmp_path: Path) -> None:
    """As many as there are, and the rest is looked at; what the limit is called, and how to raise it."""
    text, hint, polled = degraded(tmp_path, "max_inotify_watches", 20)
    assert text.startswith("fs.inotify.max_user_watches = ")
    assert text.endswith("50 directories are to be watched, 30 of them are looked at every 1 s instead")
    assert hint.startswith("sysctl -w fs.inotify.max_user_watches=")
    assert polled == "30"


def test_instances(tmp_path: Path) -> None:
    """Without any, all of them are looked at."""
    text, hint, polled = degraded(tmp_path, "max_inotify_instances", 0)
    assert text.startswith("fs.inotify.max_user_instances = ")
    assert hint.startswith("sysctl -w fs.inotify.max_user_instances=")
    assert polled == "50"


def test_the_limit_is_not_reached_here(tmp_path: Path) -> None:
    """Where there is room nobody complains."""
    assert os.access(tmp_path, os.W_OK)
    assert degraded(tmp_path, "max_inotify_watches", 100_000) == ["0"]
