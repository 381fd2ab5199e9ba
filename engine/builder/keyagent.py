"""`--ssh ID=FILE`: private keys in files become an agent of this command's own, by ssh-agent and ssh-add."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pycompose.engine.errors import BuildError


@contextlib.contextmanager
def key_agent(keys: Sequence[str], folder: Path, what: str) -> Iterator[str]:
    """Yield the socket (in `folder`) of an agent that has `keys`, paths of files. Raises BuildError.

    The agent ends with the command that it runs (ssh-agent(1)), and that one when our end of its pipe is closed:
    it outlives nobody, however this process ends.
    """
    sock = str(folder / "agent")
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        agent = subprocess.Popen(
            ["ssh-agent", "-a", sock, "sh", "-c", "echo $SSH_AGENT_PID; exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C is for us to answer
        )
    except FileNotFoundError as exc:
        raise BuildError(
            f"{what}: keys in files need the program ssh-agent, which isn't installed",
            hint="install openssh-client, or give the socket of an agent",
        ) from exc
    with agent, contextlib.ExitStack() as stack:
        try:
            assert agent.stdout is not None  # noqa: S101 - as asked for
            pid = int(agent.stdout.readline())
            stack.callback(os.kill, pid, signal.SIGTERM)
            for key in keys:
                _add(key, {**environment, "SSH_AUTH_SOCK": sock}, what)
            yield sock
        finally:
            agent.terminate()  # it is the command by now; the agent would notice its end 10 s later


def _add(key: str, environment: dict[str, str], what: str) -> None:
    try:
        # Not by its name: ssh-add refuses a file that others may read, which is no matter of ours (ssh-add(1)).
        with open(key, "rb") as file:
            done = subprocess.run(
                ["ssh-add", "-q", "-"],
                stdin=file,
                capture_output=True,
                env=environment,
                check=False,
                start_new_session=True,  # no terminal to ask for a passphrase on
            )
    except OSError as exc:
        raise BuildError(f"{what}: {key}: {exc.strerror}") from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BuildError(
            f"{what}: {key}: cannot use this key: {said[-1] if said else 'ssh-add gives no reason'}",
            hint="a key with a passphrase belongs into an agent: ssh-add KEY, then --ssh default",
        )
