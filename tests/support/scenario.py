"""A private machine per test, with the installed `pycompose` on it.

A pid namespace makes sure that nothing outlives the test; control groups can't be private that way, so they
get a name of their own and are looked through at the end, like everything else (tests/support/leftovers.py).

Commands are started by a thread that lives in the machine's namespaces: no program stands between the test
and the command, so exit codes, signals and terminals are the command's own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pycompose.engine.paths import DEFAULT_ROOT, StatePaths
from pycompose.engine.state import start_ticks

from tests.support.leftovers import PATIENCE, Watch
from tests.support.namespaces import CLONE_FS, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, setns, unshare
from tests.support.terminal import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

PYCOMPOSE = Path(sysconfig.get_path("scripts"), "pycompose")
REPOSITORY = Path(__file__).resolve().parents[2]
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# PYCOMPOSE_SCENARIOS_ON=overlay: the machine's /var/lib is an overlay, as in a container.
STATE_ROOT = (
    Path("/var/lib/elsewhere") if os.environ.get("PYCOMPOSE_SCENARIOS_ON") == "overlay" else DEFAULT_ROOT
)
HOST_ADDRESS = "192.0.2.1"
NEIGHBOUR_ADDRESS = "192.0.2.2"
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished command has said."""

    command: str
    code: int
    stdout: str
    stderr: str

    def ok(self) -> Result:
        """Return the result itself when the exit code is 0."""
        return self.exited(0)

    def exited(self, code: int) -> Result:
        """Return the result itself when the exit code is `code`."""
        assert self.code == code, f"{self.command}: exit code {self.code}\n{self.stdout}\n{self.stderr}"
        return self

    def json(self) -> Any:
        """Return stdout as JSON; several objects on lines of their own make a list, as Docker prints them."""
        text = self.stdout.strip()
        if "\n" in text and text.startswith("{"):
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)


class Host:
    """One private machine: mounts, network, processes and state roots of its own.

    With `neighbour`, a second machine is on the same wire: this one has HOST_ADDRESS, the other
    NEIGHBOUR_ADDRESS. The state root is a tmpfs unless `root` is another directory. Unless it
    `reaps`, orphans that end stay zombies, as in containers whose process 1 is `sleep`.
    """

    def __init__(
        self, folder: Path, *, neighbour: bool = False, root: Path = STATE_ROOT, reaps: bool = True
    ) -> None:
        self.folder = folder
        self._reaps = reaps
        self.paths = StatePaths(root=root, cgroup_parent=f"pycompose-e{os.getpid()}-{next(_numbers)}")
        self.environment = {
            "PATH": f"{PYCOMPOSE.parent}:{SEARCH}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **self.paths.to_environment(),
        }
        self._exit = ExitStack()
        try:
            self._holder = self._start_holder()
            self._thread = self._enter(self._holder, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID)
            self._neighbour = self._start_neighbour() if neighbour else None
        except BaseException:
            self._exit.close()
            raise
        self.watch = Watch(
            paths=self.paths,
            pid=self._holder,
            inside=self.inside,
            pid_namespace=os.readlink(f"/proc/{self._holder}/ns/pid"),
        )
        self.watch.baseline()

    def close(self) -> None:
        """End the machine and everything on it."""
        self.watch.clean()
        self._exit.close()

    def inside(self, call: Callable[[], T]) -> T:
        """Run `call` with the machine's files and network, and return what it returns.

        Its /proc is the machine's, in which this process doesn't exist. `call` must not start threads.
        """
        return self._thread.submit(call).result()

    def outside(self, call: Callable[[], T]) -> T:
        """Run `call` with the neighbour's network (and this machine's files)."""
        assert self._neighbour is not None, "the host has no neighbour"
        return self._neighbour.submit(call).result()

    def project(self, files: Mapping[str, str] | Path, name: str = "demo") -> Path:
        """Make a project folder of `files` (name → text), or of a copy of a folder; return it."""
        target = self.folder / name
        if isinstance(files, Path):
            shutil.copytree(files, target)
            return target
        for file, text in files.items():
            path = target / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return target

    def save(self, target: Path) -> None:
        """Copy the state root to `target`, which isn't there yet, for other machines (`restore`)."""
        subprocess.run(["cp", "-a", self._state_root(), target], check=True)

    def restore(self, source: Path) -> None:
        """Have the state root that `save` has copied, in place of an empty one."""
        subprocess.run(["cp", "-aT", source, self._state_root()], check=True)

    def _state_root(self) -> Path:
        return Path(f"/proc/{self._holder}/root", self.paths.root.relative_to("/"))

    def readable(self, path: Path) -> Path:
        """Return a file of the tests' as the machine's commands can read it."""
        return path

    def run(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 40.0,
        stdin: str = "",
    ) -> Result:
        """Run `pycompose ARGUMENTS` to its end."""
        return self.command([PYCOMPOSE, *arguments], cwd=cwd, env=env, timeout_s=timeout_s, stdin=stdin)

    def command(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 40.0,
        stdin: str = "",
    ) -> Result:
        """Run any program on the machine to its end."""
        popen = partial(self._popen, argv, cwd, env, subprocess.PIPE, subprocess.PIPE)
        return run_to_its_end(popen, _shown(argv), stdin, timeout_s * PATIENCE)

    def spawn(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        program: str | Path = PYCOMPOSE,
    ) -> Running:
        """Start `pycompose ARGUMENTS`, or another program; return at once; with `tty`, on a terminal of 24 by 80."""
        argv = [program, *arguments]
        print(f"$ {_shown(argv)} &")
        if not tty:
            process = self._popen(argv, cwd, env, subprocess.PIPE, subprocess.PIPE)
            running = Running(process=process, command=_shown(argv))
        else:
            terminal, theirs = pty.openpty()
            try:
                # setsid makes the terminal the controlling one and becomes the command.
                argv = ["/usr/bin/setsid", "--ctty", *argv]
                environment = {"TERM": "xterm-256color", **(env or {})}
                process = self._popen(argv, cwd, environment, theirs, theirs, stdin=theirs)
            finally:
                os.close(theirs)
            running = Running(process=process, command=_shown(argv[2:]), terminal=terminal)
            running.resize(24, 80)
        self._exit.callback(running.close)
        return running

    def processes(self, text: str) -> list[int]:
        """Return the pids, as seen from here, of processes whose command line contains `text`, the oldest one first.

        A child has the command line of its parent until it executes its own program. Pids say nothing about age: they
        begin anew after pid_max.
        """
        found = []
        for pid in self.watch.processes():
            with contextlib.suppress(OSError):
                raw = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                found += [pid] if text in raw.decode(errors="replace") else []
        began = {pid: ticks for pid in found if (ticks := start_ticks(pid))}
        return sorted(began, key=lambda pid: (began[pid], _parent(pid) in began))

    def process(self, text: str, *others: int) -> int:
        """Return the pid of the process whose command line contains `text`, once it is the only one beside `others`.

        A child isn't counted: it may not have executed its own program yet.
        """

        def only() -> int:
            found = self.processes(text)
            grown = [pid for pid in found if pid not in others and _parent(pid) not in found]
            assert len(grown) == 1, f"{text}: {grown or 'none'}"
            return grown[0]

        return eventually(only)

    def kill(self, *texts: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal every process whose command line contains one of `texts`; some end by themselves before it is sent."""
        for text in texts:
            for pid in self.processes(text):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def pid_outside(self, pid: int) -> int:
        """Return how this process sees the machine's process `pid`; 0 when there is none (NSpid, proc(5))."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "ns/pid") != self.watch.pid_namespace:
                    continue
                (line,) = [
                    text for text in (entry / "status").read_text().splitlines() if text.startswith("NSpid:")
                ]
            except OSError:
                continue
            if int(line.split()[-1]) == pid:
                return int(entry.name)
        return 0

    def logs(self) -> str:
        """Return the logs of all supervisors, for a message."""
        root = Path(f"/proc/{self._holder}/root") / self.paths.projects.relative_to("/")
        return "\n".join(
            f"--- {path.parent.name}/{path.name}\n{path.read_text(errors='replace')}"
            for path in root.glob("*/*.log")
        )

    def keep(self, target: Path) -> None:
        """Copy the state roots to `target`, but for images, volumes and containers' file systems."""
        seen = Path(f"/proc/{self._holder}/root")
        skip = shutil.ignore_patterns(
            "images", "volumes", "rw", "rootfs", "netns", "*.sock", "stdout", "stderr"
        )
        for name, path in (("lib", self.paths.root), ("run", self.paths.run)):
            shutil.copytree(seen / path.relative_to("/"), target / name, ignore=skip, symlinks=True)

    def _popen(
        self,
        argv: Sequence[str | Path],
        cwd: Path | None,
        env: Mapping[str, str] | None,
        stdout: int,
        stderr: int,
        *,
        stdin: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        environment = {**self.environment, **(env or {})}
        return self.inside(
            lambda: subprocess.Popen(
                argv, cwd=cwd or self.folder, env=environment, stdin=stdin, stdout=stdout, stderr=stderr
            )
        )

    def _start_holder(self) -> int:
        scratch = Path(tempfile.mkdtemp(prefix="pycompose-e2e-"))
        self._exit.callback(scratch.rmdir)
        argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        argv += [
            sys.executable,
            "-S",  # without packages, which it doesn't need, it is there in half the time
            "-m",
            "tests.support.holder",
            str(scratch),
            *([] if self._reaps else ["never"]),
        ]
        holder = subprocess.Popen(argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._exit.callback(_end, holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n", "the private machine did not start"
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii")
        return int(children.split()[0])

    def _start_neighbour(self) -> ThreadPoolExecutor:
        neighbour = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._exit.callback(_end, neighbour)
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == b"ready\n", "the neighbour did not start"
        thread = self._enter(neighbour.pid, CLONE_NEWNET)
        _ip(
            "link",
            "add",
            "eth0",
            "netns",
            str(self._holder),
            "type",
            "veth",
            "peer",
            "eth0",
            "netns",
            str(neighbour.pid),
        )
        for run, own, other in (
            (self.inside, HOST_ADDRESS, NEIGHBOUR_ADDRESS),
            (thread_run(thread), NEIGHBOUR_ADDRESS, HOST_ADDRESS),
        ):
            run(partial(_ip, "address", "add", f"{own}/24", "dev", "eth0"))
            run(partial(_ip, "link", "set", "eth0", "up"))
            run(partial(_ip, "route", "add", "default", "via", other))
        return thread

    def _enter(self, pid: int, *kinds: int) -> ThreadPoolExecutor:
        """Return a thread that has moved into the namespaces of `pid`."""
        names = {CLONE_NEWNS: "mnt", CLONE_NEWNET: "net", CLONE_NEWPID: "pid"}
        fds = {kind: os.open(f"/proc/{pid}/ns/{names[kind]}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds}

        def move() -> None:
            unshare(CLONE_FS)
            for kind, fd in fds.items():
                setns(fd, kind)
                os.close(fd)

        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="private-machine")
        self._exit.callback(thread.shutdown)
        thread.submit(move).result()
        return thread


@dataclass(kw_only=True)
class Hosts:
    """Makes the machines of one test; all are checked and ended with it."""

    folder: Path
    kind: type[Host] = Host
    made: list[Host] = field(default_factory=list)

    def __call__(self, *, neighbour: bool = False, root: Path = STATE_ROOT, reaps: bool = True) -> Host:
        """Start another machine."""
        folder = self.folder / f"host{len(self.made) + 1}"
        folder.mkdir()
        host = self.kind(folder, neighbour=neighbour, root=root, reaps=reaps)
        self.made.append(host)
        return host


def run_to_its_end(
    popen: Callable[[], subprocess.Popen[bytes]], shown: str, stdin: str, timeout_s: float
) -> Result:
    """Start a process, give it `stdin`, wait for its end; print all of it, which pytest shows when the test fails."""
    start = time.monotonic()
    print(f"$ {shown}")
    with popen() as process:
        try:
            out, err = process.communicate(stdin.encode(), timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{shown}: still running after {timeout_s} s\n{out!r}\n{err!r}") from None
    result = Result(
        command=shown,
        code=process.returncode,
        stdout=out.decode(errors="replace"),
        stderr=err.decode(errors="replace"),
    )
    print(f"{result.stdout}{result.stderr}[exit code {result.code}, {time.monotonic() - start:.2f} s]\n")
    return result


def thread_run(thread: ThreadPoolExecutor) -> Callable[[Callable[[], object]], object]:
    """Return the function that runs a call in `thread`."""
    return lambda call: thread.submit(call).result()


def eventually(check: Callable[[], T], timeout_s: float = 15.0) -> T:
    """Return the first true value of `check`; what it asserts may be false until then."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        try:
            if value := check():
                return value
            problem: BaseException = AssertionError(f"still {value!r}")
        except (AssertionError, OSError) as exc:
            problem = exc
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {problem}") from problem
        time.sleep(0.05)


def _parent(pid: int) -> int:
    """Return the parent of a process, 0 when there is no such process (proc_pid_stat(5))."""
    try:
        return int(
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(") ")[2]
            .split()[1]
        )
    except OSError:
        return 0


def _ip(*arguments: str) -> None:
    program = shutil.which("ip", path=SEARCH)
    assert program is not None, "needs iproute2"
    subprocess.run([program, *arguments], check=True)


def _shown(argv: Sequence[str | Path]) -> str:
    return " ".join([Path(argv[0]).name, *map(str, argv[1:])])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
