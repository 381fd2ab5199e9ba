"""Pieces that several commands share: common flags, parameter types, completion of live names."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.engine.errors import PycomposeError

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_STAMP = re.compile(r"(.*?:\d\d)\.(\d{1,9})\d*(.*)")
SUBSECOND_DIGITS = 9
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
PROGRESS = ("auto", "tty", "plain", "json", "quiet", "none")


def seconds(text: str) -> float:
    """Return a duration in seconds: a plain number, or Go's form "1h30m". Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        pieces = _PIECE.findall(text)
        if not pieces or "".join(number + unit for number, unit in pieces) != text:
            raise ValueError(text) from None
        return sum(float(number) * _UNITS[unit] for number, unit in pieces)


def moment_ns(text: str, now_ns: int) -> int:
    """Return a moment in CLOCK_REALTIME nanoseconds: RFC 3339, a date, seconds since 1970, or "42m" ago.

    docker/cli `logs --since`; a stamp without a zone is in local time. Raises ValueError.
    """
    import datetime as dt  # noqa: PLC0415 - few commands need it

    if re.fullmatch(r"\d+(\.\d+)?", text):
        whole, _, rest = text.partition(".")
        return int(whole) * 10**9 + int(rest.ljust(SUBSECOND_DIGITS, "0")[:SUBSECOND_DIGITS] or 0)
    if _PIECE.match(text):
        return now_ns - int(seconds(text) * 1e9)
    nanoseconds = 0
    match = _STAMP.fullmatch(text)
    if match:
        nanoseconds = int(match[2].ljust(SUBSECOND_DIGITS, "0"))
        text = match[1] + match[3]
    return int(dt.datetime.fromisoformat(text).timestamp()) * 10**9 + nanoseconds


class BytesType(click.ParamType[int]):
    """A size: 64m, 1g, bytes, or -1."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes, -1 as it is."""
        from pycompose.units import parse_bytes  # noqa: PLC0415 - few commands have one, and fewer are given it

        try:
            return -1 if str(value) == "-1" else parse_bytes(str(value))
        except (ValueError, PycomposeError):
            self.fail(f"{value!r} is no size; use 64m, 1g or bytes", param, ctx)


class TimestampType(click.ParamType[int]):
    """A point in time, see `moment_ns`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since 1970."""
        if isinstance(value, int):
            return value
        if not value:  # a script's variable that isn't set
            return 0
        try:
            return moment_ns(value, time.time_ns())
        except ValueError:
            self.fail(
                f"{value!r} is no time; use 2026-01-02T13:23:37Z, or 42m for 42 minutes ago", param, ctx
            )


class ScaleType(click.ParamType[tuple[str, int]]):
    """SERVICE=NUM."""

    name = "service=num"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return (service, number of replicas)."""
        if isinstance(value, tuple):
            return value
        service, equals, text = str(value).partition("=")
        if not (service and equals and text.isascii() and text.isdigit()):
            self.fail(f"{value!r} is not of the form SERVICE=NUM", param, ctx)
        return service, int(text)


def invocation_of(ctx: click.Context) -> Invocation:
    """Return the invocation of a context, also while a shell completes (no callback has run then)."""
    if isinstance(ctx.obj, Invocation):
        return ctx.obj
    made = Invocation()
    made.fill(ctx.find_root().params)
    return made


def complete_services(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the services of the compose file that begin with what has been typed."""
    from pycompose.config.load import load  # noqa: PLC0415 - only a shell that completes needs it

    try:
        loaded = load(invocation_of(ctx).load_options())  # its warnings stay unsaid
        names = [*project_of(loaded).services, *loaded.disabled]  # `run` takes those of other profiles, too
    except Exception:  # noqa: BLE001 - a shell that asks for completions must never see an error
        return []
    taken = ctx.params.get("services") or ()
    return [name for name in names if name.startswith(incomplete) and name not in taken]


def services_argument(*, required: bool = False) -> Callable[[F], F]:
    """Declare `[SERVICE…]`."""
    return click.argument(
        "services", nargs=-1, required=required, metavar="[SERVICE]...", shell_complete=complete_services
    )


def service_argument() -> Callable[[F], F]:
    """Declare one `SERVICE`."""
    return click.argument("service", metavar="SERVICE", shell_complete=complete_services)


def timeout_option(*names: str) -> Callable[[F], F]:
    """Declare `-t/--timeout SECONDS`, also under other `names`."""
    text = "Seconds until containers that don't stop are killed."
    return click.option("-t", "--timeout", *names, "timeout", type=float, metavar="SECONDS", help=text)


class GoCommand(click.Command):
    """A command whose switches take a value, too: `--rm=true`, `--no-cache=false`, as scripts for docker have them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what is left when such values are gone."""
        return super().parse_args(ctx, self._without_booleans(ctx, args))

    def _without_booleans(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {
            name: option
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            for name in (*option.opts, *option.secondary_opts)
        }
        done: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--" or not (word.startswith("-") or ctx.allow_interspersed_args):
                done.append(word)
                break
            name, equals, value = word.partition("=")
            option = known.get(name) if word.startswith("-") else None
            if option is not None and option.is_flag and equals and value.lower() in _BOOLEANS:
                if _BOOLEANS[value.lower()]:
                    done.append(name)
                else:
                    done += option.secondary_opts
                continue
            done.append(word)
            last = (
                known.get(name if word.startswith("--") else f"-{word[-1]}") if word.startswith("-") else None
            )
            if last is not None and not last.is_flag and not (word.startswith("--") and equals):
                done += itertools.islice(rest, 1)
        return [*done, *rest]


def retired_option(*names: str) -> Callable[[F], F]:
    """Declare a switch of Compose v1 that scripts still have: Compose takes it without a word and without effect."""

    def say(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it
        if value and isinstance(ctx.obj, Invocation):
            ctx.obj.warn(f"{param.opts[-1]} has no effect: it is a flag of Compose v1")

    return click.option(*names, is_flag=True, hidden=True, expose_value=False, callback=say)


def dry_run_option() -> Callable[[F], F]:
    """Declare `--dry-run`, which every command takes too; it is kept in the invocation."""

    def keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it
        if value and isinstance(ctx.obj, Invocation):
            ctx.obj.dry_run = True

    return click.option(
        "--dry-run",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=keep,
        help="Show the steps, change nothing.",
    )


def format_option(
    text: str = "table, json, jsonl, or a Go template.", *, default: str = "table"
) -> Callable[[F], F]:
    """Declare `--format`."""
    return click.option("--format", "how", default=default, metavar="FORMAT", help=text)


def detach_keys(environment: Mapping[str, str]) -> str:
    """Return the keys that leave a terminal: `detachKeys` of docker's configuration, else ctrl-p,ctrl-q."""
    from pycompose.cli.display.terminal import DETACH_KEYS  # noqa: PLC0415 - --help doesn't need it
    from pycompose.cli.docker_config import setting  # noqa: PLC0415 - as above

    return setting(environment, "detachKeys") or DETACH_KEYS


def detach_keys_option() -> Callable[[F], F]:
    """Declare `--detach-keys`; the command gets the keys as text, checked; without any those of docker's config."""

    def check(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
        from pycompose.cli.display.terminal import parse_keys  # noqa: PLC0415 - --help doesn't need it

        keys = value or detach_keys(os.environ)
        parse_keys(keys)
        return keys

    return click.option(
        "--detach-keys",
        default="",
        metavar="KEYS",
        callback=check,
        help="Leave by these (default: ctrl-p,ctrl-q, or `detachKeys` of docker's config.json).",
    )


def _stacked(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that applies `decorators`, the first one outermost."""

    def decorate(function: F) -> F:
        for one in reversed(decorators):
            function = one(function)
        return function

    return decorate


def image_flags() -> Callable[[F], F]:
    """Declare how images are got ready: --build, --no-build, --pull, --quiet-pull, --quiet-build."""
    return _stacked(
        click.option("--build", is_flag=True, help="Build images first."),
        click.option("--no-build", is_flag=True, help="Don't build images."),
        click.option(
            "--pull",
            type=click.Choice(["always", "missing", "never", "build", "policy"]),
            callback=lambda _ctx, _param, value: "" if value == "policy" else value,
            help="Which images to pull (default: the service's pull_policy).",
        ),
        click.option("--quiet-pull", is_flag=True, help="Pull without progress."),
        click.option("--quiet-build", is_flag=True, help="Build without output."),
    )


def recreate_flags() -> Callable[[F], F]:
    """Declare --force-recreate, --no-recreate, --remove-orphans."""
    return _stacked(
        click.option("--force-recreate", is_flag=True, help="Recreate containers that have not changed."),
        click.option("--no-recreate", is_flag=True, help="Leave containers that exist alone."),
        click.option("--remove-orphans", is_flag=True, help="Remove containers that aren't in the file."),
    )
