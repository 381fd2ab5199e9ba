"""Every flag of every command of Docker Compose, as its `--help` has them, and those that it hides but takes.

    python -m tests.effects.docker_flags /path/to/lab/peers run docker-compose-240

writes docker_flags.json: command ("" is the program) → flag by its longest name → its short name, and whether it takes
a value (null: a hidden one, not known). A flag that we lack has a row in lacking.toml, which says why;
tests/unit/compose/test_effects.py compares.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

PATH = Path(__file__).parent / "docker_flags.json"
_FLAG = re.compile(r" {2}(?:(-\w), | {4})(--[\w-]+)(?: (\S+))?(?: {2}|$)", re.MULTILINE)
_COMMANDS = re.compile(r"^(?:Management )?Commands:\n((?: {2}.*\n)+)", re.MULTILINE)
# Flags that `--help` doesn't show, of old scripts; each is tried with each command.
_HIDDEN = (
    "--all", "--build", "--compress", "--environment", "--filter", "--follow", "--force-rm", "--include-deps",
    "--insecure-registry", "--interactive", "--labels", "--memory", "--no-ansi", "--no-parallel", "--no-rm", "--no-tty",
    "--parallel", "--progress", "--quiet", "--resolve-image-digests", "--tty", "--use-api-socket", "--verbose",
    "--version", "--volumes", "--workdir",
)  # fmt: skip


def _said(command: list[str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _visible(text: str) -> dict[str, dict[str, object]]:
    return {
        long: {"short": short, "value": bool(kind)}
        for short, long, kind in _FLAG.findall(text)
        if long not in ("--help", "--dry-run")
    }


def _hidden(
    command: list[str], words: list[str], known: dict[str, dict[str, object]]
) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for flag in _HIDDEN:
        if flag not in known and "unknown flag" not in _said(command, *words, f"{flag}=auto", "--help")[1]:
            found[flag] = {"short": "", "value": None}
    return found


def collect(command: list[str]) -> dict[str, dict[str, dict[str, object]]]:
    """Return commands and flags of the program that `command` starts."""
    found = {}
    todo: list[list[str]] = [[], ["alpha"]]
    while todo:
        words = todo.pop()
        _, text = _said(command, *words, "--help")
        flags = _visible(text)
        found[" ".join(words)] = flags | _hidden(command, words, flags)
        for block in _COMMANDS.findall(text):
            todo += [[*words, line.split()[0].rstrip("*")] for line in block.splitlines()]
    return found


if __name__ == "__main__":
    made = collect(sys.argv[1:])
    PATH.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
