"""Pid 1 of a private machine: finishes its namespaces, says so, and reaps until it is killed, or never.

Run as `unshare --mount --net --pid --fork --kill-child --propagation private python -m tests.support.holder`.
Everything on the machine dies with it. The argument is a fresh empty directory; with a second argument orphans stay
zombies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.support.namespaces import mount, private_machine


def main(scratch: Path, *, reaps: bool) -> None:
    """Mount what is private, print `ready`, wait for children that lost their parents."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mount("proc", "/proc", "proc")
    private_machine(scratch)
    mount("scratch", scratch, "tmpfs", data="mode=0700")
    (scratch / "upper").mkdir(mode=0o755)
    (scratch / "work").mkdir()
    mount(
        "lib",
        "/var/lib",
        "overlay",
        data=f"lowerdir=/var/lib,upperdir={scratch}/upper,workdir={scratch}/work",
    )
    mount("run", "/run", "tmpfs", data="mode=0755")
    for directory, mode in ((Path("/var/lib/pycompose"), 0o755), (Path("/run/pycompose"), 0o755)):
        directory.mkdir(exist_ok=True)
        mount("pycompose", directory, "tmpfs", data=f"mode={mode:04o}")
    os.write(1, b"ready\n")
    while True:
        signal.sigwait({signal.SIGCHLD})
        if not reaps:
            continue
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), reaps=len(sys.argv) == 2)
