"""`image build --call METHOD`: questions about a Dockerfile in place of a build, answered as buildx answers them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display import table
from pycompose.cli.display.style import clean
from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.builder.outline import targets_json
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.machine import image_build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.client.context import Context
    from pycompose.engine.builder.outline import Outline, Target

BUILD, CHECK, OUTLINE, TARGETS = METHODS = ("build", "check", "outline", "targets")
_BOOLEANS = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}


@dataclass(frozen=True, slots=True)
class Call:
    """What `--call METHOD[,format=json][,ignorestatus=true]` asks for."""

    method: str = BUILD
    as_json: bool = False
    ignores_status: bool = False


def parse_call(text: str) -> Call:
    """Return what is asked for; `lint` is another name of `check`. Raises BuildError."""
    method, as_json, ignores = "", False, False
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not equals:
            if method:
                raise BuildError(f"--call {text}: more than one method")
            method = CHECK if item == "lint" else item
        elif name == "format" and value in ("json", "text", ""):
            as_json = value == "json"
        elif name == "ignorestatus" and value.lower() in _BOOLEANS:
            ignores = _BOOLEANS[value.lower()]
        else:
            raise BuildError(f"--call {text}: invalid field {item}", hint="format=json, ignorestatus=true")
    if method not in METHODS:
        hint = suggestion(method, list(METHODS)) or f"known: {', '.join(METHODS)}"
        raise BuildError(f"--call {text}: unknown method {method!r}", hint=hint)
    return Call(method, as_json, ignores)


def answer(context: Context, options: image_build.ImageBuildOptions, call: Call) -> None:
    """Print the answer; a check that finds something ends with code 1. Raises DockerfileError, BuildError."""
    match call.method:
        case "outline":
            outline = image_build.outline_image(context, options)
            _show(outline.to_json() if call.as_json else outline_text(outline))
        case "targets":
            request, found = image_build.targets_image(context, options)
            _show(targets_json(request, found) if call.as_json else targets_text(found))
        case _:
            report = image_build.check_image(context, options)
            _show(report.checked[0].to_json() if call.as_json else report.text + "\n")
            if report.error is not None and not call.ignores_status:
                raise report.error
            if report.found and not call.ignores_status:
                raise click.exceptions.Exit(1)


def _show(answered: str | dict[str, Any]) -> None:
    text = answered if isinstance(answered, str) else json.dumps(answered, indent=2) + "\n"
    click.echo("".join(clean(line) + "\n" for line in text.splitlines()), nl=False)


def outline_text(outline: Outline) -> str:
    """Return the tables of what a build takes."""
    parts = []
    if outline.name or outline.description:
        head = [("TARGET:", outline.name or "(default)")]
        if outline.description:
            head.append(("DESCRIPTION:", outline.description))
        parts.append(_table(head))
    if outline.arguments:
        rows = [(item.name, item.value, item.description) for item in outline.arguments]
        parts.append(_table([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows]))
    for title, items in (("SECRET", outline.secrets), ("SSH", outline.ssh)):
        if items:
            needed = [(item.name, "true" if item.required else "") for item in items]
            parts.append(_table([(title, "REQUIRED"), *needed]))
    return "".join(f"{part}\n" for part in parts)


def targets_text(found: Sequence[Target]) -> str:
    """Return the table of what can be built."""
    return _table([("TARGET", "DESCRIPTION"), *((_name(target), target.description) for target in found)])


def _name(target: Target) -> str:
    return " ".join(part for part in (target.name, "(default)" if target.default else "") if part)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return table.render(rows, minimum=0)
