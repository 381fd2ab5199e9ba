"""Instructions that change the image's configuration only: ARG, ENV, LABEL, CMD and their like."""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Sequence

from pycompose.engine.builder.dockerfile import Instruction
from pycompose.engine.builder.durations import go_duration, parse_go_duration
from pycompose.engine.builder.instructions import flags_of
from pycompose.engine.builder.scope import DEFAULT_SHELL, Scope
from pycompose.engine.builder.steps import MakeDirectory
from pycompose.engine.builder.words import WordError, expand_words
from pycompose.engine.dataclass import replace
from pycompose.engine.images.spec import Healthcheck

_REALTIME = r"RTMIN\+(?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4])"
_PORT = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?")


def arg(scope: Scope, instruction: Instruction) -> None:
    """ARG: a value for the rest of the stage."""
    texts = []
    # All words of one ARG see the values from before it, as BuildKit has it.
    before = dict(scope.values)
    for word in instruction.words:
        name, equals, default = word.partition("=")
        name = scope.whole.expand(instruction, name, before)
        value: str | None = None
        given = scope.whole.inputs.arguments
        if name in given:
            value = given[name]
            scope.whole.taken.add(name)
            texts.append(f"{name}={scope.whole.expand(instruction, default, before)}" if equals else name)
        elif equals:
            value = scope.whole.expand(instruction, default, before)
            texts.append(f"{name}={value}")
        else:
            known = scope.set_args().get(name)  # a declaration without a value takes none away
            value = scope.whole.globals.get(name, known)
            texts.append(name)
        scope.args[name] = value
        scope.declared.append(name)
        if value is not None:
            scope.values[name] = value
    scope.add(instruction, f"ARG {' '.join(texts)}")


def env(scope: Scope, instruction: Instruction) -> None:
    """ENV: values for the rest of the stage and for the image."""
    pairs = _pairs(scope, instruction)
    for name, value in pairs:
        scope.env[name] = value
        scope.values[name] = value
    scope.store_env()
    scope.add(instruction, "ENV " + " ".join(f"{name}={value}" for name, value in pairs))


def label(scope: Scope, instruction: Instruction) -> None:
    """LABEL: metadata of the image."""
    pairs = _pairs(scope, instruction)
    scope.config = replace(scope.config, labels={**scope.config.labels, **dict(pairs)})
    scope.add(instruction, "LABEL " + " ".join(f"{name}={value}" for name, value in pairs))


def _pairs(scope: Scope, instruction: Instruction) -> list[tuple[str, str]]:
    words = instruction.words
    return [
        (scope.expand(instruction, words[at]), scope.expand(instruction, words[at + 1]))
        for at in range(0, len(words), 2)
    ]


def workdir(scope: Scope, instruction: Instruction) -> None:
    """WORKDIR: relative to the former one; the directory is made."""
    path = scope.expand(instruction, instruction.words[0])
    if not path.startswith("/"):
        path = posixpath.normpath(f"{(scope.config.working_dir or '/').rstrip('/')}/{path}")
    scope.config = replace(scope.config, working_dir=path)
    scope.add(instruction, f"WORKDIR {path}", MakeDirectory(path=path, user=scope.config.user))


def user(scope: Scope, instruction: Instruction) -> None:
    """USER: who runs what follows, and the image."""
    name = scope.expand(instruction, instruction.words[0])
    scope.config = replace(scope.config, user=name)
    scope.add(instruction, f"USER {name}")


def maintainer(scope: Scope, instruction: Instruction) -> None:
    """MAINTAINER: the author, long out of use."""
    scope.author = instruction.words[0]
    scope.add(instruction, f"MAINTAINER {scope.author}")


def stopsignal(scope: Scope, instruction: Instruction) -> None:
    """STOPSIGNAL: a name or a number."""
    name = scope.expand(instruction, instruction.words[0])
    if not _is_signal(name):
        raise scope.fail(instruction, f"invalid signal: {name}", hint="a name such as SIGTERM, or a number")
    scope.config = replace(scope.config, stop_signal=name)
    scope.add(instruction, f"STOPSIGNAL {name}")


def _is_signal(text: str) -> bool:
    """Tell whether Docker takes `text` for a signal (moby/sys/signal)."""
    name = text.upper().removeprefix("SIG")
    if re.fullmatch(r"\d+", text):
        return int(text) != 0
    return f"SIG{name}" in signal.Signals.__members__ or re.fullmatch(_REALTIME, name) is not None


def expose(scope: Scope, instruction: Instruction) -> None:
    """EXPOSE: ports and ranges, tcp unless they say otherwise."""
    ports: list[str] = []
    for word in instruction.words:
        for text in _words(scope, instruction, word):
            ports += _ports(scope, instruction, text)
    scope.config = replace(scope.config, exposed_ports=tuple(sorted({*scope.config.exposed_ports, *ports})))
    shown = " ".join(f"{port}:{{}}" for port in sorted(set(ports)))
    scope.add(instruction, f"EXPOSE map[{shown}]")


def volume(scope: Scope, instruction: Instruction) -> None:
    """VOLUME: paths that get volumes of their own."""
    paths = [scope.expand(instruction, word) for word in instruction.words]
    if not all(paths):
        raise scope.fail(instruction, "VOLUME specified can not be an empty string")
    scope.config = replace(scope.config, volumes=tuple(sorted({*scope.config.volumes, *paths})))
    scope.add(instruction, f"VOLUME [{' '.join(paths)}]")


def _words(scope: Scope, instruction: Instruction, word: str) -> list[str]:
    try:
        return expand_words(word, scope.values, scope.whole.plan.file.escape)
    except WordError as exc:
        raise scope.fail(instruction, f"failed to process {word!r}: {exc}", word=word) from exc


def shell(scope: Scope, instruction: Instruction) -> None:
    """SHELL: what shell forms are given to."""
    scope.config = replace(scope.config, shell=instruction.words)
    scope.add(instruction, f"SHELL [{' '.join(instruction.words)}]")


def _command(scope: Scope, instruction: Instruction) -> tuple[str, ...]:
    if instruction.is_json:
        return instruction.words
    return (*(scope.config.shell or DEFAULT_SHELL), "".join(instruction.words))


def cmd(scope: Scope, instruction: Instruction) -> None:
    """CMD: the image's default command."""
    command = _command(scope, instruction)
    scope.config = replace(scope.config, cmd=command, args_escaped=True)
    scope.cmd_set = True
    scope.add(instruction, f"CMD {_quoted(command)}")


def entrypoint(scope: Scope, instruction: Instruction) -> None:
    """ENTRYPOINT: it takes an inherited CMD away."""
    command = _command(scope, instruction)
    scope.config = replace(scope.config, entrypoint=command)
    if not scope.cmd_set:
        scope.config = replace(scope.config, cmd=())
    scope.add(instruction, f"ENTRYPOINT {_quoted(command)}")


def healthcheck(scope: Scope, instruction: Instruction) -> None:
    """HEALTHCHECK: CMD with its times, or NONE."""
    check = _health(scope, instruction)
    scope.config = replace(scope.config, healthcheck=check)
    times = (check.interval_s, check.timeout_s, check.start_period_s, check.start_interval_s)
    shown = " ".join(f'"{go_duration(time or 0)}"' for time in times)
    retries = _go_character(check.retries or 0)
    scope.add(instruction, f"HEALTHCHECK &{{{_quoted(check.test)} {shown} {retries}}}")


def _health(scope: Scope, instruction: Instruction) -> Healthcheck:
    kind = instruction.words[0].upper()
    if kind == "NONE":
        return Healthcheck(test=("NONE",))
    command = instruction.words[1:]
    test = ("CMD", *command) if instruction.is_json else ("CMD-SHELL", command[0])
    flags = flags_of(scope.whole.plan.file, instruction)
    times: dict[str, float | None] = {}
    for name in ("interval", "timeout", "start-period", "start-interval"):
        text = flags.get(name)
        seconds = None if text is None else parse_go_duration(text)
        if text is not None and (seconds is None or seconds < 0 or 0 < seconds < 0.001):
            raise scope.fail(
                instruction,
                f"--{name}={text} is no duration of at least 1ms",
                word=f"--{name}",
                hint="for example 1m30s",
            )
        times[name] = seconds or None
    retries = flags.get("retries")
    if retries is not None and not retries.lstrip("+").isdecimal():
        raise scope.fail(instruction, f"--retries={retries} is no number", word="--retries")
    return Healthcheck(
        test=test,
        interval_s=times["interval"],
        timeout_s=times["timeout"],
        start_period_s=times["start-period"],
        start_interval_s=times["start-interval"],
        retries=int(retries) or None if retries else None,
    )


def onbuild(scope: Scope, instruction: Instruction) -> None:
    """ONBUILD: for the image that is built upon this one."""
    assert instruction.nested is not None  # noqa: S101 - `checked` has seen to it
    text = instruction.nested.raw
    documents = "".join(f"\n{doc.content}{doc.name}" for doc in instruction.nested.heredocs)
    scope.on_build.append(text + documents)
    scope.add(instruction, "", title=f"ONBUILD {text}")


def split_port(text: str) -> tuple[str, str, str]:
    """Return (address and port of a host, port or range, protocol) of an EXPOSE word; the first is seldom there."""
    ports, _, protocol = text.partition("/")
    host, _, port = ports.rpartition(":")
    return host, port, protocol


def _ports(scope: Scope, instruction: Instruction, text: str) -> list[str]:
    host, ports, protocol = split_port(text)
    protocol = protocol.lower() or "tcp"
    first, last = _range(ports)
    if not 0 < first <= last < 1 << 16 or protocol not in ("tcp", "udp", "sctp"):
        raise scope.fail(
            instruction, f"invalid containerPort: {text}", word=text, hint="for example 80, 8000-8010/udp"
        )
    # Docker takes what would publish a port, too, and leaves the host's part away (`ExposeInvalidFormat` warns).
    hosts = _range(host.rpartition(":")[2]) if host and not host.endswith(":") else (first, last)
    if hosts[0] < 0 or (first != last and hosts[1] - hosts[0] != last - first):
        raise scope.fail(instruction, f"invalid hostPort: {text}", word=text)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _range(text: str) -> tuple[int, int]:
    match = _PORT.fullmatch(text)
    return (int(match["first"]), int(match["last"] or match["first"])) if match else (-1, -1)


def _quoted(words: Sequence[str]) -> str:
    return "[" + " ".join(f'"{_escaped(word)}"' for word in words) + "]"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def _go_character(number: int) -> str:
    """Return how Go's %q shows a small integer, as it does in the history of HEALTHCHECK."""
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 39: "\\'", 92: "\\\\"}
    if number in named:
        return f"'{named[number]}'"
    return f"'{chr(number)}'" if chr(number).isprintable() else f"'\\x{number:02x}'"
