"""Instructions that change files: RUN, COPY, ADD. What they do is described here and done elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pycompose.engine.builder.dockerfile import Heredoc, Instruction
from pycompose.engine.builder.instructions import flags_of, suggestion
from pycompose.engine.builder.mountflags import BIND, CACHE, MountFlagError, StepMount, parse_mount
from pycompose.engine.builder.platforms import PROXIES
from pycompose.engine.builder.scope import DEFAULT_SHELL, Scope
from pycompose.engine.builder.steps import Copy, Run
from pycompose.engine.builder.words import WordError, expand_document
from pycompose.engine.dataclass import replace


def run(scope: Scope, instruction: Instruction) -> None:
    """RUN: a process; shell form through SHELL, here-documents as a script."""
    flags = flags_of(scope.whole.plan.file, instruction)
    mounts, needs = _mounts(scope, instruction, flags.several.get("mount", ()))
    network = flags.get("network") or "default"
    if network not in ("default", "none", "host"):
        raise scope.fail(
            instruction,
            f"invalid network mode {network!r}",
            word="--network",
            hint=suggestion(network, ["default", "none", "host"]) or "default, none or host",
        )
    if network == "host" and not scope.whole.inputs.allow_host_network:
        raise scope.fail(
            instruction,
            "network.host is not allowed",
            word="--network",
            hint="it needs the entitlement network.host",
        )
    security = flags.get("security") or "sandbox"
    if security not in ("sandbox", "insecure"):
        raise scope.fail(instruction, f"security {security!r} is not valid", word="--security")
    if security == "insecure" and not scope.whole.inputs.allow_insecure:
        raise scope.fail(
            instruction,
            "security.insecure is not allowed",
            word="--security",
            hint="it needs the entitlement security.insecure",
        )
    if flags.several.get("device"):
        raise scope.fail(instruction, "--device is not possible: builds get no devices", word="--device")
    args, script = _run_words(scope, instruction)
    env = _run_env(scope)
    declared = [f"{name}={scope.values.get(name, '')}" for name in scope.args]
    prefix = f"|{len(declared)} {' '.join(declared)} " if declared else ""
    scope.add(
        instruction,
        f"RUN {prefix}{' '.join(args)} # buildkit",
        Run(
            args=args,
            env=env,
            user=scope.config.user,
            cwd=scope.config.working_dir or "/",
            mounts=mounts,
            network=network,
            insecure=security == "insecure",
            heredocs=script,
        ),
        needs,
        title=f"RUN {_flag_text(instruction)}{_first_line(instruction)}",
    )


def _run_words(scope: Scope, instruction: Instruction) -> tuple[tuple[str, ...], tuple[Heredoc, ...]]:
    if instruction.is_json:
        return instruction.words, ()
    shell = scope.config.shell or DEFAULT_SHELL
    text = instruction.words[0] if instruction.words else ""
    documents = instruction.heredocs
    if not documents:
        return (*shell, text), ()
    # Here-documents alone are the script itself, with an interpreter of its own if it names one.
    if len(documents) == 1 and re.fullmatch(r"<<-?\s*([\"']?)[^\s\"']+\1", text):
        body = documents[0].text
        if body.startswith("#!"):
            return (*shell, f"/dev/pipes/{documents[0].name}"), documents
        return (*shell, body), ()
    whole = text + "".join(f"\n{doc.content}{doc.name}" for doc in documents)
    return (*shell, whole), ()


def _run_env(scope: Scope) -> tuple[str, ...]:
    env = dict(scope.env)
    for name, value in scope.args.items():
        if value is not None:
            env[name] = scope.values.get(name, value)
    for name in PROXIES:
        if name in scope.whole.inputs.arguments:
            env.setdefault(name, scope.whole.inputs.arguments[name])
    return tuple(f"{name}={value}" for name, value in env.items())


def _mounts(
    scope: Scope, instruction: Instruction, texts: Sequence[str]
) -> tuple[tuple[StepMount, ...], list[int]]:
    mounts: list[StepMount] = []
    needs: list[int] = []
    for text in texts:
        try:
            mount = parse_mount(scope.expand(instruction, text))
        except MountFlagError as exc:
            raise scope.fail(instruction, f"--mount={text}: {exc}", word="--mount", hint=exc.hint) from exc
        if mount.kind in (BIND, CACHE) and mount.origin:
            name, number = scope.whole.origin(mount.origin, scope.stage, instruction)
            if number is not None:
                scope.whole.stage(scope.whole.plan.stages[number])
                needs.append(number)
                name = str(number)
            mount = replace(mount, origin=name)
        mounts.append(mount)
    return tuple(mounts), needs


def copy(scope: Scope, instruction: Instruction) -> None:
    """COPY and ADD."""
    flags = flags_of(scope.whole.plan.file, instruction)
    is_add = instruction.keyword == "ADD"
    words = [scope.expand(instruction, word) for word in instruction.words]
    documents = {f"<<{doc.name}": doc for doc in instruction.heredocs}
    *sources, target = words
    origin, number = "", None
    needs: list[int] = []
    wanted = flags.get("from")
    if wanted is not None:
        wanted = scope.expand(instruction, wanted)
        origin, number = scope.whole.origin(wanted, scope.stage, instruction)
        if number is not None:
            scope.whole.stage(scope.whole.plan.stages[number])
            needs.append(number)
    plain = [
        word for word, raw in zip(sources, instruction.words, strict=False) if not _opens(raw, documents)
    ]
    heredocs = tuple(
        doc if not doc.expands else replace(doc, content=_document(scope, instruction, doc), chomp=False)
        for doc in instruction.heredocs
    )
    if not plain and not heredocs:
        raise scope.fail(instruction, f"{instruction.keyword} requires at least 2 arguments")
    action = Copy(
        sources=tuple(plain),
        target=_target(scope, target),
        origin=origin,
        origin_stage=number,
        is_add=is_add,
        chown=scope.expand(instruction, flags.get("chown") or ""),
        chmod=scope.expand(instruction, flags.get("chmod") or ""),
        exclude=tuple(scope.expand(instruction, word) for word in flags.several.get("exclude", ())),
        link="link" in flags.on,
        parents="parents" in flags.on,
        checksum=scope.expand(instruction, flags.get("checksum") or ""),
        keep_git_dir="keep-git-dir" in flags.on,
        unpack="unpack" in flags.on if "unpack" in flags.on | flags.off else None,
        heredocs=heredocs,
    )
    # Flags that say where from, and how, are not part of the history.
    told = [flag for flag in instruction.flags if flag.partition("=")[0] in ("--chown", "--chmod")]
    shown = " ".join([*told, *words])
    scope.add(instruction, f"{instruction.keyword} {shown} # buildkit", action, needs)


def _document(scope: Scope, instruction: Instruction, doc: Heredoc) -> str:
    try:
        return expand_document(doc.text, scope.values, scope.whole.plan.file.escape)
    except WordError as exc:
        raise scope.fail(instruction, f"failed to process the here-document {doc.name}: {exc}") from exc


def _target(scope: Scope, target: str) -> str:
    if target.startswith("/"):
        return target
    base = (scope.config.working_dir or "/").rstrip("/")
    return f"{base}/{target}"


def _opens(raw: str, documents: Mapping[str, Heredoc]) -> bool:
    match = re.match(r"\d*<<-?(.*)", raw)
    return match is not None and f"<<{match[1].strip(chr(34) + chr(39))}" in documents


def _flag_text(instruction: Instruction) -> str:
    return "".join(f"{flag} " for flag in instruction.flags)


def _first_line(instruction: Instruction) -> str:
    if instruction.is_json:
        return "[" + ", ".join(instruction.words) + "]"
    text = instruction.words[0] if instruction.words else ""
    if instruction.heredocs:
        first = instruction.heredocs[0].text.partition("\n")[0]
        return f"{text} ({first}...)"
    return text
