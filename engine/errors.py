"""Every error a user can meet, as one tree.

PycomposeError(message, hint)               exit code 1
├─ ConfigError(location)                    compose/errors.py: YAML, schema, interpolation, cycles
├─ SupervisorError                          compose/errors.py: not running, protocol mismatch, lock held
├─ EngineError
│   ├─ MountError  NamespaceError  CgroupError  SeccompError  ChildError(step)
│   ├─ ExecError                            exit code 126 (not executable) or 127 (not found)
│   ├─ KeeperMismatch(pid)                  the keeper is of another version, and is replaced
│   ├─ KeeperLost                           the keeper died meanwhile: what was asked can be asked again
│   ├─ StateError ── InvalidTransition  NoSuchContainer  AlreadyExists
│   ├─ ImageError ── InvalidChange  InvalidReference  NoSuchImage  PullError  AuthError  DigestMismatch  ArchiveError
│   └─ BuildError ── DockerfileError(file, line, text) ── StepFailed(output, exit_code)
├─ StorageError                             a state directory that is full, read-only, or failing
├─ NetworkError ── AddressesExhausted  PortInUse
└─ VolumeError ── VolumeInUse

A message names the object, the operation and the reason, in lower case, on one line. The hint says what to do.
`OSError` and library errors stay inside the function that makes the call; the operation around it adds the
names and raises one of these `from` it.
"""

from __future__ import annotations

import errno

# A hint, or the end of one, where the machine is to blame.
NO_PROCESSES = (
    "as many processes run as may: end some, or raise kernel.pid_max, `ulimit -u`, or the group's pids.max"
)
DOCTOR = "`pycompose doctor` shows what this machine lacks, and how to mend it"


def doctor_row(check: str) -> str:
    """Return a hint, or the end of one, that leads to the row of `doctor` on a single piece of the machine."""
    return f'`pycompose doctor` has more, at "{check}"'


CHOOSE_STATE = (
    "set PYCOMPOSE_ROOT and PYCOMPOSE_RUN to directories that can be made and written to; "
    + doctor_row("state directory")
)
FEW_IDS = f"enlarge the user's ranges in /etc/subuid and /etc/subgid; {doctor_row('id maps')}"


class PycomposeError(Exception):
    """Base of everything that is shown to a user as two lines instead of a traceback.

    `details`, between the two, is of any number of lines: what somebody else has said, the output of a container.
    """

    exit_code = 1
    details = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback of somebody's own program shows it, too

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, object]:
        """Return the form that travels between processes."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


class EngineError(PycomposeError):
    """The container engine could not do what it was asked."""


class MountError(EngineError):
    """A mount could not be made or changed."""


class NamespaceError(EngineError):
    """A namespace could not be created or entered."""


class CgroupError(EngineError):
    """A control group could not be created, limited or removed."""


class SeccompError(EngineError):
    """A system-call filter could not be built or installed."""


class ChildError(EngineError):
    """The child failed between clone and execve; `step` is the operation it was at."""

    def __init__(self, message: str, *, step: str, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno


class ExecError(EngineError):
    """The command cannot be executed: 126 for not executable, 127 for not found."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class KeeperLost(EngineError):  # noqa: N818 - names of the tree above read as sentences
    """The keeper died before it answered. Its containers go on, and another keeper takes them over."""


class KeeperMismatch(EngineError):  # noqa: N818
    """The keeper, process `pid`, speaks another protocol: another version of pycompose has started it.

    It hands over what its containers would lose with it: `fds` has the terminals of the containers `terminals`, in that
    order, and after them inputs, which only have to stay open until another keeper has opened them.
    """

    def __init__(
        self, message: str, *, pid: int, terminals: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid
        self.terminals = terminals
        self.fds: list[int] = []


class StateError(EngineError):
    """The container is not in a state that allows the operation."""


class InvalidTransition(StateError):  # noqa: N818
    """No such transition in the table of engine/state.py."""


class NoSuchContainer(StateError):  # noqa: N818
    """No container has this name or id."""


class AlreadyExists(StateError):  # noqa: N818
    """The name is taken."""


class ImageError(EngineError):
    """An image could not be found, fetched, stored or unpacked."""


class InvalidChange(ImageError):  # noqa: N818
    """An instruction of `commit -c` or `import -c` can't be followed."""


class InvalidReference(ImageError):  # noqa: N818
    """The text is not an image reference."""


class NoSuchImage(ImageError):  # noqa: N818
    """The store has no image of this reference."""


class PullError(ImageError):
    """A registry did not deliver."""


class AuthError(ImageError):
    """A registry refused the credentials."""


class DigestMismatch(ImageError):  # noqa: N818
    """Content is not what its digest or size says."""


class ArchiveError(ImageError):
    """An archive breaks a rule of the unpacker; the message says which layer and entry."""


class BuildError(EngineError):
    """An image could not be built."""


class DockerfileError(BuildError):
    """A Dockerfile that can't be understood; `text` is the line, `column` counts from 1 (0: the whole line)."""

    def __init__(
        self,
        message: str,
        *,
        file: str = "Dockerfile",
        line: int = 0,
        column: int = 0,
        text: str = "",
        hint: str | None = None,
    ) -> None:
        place = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{place}: {message}", hint=hint)
        self.reason = message
        self.file = file
        self.line = line
        self.column = column
        self.text = text


class StepFailed(DockerfileError):  # noqa: N818 - the tree reads as sentences
    """A process of a build ended with another code than 0; `output` are the last lines that it printed."""

    def __init__(
        self,
        message: str,
        *,
        file: str = "Dockerfile",
        line: int = 0,
        text: str = "",
        output: tuple[str, ...] = (),
        exit_code: int = 1,
    ) -> None:
        super().__init__(message, file=file, line=line, text=text)
        self.output = output
        self.status = exit_code


class StorageError(PycomposeError):
    """A state directory can't be written: full, read-only, or the disk fails."""


def storage_error(exc: OSError) -> StorageError | None:
    """Return what `exc` says of the disk, None when it is about something else."""
    if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        return None
    return StorageError(f"{exc.filename or 'state directory'}: cannot write: {exc.strerror}")


class NetworkError(PycomposeError):
    """A network, address, rule or port could not be set up."""


class AddressesExhausted(NetworkError):  # noqa: N818
    """No free subnet or address is left."""


class NetworkInUse(NetworkError):  # noqa: N818
    """A network can't be removed: containers that exist are on it."""


class PortInUse(NetworkError):  # noqa: N818
    """A published port is taken on the host."""


class VolumeError(PycomposeError):
    """A volume could not be created, filled, mounted or removed."""


class VolumeInUse(VolumeError):  # noqa: N818
    """A container still refers to the volume."""


def error_from_json(value: dict[str, object]) -> PycomposeError:
    """Return the error that `to_json` in another process made `value` from, with its class where we know it."""
    classes = {found.__name__: found for found in _subclasses(PycomposeError)}
    found = classes.get(str(value.get("type")), PycomposeError)
    error = found.__new__(found)
    hint = value.get("hint")
    PycomposeError.__init__(error, str(value.get("message", "")), hint=str(hint) if hint else None)
    code = value.get("exit_code")
    error.exit_code = code if isinstance(code, int) else 1
    return error


def _subclasses(parent: type[PycomposeError]) -> list[type[PycomposeError]]:
    found = [parent]
    for child in parent.__subclasses__():
        found += _subclasses(child)
    return found
