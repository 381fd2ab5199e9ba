"""The table of effects: what each key, each word that a key knows, and each flag does, and which test sees it.

attributes.toml has a table per structure of config/attributes.py, flags.toml one per command. A row is

    key = "FILE::function[word]"                           an effect, and the test that sees it; [word] is in its file
    key = {test = "…", note = "…"}                         the same, with something to know
    key = {warned = "text", service = "…", top = "…"}      no effect, which is said: `service` goes into a service,
                                                           `top` below it; `run` is a command, for flags
    key = {refused = "text", …}                            as above, an error
    "key=word"                                             a word that the key knows, in the same ways

FILE is below tests/, or a name of [files]. `like` in a table of flags names a command that has the same ones.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
from pycompose.cli.main import cli
from pycompose.config import logging_options, runnable, unsupported
from pycompose.config.attributes import ALIASES, ATTRIBUTES
from pycompose.networking.driver import DRIVERS as NETWORK_DRIVERS
from pycompose.networking.settings import ENDPOINT_OPTIONS

HERE = Path(__file__).parent
TESTS = HERE.parent
REFERENCE = re.compile(r"(?P<file>[^:\[]+?)(?:::(?P<function>\w+))?(?:\[(?P<word>.+)\])?\Z")
SEPARATOR = "="


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one key, word or flag does. `place` is the structure or command, `key` what is below it."""

    place: str
    key: str
    test: str = ""
    refused: str = ""
    warned: str = ""
    note: str = ""
    service: str = ""
    top: str = ""
    run: str = ""

    @property
    def effect(self) -> str:
        """The kind of the row: effect, refused or warned."""
        return "effect" if self.test else "refused" if self.refused else "warned"

    def compose_file(self) -> str:
        """Return the compose file that a refusal or a warning is tried with."""
        services = (
            f"services:\n  a: {{image: busybox, command: [sleep, '1000'], init: true, {self.service}}}\n"
        )
        return services + self.top.strip() + "\n"


@cache
def _read(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def rows(name: str) -> dict[tuple[str, str], Row]:
    """Return the rows of a file, by place and key."""
    found = {}
    for place, table in _read(name).items():
        if place == "files":
            continue
        for key, value in table.items():
            if key != "like":
                details = {"test": value} if isinstance(value, str) else value
                found[place, key] = Row(place=place, key=key, **details)
    return found


def seen_by(row: Row) -> tuple[Path, str, str]:
    """Return file, function and word of the test that sees an effect."""
    match = REFERENCE.match(row.test)
    assert match, f"{row.place} {row.key}: {row.test!r} is no test"
    files = {**_read("attributes.toml").get("files", {}), **_read("flags.toml").get("files", {})}
    name, function = match["file"], match["function"] or ""
    if name in files:
        name, _, implied = files[name].partition("::")
        function = function or implied
    return TESTS / name, function, match["word"] or ""


@cache
def functions(path: Path) -> dict[str, str]:
    """Return the functions of a file, each with its text and decorators."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return {
        node.name: "\n".join(
            lines[min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1 : node.end_lineno]
        )
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


# ---------------------------------------------------------------------- what there has to be

# Words that a key knows although its type is a string: from where the code has them.
_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    **{
        ("service", key): (*words, *(runnable.SHARED if shares else ()))
        for key, (_name, words, shares) in runnable._MODES.items()
    },
    ("service", "restart"): runnable.RESTARTS,
    ("service", "security_opt"): runnable._SECURITY,
    ("service", "runtime"): tuple(sorted(unsupported.RUNTIMES - {""})),
    ("service", "userns_mode"): ("host",),
    ("service", "isolation"): ("default",),
    ("restart_policy", "condition"): ("none", "on-failure", "any"),
    ("healthcheck", "test"): ("CMD", "CMD-SHELL", "NONE"),
    ("logging", "driver"): tuple(logging_options.OPTIONS),
    ("logging", "options"): tuple(
        f"{driver}.{option}" for driver, options in logging_options.OPTIONS.items() for option in options
    ),
    ("network", "driver"): tuple(NETWORK_DRIVERS),
    ("network", "driver_opts"): tuple(
        sorted(frozenset().union(*(driver.options for driver in NETWORK_DRIVERS.values())))
    ),
    ("endpoint", "driver_opts"): tuple(sorted(ENDPOINT_OPTIONS)),
    ("port", "protocol"): ("tcp", "udp", "sctp"),
    ("port", "mode"): ("ingress", "host"),
    ("build", "network"): ("default", "none", "host"),
    ("build", "entitlements"): ("network.host", "security.insecure"),
    ("mount_bind", "propagation"): ("private", "rprivate", "shared", "rshared", "slave", "rslave"),
    ("env_file", "format"): ("raw",),
    ("volume", "driver"): ("local",),
}


def expected_keys() -> set[tuple[str, str]]:
    """Return structure and key of all that may be written, and of each word that a key knows."""
    found = {(name, key) for name, keys in ATTRIBUTES.items() for key in keys}
    for name, keys in ATTRIBUTES.items():
        for key, row in keys.items():
            found |= {(name, f"{key}{SEPARATOR}{word}") for word in _quoted(row[0])}
    for (name, key), words in _WORDS.items():
        found |= {(name, f"{key}{SEPARATOR}{word}") for word in words}
    return found


def _quoted(kind: str) -> list[str]:
    """Return the words of a type, `'a','b'` or `/never|daily/`, also through the name of an alias."""
    for name in re.findall(r"@(\w+)", kind):
        if name in ALIASES and "@" not in ALIASES[name]:
            kind = kind.replace(f"@{name}", ALIASES[name])
    words = re.findall(r"'([^']+)'", kind)
    pattern = re.search(r"/([a-z_|]+)\|", kind)
    return words + (pattern[1].split("|") if pattern else [])


def commands() -> dict[str, click.Command]:
    """Return every command by its words, "" the program itself."""
    found: dict[str, click.Command] = {}

    def visit(command: click.Command, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), name)
                assert inner is not None
                visit(inner, (*words, name))

    visit(cli, ())
    return found


def flags_of(command: click.Command) -> set[str]:
    """Return the flags of a command by their longest name, and the words that some of them know."""
    found = set()
    for param in command.params:
        if isinstance(param, click.Option):
            name = max(param.opts, key=len)
            found.add(name)
            if isinstance(param.type, click.Choice):
                found |= {f"{name}{SEPARATOR}{word}" for word in param.type.choices}
    return found


def expected_flags() -> set[tuple[str, str]]:
    """Return command and flag of all there are; those of a table with `like` are another one's."""
    tables = _read("flags.toml")
    found = set()
    for words, command in commands().items():
        place = words or "pycompose"
        own = flags_of(command)
        like = tables.get(place, {}).get("like", "")
        if like:
            own -= flags_of(commands()[like])
        found |= {(place, flag) for flag in own if not (flag == "--dry-run" and place != "pycompose")}
    return found
