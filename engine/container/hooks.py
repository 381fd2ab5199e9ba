"""Running the hooks that devices bring along (runtime-spec config.md, "CreateContainer Hooks").

They run in the container's namespaces with the machine's files still there, as root with all that root may, before the
container's own process is: what runc gives them, they get. They are told where the container's root is by the file
`config.json` in the bundle that the state on their standard input names.
"""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pycompose.engine.container.child_error import at
from pycompose.engine.errors import EngineError
from pycompose.engine.linux import process

if TYPE_CHECKING:
    from pycompose.engine.config import ContainerConfig, OciHook

OCI_VERSION = "1.2.0"
PATIENCE_S = 60
_OUTPUT_BYTES = 2000


def run_hooks(config: ContainerConfig, root: Path) -> None:
    """Run the hooks of the container whose root is mounted at `root`; raises EngineError, OSError.

    Every descriptor above 2 is closed on execve from here on.
    """
    if not config.hooks:
        return
    at("prepare its hooks")
    bundle = root.parent
    spec = {"ociVersion": OCI_VERSION, "root": {"path": str(root)}, "hostname": config.hostname}
    (bundle / "config.json").write_text(json.dumps(spec), encoding="utf-8")
    state = {
        "ociVersion": OCI_VERSION,
        "id": config.id,
        "status": "creating",
        "pid": os.getpid(),
        "bundle": str(bundle),
        "annotations": config.annotations,
    }
    process.close_on_exec_from(3)
    for hook in config.hooks:
        at("run hook", hook.path)
        _run(hook, json.dumps(state).encode(), root)


def _run(hook: OciHook, state: bytes, root: Path) -> None:
    # Files, not pipes: whoever doesn't read or write can't stop us.
    given, said = os.memfd_create("state"), os.memfd_create("output")
    os.write(given, state)
    os.lseek(given, 0, os.SEEK_SET)
    pid = os.fork()
    if pid == 0:
        _become(hook, given, said, root)
    pidfd = os.pidfd_open(pid)
    patience_s = PATIENCE_S if hook.timeout_s is None else hook.timeout_s
    in_time = bool(select.select([pidfd], [], [], patience_s)[0])
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    output = os.pread(said, _OUTPUT_BYTES, max(0, os.fstat(said).st_size - _OUTPUT_BYTES))
    for fd in (given, said, pidfd):
        os.close(fd)
    if code == 0:
        return
    words = " ".join(output.decode("utf-8", "replace").split())
    reason = f"exit code {code}" if in_time else f"not done after {patience_s} s"
    raise EngineError(
        f"cannot run hook {hook.path} of a device: {reason}{': ' if words else ''}{words}",
        hint="it comes from a CDI specification in /etc/cdi or /var/run/cdi",
    )


def _become(hook: OciHook, given: int, said: int, root: Path) -> NoReturn:
    try:
        os.umask(0o022)
        os.chdir(root)
        for number, fd in enumerate((given, said, said)):
            os.dup2(fd, number, inheritable=True)
        variables = dict(entry.partition("=")[::2] for entry in hook.env)
        os.execve(hook.path, list(hook.args or (hook.path,)), variables)  # noqa: S606
    except OSError as exc:
        os.write(said, (exc.strerror or str(exc)).encode())
    finally:
        os._exit(127)
