"""The way out of a private host: slirp4netns(1), else pasta(1). Without either, projects that need none work.

Measured on Linux 6.18, from a container to another machine and back: slirp4netns 1.2 0.5 and 0.9 Gbit/s, pasta of May
2025 0.03 and 0.9, as it loses much of what is sent; root's masquerading 1.7 and 1.9. It takes less memory, too.

Both have a device in the host's network, and do outside, as this user, what comes out of it. `--no-map-gw` and
`--disable-host-loopback` are a wall: without them a container reaches the machine's own loopback by its gateway.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import signal
import socket
import subprocess

from pycompose.rootless import maps

PASTA, SLIRP = "pasta", "slirp4netns"
# Where each of them answers questions for names, for machines whose resolver is on their loopback.
DNS = {PASTA: "169.254.1.1", SLIRP: "10.0.2.3"}
# TEST-NET-3 (RFC 5737): an address behind the default route of every machine.
_ELSEWHERE = "203.0.113.1"
_MTU = 65520
# Pasta gives the host the machine's own address unless told otherwise: then the machine couldn't be reached by that.
_OWN_ADDRESS = ("-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2")
_TUN = "/dev/net/tun"
_START_MS = 10_000
# The pasta of Debian 12 (2023, "unknown version") repeats the last bytes of connections whose other end has closed.
_SOUND_YEAR = 2024


def there() -> list[str]:
    """Return which of the two are installed, the better one first."""
    return [name for name in (SLIRP, PASTA) if maps.program(name)]


def available() -> str:
    """Return which of the two to use, "" for none, the better one that can be used."""
    found = there()
    return next((name for name in found if not unsound(name)), next(iter(found), ""))


def unsound(kind: str) -> str:
    """Return why one that is installed can't be used, "" when it can."""
    if kind == PASTA and not pasta_is_sound():
        return "pasta is older than 2024 and repeats bytes: install slirp4netns, or a newer passt"
    return ""


def pasta_is_sound() -> bool:
    """Tell whether there is a pasta that gives a container the bytes that were sent, and each of them once."""
    program = maps.program(PASTA)
    if not program:
        return False
    found = re.search(r"20\d\d(?=_|\d{4})", _version(program))
    return found is not None and int(found.group()) >= _SOUND_YEAR


def _version(program: str) -> str:
    """Return what `--version` says to a terminal: that of Debian 13 ends without writing it to anything else."""
    ours, theirs = os.openpty()
    try:
        subprocess.run([program, "--version"], stdout=theirs, stderr=subprocess.DEVNULL, check=False)
    finally:
        os.close(theirs)
    said = b""
    with (
        open(ours, "rb", buffering=0) as terminal,
        contextlib.suppress(OSError),
    ):  # EIO: the other end is closed
        while data := terminal.read(4096):
            said += data
    return said.decode(errors="replace")


def _birth(pid: int) -> str:
    """Return when a process has started, in ticks after the machine's boot; raises OSError, also for a zombie."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        state, *fields = file.read().rpartition(")")[2].split()  # proc_pid_stat(5)
    if state in "ZX":
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return fields[18]


class Uplink:
    """One that runs, or the reason why none does in `lack`. Its caller is the reaper of what it starts."""

    def __init__(self, kind: str, run: str) -> None:
        self.kind = kind
        self.lack = unsound(kind) if kind else "neither pasta nor slirp4netns is installed"
        if not self.lack and not os.access(_TUN, os.R_OK | os.W_OK):
            self.lack = f"{_TUN} is not for this user" if os.path.exists(_TUN) else f"there is no {_TUN}"
        self.pid = 0
        self._log = f"{run}/uplink.log"
        self._pid_file = f"{run}/uplink.pid"

    def adopt(self) -> None:
        """Go on with one that an earlier process has started, if there is one."""
        with contextlib.suppress(OSError, ValueError):
            with open(self._pid_file, encoding="ascii") as file:
                pid, *born = file.read().split()
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                program, *words = file.read().split("\0")
            # Not another one that has got the number: pasta is told the file, of slirp4netns we write its birth down.
            ours = self._pid_file in words or born == [_birth(int(pid))]
            self.pid = int(pid) if self.kind and program == maps.program(self.kind) and ours else 0

    def is_wanted(self) -> bool:
        """Tell whether it doesn't run, and wasn't found to be impossible here."""
        return not self.lack and not self.is_running()

    def start(self, pid: int) -> None:
        """Start it for the user and network namespaces of process `pid`, which it looks up after entering the first."""
        user, net = (f"/proc/{pid}/ns/{kind}" for kind in ("user", "net"))
        try:
            self.lack = (self._pasta if self.kind == PASTA else self._slirp)(user, net)
        except (OSError, ValueError) as exc:
            self.lack = f"{self.kind}: {exc}"
        if self.lack:
            self.end()

    def machine_address(self) -> str:
        """Return by which of its addresses the machine is reached from inside, "" for none.

        It is the one that it goes out with: nothing is sent for that.
        """
        if self.lack:
            return ""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.connect((_ELSEWHERE, 9))
            except OSError:
                return ""
            return str(sock.getsockname()[0])

    def is_running(self) -> bool:
        """Tell whether it hasn't ended."""
        if self.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            with contextlib.suppress(OSError):
                return bool(_birth(self.pid))
        self.pid = 0
        return False

    def end(self) -> None:
        """End it."""
        if self.is_running():
            os.kill(self.pid, signal.SIGTERM)
        self.pid = 0
        with contextlib.suppress(OSError):
            os.unlink(self._pid_file)

    def _pasta(self, user: str, net: str) -> str:
        """Start pasta, which goes into the background when it is ready; return why it doesn't."""
        argv = [
            maps.program(PASTA), "--config-net", "--quiet", "--netns", net, "--userns", user, "-t", "none", "-u",
            "none", "-T", "none", "-U", "none", "--no-map-gw", "--dns-forward", DNS[PASTA], "-P", self._pid_file,
            # It looks whether the namespace's name is still there, which ends with the process that is asked for.
            "--no-netns-quit", *(_OWN_ADDRESS if self.machine_address() else ()),
        ]  # fmt: skip
        code = os.waitstatus_to_exitcode(os.waitpid(self._spawn(argv), 0)[1])
        if code:
            return self._said()
        with open(self._pid_file, encoding="ascii") as file:
            self.pid = int(file.read())
        return ""

    def _slirp(self, user: str, net: str) -> str:
        """Start slirp4netns, which says by a descriptor when it is ready; return why it isn't."""
        ready, tell = os.pipe()
        argv = [
            maps.program(SLIRP), "--configure", f"--mtu={_MTU}", "--disable-host-loopback", "--enable-seccomp",
            f"--userns-path={user}", "--netns-type=path", f"--ready-fd={tell}", net, "tap0",
        ]  # fmt: skip
        with open(ready, "rb", buffering=0) as reader:
            try:
                self.pid = self._spawn(argv, tell)
            finally:
                os.close(tell)
            poll = select.poll()
            poll.register(reader, select.POLLIN)
            if not poll.poll(_START_MS) or not reader.read(1):
                return self._said()
        with open(self._pid_file, "w", encoding="ascii") as file:
            file.write(f"{self.pid} {_birth(self.pid)}")
        return ""

    def _spawn(self, argv: list[str], passed: int = -1) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, self._log, flags, 0o600),
        ]
        if passed >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, passed, passed))
        return os.posix_spawn(
            argv[0],
            argv,
            {"PATH": os.defpath},
            file_actions=actions,
            setsid=True,
            setsigdef=(signal.SIGPIPE,),  # which Python ignores; pasta takes that for an error
        )

    def _said(self) -> str:
        """Return the last line that it has written."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return f"{self.kind}: {lines[-1] if lines else 'it ended without a word'}"
