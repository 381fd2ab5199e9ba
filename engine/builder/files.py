"""Instructions that change files: RUN, COPY, ADD. What they do is described here and done elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pycompose.engine.builder.dockerfile import Heredoc, Instruction
from pycompose.engine.builder.instructions import flags_of, suggestion
from pycompose.engine.builder.mountflags import BIND, CACHE, MountFlagError, StepMount, parse_mount
from pycompose.engine.builder.platforms import PROXIES
from pycompose.engine.builder.remotes import git_source, is_remote, is_url
from pycompose.engine.builder.scope import DEFAULT_SHELL, Scope
from pycompose.engine.builder.steps import Copy, Run
from pycompose.engine.builder.words import WordError, expand_document
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import DockerfileError
from pycompose.engine.linux.fs import clean

_VARIABLE_ORIGIN = re.compile(r"(?:^|,)from=[^,]*\$")


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
    declared = [f"{name}={scope.values.get(name, '')}" for name in scope.declared]
    prefix = f"|{len(declared)} {' '.join(declared)} " if declared else ""
    scope.add(
        instruction,
        f"RUN {prefix}{' '.join(args)} # buildkit",
        Run(
            args=args,
            env=env,
            user=scope.config.user,
            cwd=clean(scope.config.working_dir),
            mounts=mounts,
            network=network,
            insecure=security == "insecure",
            heredocs=script,
            arguments=frozenset(scope.set_args()),
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
    env = {**scope.env, **scope.set_args()}
    given = scope.whole.inputs.arguments
    for name in PROXIES:
        # Either spelling gives both, for half of the programs read only one.
        value = given.get(name.upper()) or given.get(name.lower())
        if value:
            env.setdefault(name, value)
    return tuple(f"{name}={value}" for name, value in env.items())


def _mounts(
    scope: Scope, instruction: Instruction, texts: Sequence[str]
) -> tuple[tuple[StepMount, ...], list[int]]:
    mounts: list[StepMount] = []
    needs: list[int] = []
    for text in texts:
        if _VARIABLE_ORIGIN.search(text):
            raise _not_constant(scope, instruction, "--mount")
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
        if "$" in wanted:
            raise _not_constant(scope, instruction, "--from")
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
    checksum = scope.expand(instruction, flags.get("checksum") or "")
    _check_remote(scope, instruction, plain, checksum)
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
        checksum=checksum,
        keep_git_dir="keep-git-dir" in flags.on,
        unpack="unpack" in flags.on if "unpack" in flags.on | flags.off else None,
        heredocs=heredocs,
    )
    # Flags that say where from, and how, are not part of the history; here-documents come last (dockerfile2llb).
    told = [
        f"--{name}={value}" for name, value in (("chown", action.chown), ("chmod", action.chmod)) if value
    ]
    shown = " ".join([*told, *plain, *(f"<<{doc.name}" for doc in heredocs), target])
    title = " ".join([instruction.keyword, *instruction.flags, *words])
    scope.add(instruction, f"{instruction.keyword} {shown} # buildkit", action, needs, title=title)


def _not_constant(scope: Scope, instruction: Instruction, word: str) -> DockerfileError:
    """Return why the stage or image to read from can't be named by a variable: BuildKit has it so."""
    return scope.fail(
        instruction,
        "variable expansion is not supported for --from",
        word=word,
        hint="name it in a stage of its own: FROM $NAME AS stage, with ARG NAME before the first FROM",
    )


def _check_remote(scope: Scope, instruction: Instruction, sources: Sequence[str], checksum: str) -> None:
    """Refuse what can't be fetched as it is asked for; texts as BuildKit's."""
    for source in sources:
        if (
            instruction.keyword == "COPY"
            and "--from=" not in " ".join(instruction.flags)
            and is_remote(source)
        ):
            raise scope.fail(
                instruction,
                "source can't be a URL for COPY",
                word=source,
                hint="ADD takes URLs and repositories",
            )
    if not checksum:
        return
    if len(sources) != 1:
        raise scope.fail(instruction, "checksum can't be specified for multiple sources", word="--checksum")
    if git_source(sources[0]) is not None:
        good = re.fullmatch(r"[0-9a-f]{7,64}", checksum) is not None
    elif is_url(sources[0]):
        good = re.fullmatch(r"sha256:[0-9a-f]{64}", checksum) is not None
    else:
        raise scope.fail(instruction, "checksum requires HTTP(S) or Git sources", word="--checksum")
    if not good:
        raise scope.fail(
            instruction,
            f"invalid checksum digest format: {checksum}",
            word="--checksum",
            hint="sha256: and 64 hexadecimal digits of a file, or a commit of a repository",
        )


def _document(scope: Scope, instruction: Instruction, doc: Heredoc) -> str:
    try:
        return expand_document(doc.text, scope.values, scope.whole.plan.file.escape)
    except WordError as exc:
        raise scope.fail(instruction, f"failed to process the here-document {doc.name}: {exc}") from exc


def _target(scope: Scope, target: str) -> str:
    """Return where files go, lexically clean, as in BuildKit; a slash at its end says that it is a directory."""
    path = clean(target if target.startswith("/") else f"{scope.config.working_dir}/{target}")
    is_directory = target == "." or target.endswith(("/", "/."))
    return f"{path}/" if is_directory and path != "/" else path


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
