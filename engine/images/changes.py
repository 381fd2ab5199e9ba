"""Dockerfile instructions that change an image's configuration, for `import -c` and `commit -c`."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import InvalidChange
from pycompose.engine.images.spec import Healthcheck, ImageConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_SHELL = ("/bin/sh", "-c")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """Return `config` after the instructions, each one line such as `CMD ["sh"]` or `ENV A=1 B=2`.

    Raises InvalidChange naming the instruction.
    """
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        handler = _HANDLERS.get(word.upper())
        if handler is None:
            raise InvalidChange(
                f"change {change!r}: {word!r} is not possible here", hint=f"possible: {', '.join(_HANDLERS)}"
            )
        try:
            config = handler(config, rest.strip())
        except ValueError as exc:
            raise InvalidChange(f"change {change!r}: {exc}") from exc
    return config


def on_build(changes: Sequence[str]) -> dict[str, list[str]]:
    """Return what ONBUILD among the instructions adds to the "config" object: for builds upon the image alone."""
    words = (change.strip().partition(" ") for change in changes)
    found = [rest.strip() for word, _, rest in words if word.upper() == "ONBUILD"]
    return {"OnBuild": found} if found else {}


def _command(config: ImageConfig, text: str) -> tuple[str, ...]:
    """Return the exec form (a JSON list), or the text through the image's shell."""
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    if not text:
        raise ValueError("it needs a value")
    return (*(config.shell or DEFAULT_SHELL), text)


def _words(text: str) -> list[str]:
    if text.startswith("["):
        value = json.loads(text)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("not a list of strings")
        return value
    words = shlex.split(text)
    if not words:
        raise ValueError("it needs a value")
    return words


def _pairs(text: str) -> dict[str, str]:
    """Return KEY=value words, or the old form `KEY value with spaces`."""
    first, _, rest = text.partition(" ")
    if "=" not in first:
        if not rest.strip():
            raise ValueError("not of the form KEY=value")
        return {first: rest.strip()}
    pairs = {}
    for word in shlex.split(text):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r} is not of the form KEY=value")
        pairs[key] = value
    return pairs


def _env(config: ImageConfig, text: str) -> ImageConfig:
    values = dict(item.split("=", 1) for item in config.env) | _pairs(text)
    return replace(config, env=tuple(f"{key}={value}" for key, value in values.items()))


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = [port if "/" in port else f"{port}/tcp" for port in _words(text)]
    for port in ports:
        number, _, protocol = port.partition("/")
        if not all(part.isdigit() for part in number.split("-")) or protocol not in ("tcp", "udp", "sctp"):
            raise ValueError(f"{port!r} is not a port")
    return replace(config, exposed_ports=tuple(sorted({*config.exposed_ports, *ports})))


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, volumes=tuple(sorted({*config.volumes, *_words(text)})))


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    if not text:
        raise ValueError("it needs a value")
    return replace(config, working_dir=text if text.startswith("/") else f"{config.working_dir or ''}/{text}")


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, entrypoint=_command(config, text), cmd=())


def _shell(config: ImageConfig, text: str) -> ImageConfig:
    if not text.startswith("["):
        raise ValueError("it needs a JSON list")
    return replace(config, shell=tuple(_words(text)))


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    """HEALTHCHECK [--interval= --timeout= --start-period= --start-interval= --retries=] CMD …, or NONE."""
    if text.upper() == "NONE":
        return replace(config, healthcheck=Healthcheck(test=("NONE",)))
    options: dict[str, str] = {}
    while text.startswith("--"):
        word, _, text = text.partition(" ")
        key, _, value = word[2:].partition("=")
        options[key] = value
        text = text.strip()
    kind, _, command = text.partition(" ")
    if kind.upper() != "CMD" or not command.strip():
        raise ValueError("it needs CMD and a command, or NONE")
    command = command.strip()
    exec_form = _command(config, command)
    test = ("CMD", *exec_form) if command.startswith("[") else ("CMD-SHELL", command)
    times = {name: _seconds(options.pop(name)) for name in list(options) if name != "retries"}
    known = {"interval", "timeout", "start-period", "start-interval"}
    if unknown := set(times) - known:
        raise ValueError(f"unknown option --{unknown.pop()}")
    return replace(
        config,
        healthcheck=Healthcheck(
            test=test,
            interval_s=times.get("interval"),
            timeout_s=times.get("timeout"),
            start_period_s=times.get("start-period"),
            start_interval_s=times.get("start-interval"),
            retries=int(options["retries"]) if "retries" in options else None,
        ),
    )


def _on_build(config: ImageConfig, text: str) -> ImageConfig:
    """ONBUILD: checked here, kept by `on_build`."""
    word = text.partition(" ")[0].upper()
    if not word:
        raise ValueError("it needs an instruction")
    if word in ("FROM", "MAINTAINER", "ONBUILD"):
        raise ValueError(f"{word} isn't allowed as an ONBUILD trigger")
    return config


def _seconds(text: str) -> float:
    for unit in sorted(_UNITS, key=len, reverse=True):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * _UNITS[unit]
    raise ValueError(f"{text!r} is not a duration such as 30s")


_HANDLERS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": lambda config, text: replace(config, cmd=_command(config, text)),
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda config, text: replace(config, labels={**config.labels, **_pairs(text)}),
    "ONBUILD": _on_build,
    "SHELL": _shell,
    "STOPSIGNAL": lambda config, text: replace(config, stop_signal=text),
    "USER": lambda config, text: replace(config, user=text),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
