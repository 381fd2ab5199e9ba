"""Giving a command to a process that has everything loaded already (forkserver.py).

Python starts in 13 ms; what a command imports takes 50 ms more, and most commands then do their work in less than
10 ms. So a supervisor keeps such a process for a while after a command has run, which forks for each further one.
The fork has the caller's descriptors, directory, environment and umask; the caller passes signals on, and exits as
the fork does. One connection on `commands.sock` (SOCK_SEQPACKET, in the project's 0700 directory) is one command:

    caller                              forkserver
                                 <--    identity()
    Request, 5 descriptors       -->
                                 <--    "started", a pidfd
                                 <--    wait status, 4 bytes

Nothing has happened yet when the identities differ, or when anything else keeps the two from understanding each other:
the caller then runs the command itself. This module is loaded at each start and therefore imports next to nothing.
"""

from __future__ import annotations

# signal, socket and contextlib bring enum, selectors and more: 4 ms, a quarter of what a handed-over command takes.
import _signal  # type: ignore[import-not-found]  # not in typeshed
import _socket
import marshal
import os
import resource
import sys

from pycompose.commands import ALWAYS, COMMANDS, DETACHED, DETACHING, NEVER, WITHOUT_TERMINAL

# Tells a forkserver where to listen: everybody can read the arguments of a process, its owner the environment.
DIRECTORY_VARIABLE = "PYCOMPOSE_FORKSERVER_DIRECTORY"
SOCKET = "commands.sock"
HOST_SOCKET = "host.sock"  # engine/linux/outside.py
SWITCH = "PYCOMPOSE_FORKSERVER"
STARTED = b"started"
REQUEST = b"command"
# A forkserver that does nothing else answers at once.
HELLO_S = 0.25
PACKET_BYTES = 4096
INT_BYTES = 4
_RIGHTS_BYTES = 64
_KILLED = 128 + 9
_NOBODY = 65534  # what a group is in a user namespace that doesn't map it
# Names of descriptors: `-f <(…)` is /dev/fd/63, which a fork of another process lacks.
_DESCRIPTORS = "/fd/"
_FILE_VARIABLES = ("COMPOSE_FILE", "COMPOSE_ENV_FILES")

# Global flags whose value is the next word.
_WITH_VALUE = frozenset((
    "-f", "--file", "-p", "--project-name", "--project-directory", "--workdir", "--profile", "--env-file",
    "--progress", "--ansi", "--parallel",
))  # fmt: skip
_LIMITS = range(16)  # RLIM_NLIMITS, setrlimit(2)
_NAMESPACES = ("mnt", "net", "pid", "user", "uts", "ipc", "cgroup")
_PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
# What changes the interpreter or the libraries below it, but for what is only about the standard streams or nothing.
_DECISIVE = ("PYTHON", "LD_")
_HARMLESS = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


def suits(arguments: list[str]) -> bool:
    """Tell whether a command can be given away, by the table of commands and for what it has inherited."""
    if os.environ.get(SWITCH) == "0" or _reads_descriptors(arguments):
        return False
    if any(name.startswith(_DECISIVE) and name not in _HARMLESS for name in os.environ):
        return False
    words = iter(arguments)
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            break
    else:
        return False
    command = COMMANDS.get(word)
    handed_over = command.handed_over if command else NEVER
    if handed_over == DETACHED:
        return not DETACHING.isdisjoint(arguments)
    if handed_over == WITHOUT_TERMINAL:
        return not os.isatty(0)
    return handed_over == ALWAYS


def _reads_descriptors(arguments: list[str]) -> bool:
    """Tell whether a file is named by a descriptor that only the caller has open."""
    named = [os.environ.get(name, "") for name in _FILE_VARIABLES]
    return any(_DESCRIPTORS in text for text in (*arguments, *named))


def identity() -> bytes:
    """Return what two processes must have in common to do the same: code, user, namespaces, priority, limits.

    Raises OSError where /proc isn't there.
    """
    root = os.stat("/")
    user, group, groups, namespaces = os.getresuid(), os.getresgid(), os.getgroups(), {}
    if user[0]:
        # Not root: the other side is root of the private host, and so would we be if we went there.
        from pycompose.rootless import places  # noqa: PLC0415 - as above

        namespaces = places.inside(os.environ.get("PYCOMPOSE_RUN", ""))
        groups = [0 if own == group[0] else _NOBODY for own in groups]
        user = group = (0, 0, 0)
    return repr((
        __file__,
        sys.executable,
        sys.prefix,
        sys.getfilesystemencoding(),
        user,
        group,
        groups,
        [namespaces.get(name) or os.stat(f"/proc/self/ns/{name}").st_ino for name in _NAMESPACES],
        (root.st_dev, root.st_ino),
        os.getpriority(os.PRIO_PROCESS, 0),
        sorted(os.sched_getaffinity(0)),
        [resource.getrlimit(number) for number in _LIMITS],
    )).encode()  # fmt: skip


def projects() -> tuple[str, list[str]]:
    """Return the directory of the projects' sockets and locks, and the names of those that have one."""
    directory = f"{os.environ.get('PYCOMPOSE_RUN') or '/run/pycompose'}/projects"
    try:
        return directory, os.listdir(directory)
    except OSError:
        return directory, []


def hand_over(arguments: list[str]) -> int | None:
    """Have a forkserver perform the command and return its exit code; None when nobody has done anything.

    Ends this process by the signal that has ended the command, if one has.
    """
    directory, names = projects()
    if names and os.geteuid() and not _has_host():
        return None  # going there makes one, or says why not
    for name in names:
        path = f"{directory}/{name}"
        if not os.path.exists(f"{path}/{SOCKET}"):
            continue
        try:
            sock = _connect(path, SOCKET)
        except OSError:
            continue  # it has gone
        opened: list[int] = []
        try:
            # Before its answer is looked at: it needs as long to wake up.
            mine = identity()
            ignored = _prepare(arguments, opened)
            if sock.recv(PACKET_BYTES) == mine:
                return _perform(sock, arguments, opened, ignored)
        except OSError:
            return None
        finally:
            sock.close()
            for fd in opened:
                os.close(fd)
    return None


def _has_host() -> bool:
    """Tell whether the private host of who isn't root may be used, and has its process outside (rootless/host.py)."""
    from pycompose.rootless import places  # noqa: PLC0415 - for those who aren't root

    if places.is_refused():
        return False
    try:
        # It hears by this that somebody is here, and looks after the way out.
        _connect(os.environ.get("PYCOMPOSE_RUN", ""), HOST_SOCKET).close()
    except OSError:
        return False
    return True


def ask_for_one() -> None:
    """Let some project's supervisor start a forkserver for the commands to come."""
    directory, names = projects()
    for name in names:
        try:
            supervisor = _connect(f"{directory}/{name}", "control.sock")
            try:
                supervisor.recv(PACKET_BYTES)
                supervisor.send(b'{"forkserver":true}')
            finally:
                supervisor.close()
        except OSError:
            continue
        return


def _connect(directory: str, name: str) -> _socket.socket:
    """Return a connection to a socket, however long its path is; raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    sock.settimeout(HELLO_S)
    try:
        fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(arguments: list[str], opened: list[int]) -> list[int]:
    """Open what the command needs to be ours, into `opened`; return the signals that we ignore. Raises OSError."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if None in streams:
        raise OSError("a standard stream is closed")
    if _is_in_background():
        raise OSError("the terminal stops a job in the background that reads")
    umask = os.umask(0)
    os.umask(umask)
    ignored = [int(number) for number in _PASSED_ON if _signal.getsignal(number) == _signal.SIG_IGN]
    request = marshal.dumps((
        arguments,
        dict(os.environb),
        umask,
        ignored,
        [
            (stream.encoding, stream.errors, stream.line_buffering, getattr(stream, "write_through", False))
            for stream in streams
        ],
    ))  # fmt: skip
    opened.append(os.memfd_create("pycompose-command", os.MFD_CLOEXEC))
    os.write(opened[0], request)
    opened.append(os.open(".", os.O_PATH | os.O_CLOEXEC))
    return ignored


def _is_in_background() -> bool:
    """Tell whether standard input is our terminal, and another job's at the moment (credentials(7))."""
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


def _perform(sock: _socket.socket, arguments: list[str], opened: list[int], ignored: list[int]) -> int | None:
    """Ask for the command; return its exit code, None if it hasn't begun."""
    rights = b"".join(fd.to_bytes(INT_BYTES, sys.byteorder) for fd in (*opened, 0, 1, 2))
    sock.settimeout(None)
    companion = _Companion(ignored)
    try:
        sock.sendmsg([REQUEST], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)], _socket.MSG_NOSIGNAL)
    except OSError:
        companion.give_back()
        return None
    return companion.wait(sock, to_the_end="down" in arguments)


class _Companion:
    """What is left to do for the process that was called: pass signals on, end as the command does."""

    def __init__(self, ignored: list[int]) -> None:
        self._command: int | None = None
        self._early: list[int] = []
        self._before = {}
        for number in _PASSED_ON:
            if number not in ignored:
                self._before[number] = _signal.signal(number, self._pass_on)
        if _signal.getsignal(_signal.SIGTSTP) == _signal.SIG_DFL:
            self._before[_signal.SIGTSTP] = _signal.signal(_signal.SIGTSTP, self._suspend)

    def wait(self, sock: _socket.socket, *, to_the_end: bool) -> int | None:
        """Wait for the command to end; return its exit code or end by the signal that has ended it.

        None if it hasn't begun: then the project was going down, and the forkserver with it. `to_the_end` waits until
        the process, and a forkserver that goes with it, have ended too: nothing is left of a project that is down.
        """
        try:
            answer, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            answer = b""
        if answer != STARTED:
            self.give_back()
            return None
        self._command = int.from_bytes(ancillary[0][2][:INT_BYTES], sys.byteorder)
        for number in self._early:
            if number == _signal.SIGTSTP:
                self._suspend(number, None)
            else:
                self._pass_on(number, None)
        try:
            answer = sock.recv(PACKET_BYTES)
        except OSError:
            answer = b""  # not None: the command has begun
        if len(answer) != INT_BYTES:
            try:  # noqa: SIM105 - see the imports
                os.write(
                    2, b"error: the process that ran this command was killed\nhint: run the command again\n"
                )
            except OSError:
                pass  # as above
            return _KILLED
        if to_the_end:
            try:  # noqa: SIM105 - see the imports
                sock.recv(PACKET_BYTES)
            except OSError:
                pass  # as above
        status = int.from_bytes(answer, sys.byteorder)
        if os.WIFSIGNALED(status):
            _signal.signal(os.WTERMSIG(status), _signal.SIG_DFL)
            os.kill(os.getpid(), os.WTERMSIG(status))
        return os.waitstatus_to_exitcode(status)

    def give_back(self) -> None:
        """Let signals do again what they did, those that have come already too."""
        for number, handler in self._before.items():
            _signal.signal(number, handler)
        for early in self._early:
            os.kill(os.getpid(), early)

    def _pass_on(self, number: int, _frame: object) -> None:
        """Send the command a signal that was sent to us, as soon as there is one."""
        if self._command is None:
            self._early.append(number)
            return
        try:  # noqa: SIM105 - see the imports
            _signal.pidfd_send_signal(self._command, number)
        except ProcessLookupError:
            pass

    def _suspend(self, number: int, _frame: object) -> None:
        """Stop together with the command, as soon as there is one, and go on together with it."""
        if self._command is None:  # stopped alone, we would leave it to run
            self._early.append(number)
            return
        self._pass_on(_signal.SIGSTOP, None)
        os.kill(os.getpid(), _signal.SIGSTOP)
        self._pass_on(_signal.SIGCONT, None)
