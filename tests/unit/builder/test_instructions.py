"""What an instruction takes: flags, numbers of words, stages; and the errors of those that can't be meant."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.dockerfile import parse
from pycompose.engine.builder.instructions import CheckedDockerfile, checked
from pycompose.engine.builder.mountflags import MountFlagError, StepMount, parse_mount
from pycompose.engine.errors import DockerfileError


def plan(text: str) -> CheckedDockerfile:
    """Return the checked stages of `text`."""
    return checked(parse(text))


def test_stages() -> None:
    """By name in any case, by number; global ARGs apart."""
    made = plan("ARG V=1\nFROM a:$V AS Base\nRUN x\nFROM base\nCOPY --from=0 a b\n")

    assert [stage.name for stage in made.stages] == ["base", ""]
    assert [item.words for item in made.arguments] == [("V=1",)]
    assert made.stage("BASE") is made.stages[0]
    assert made.stage("1") is made.stages[1]
    assert made.stage("2") is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    (
        ("FORM a\n", "Dockerfile:1:1: unknown instruction: FORM", "did you mean 'FROM'?"),
        ("FROM a\nCOPY --chwon=1 a b\n", "Dockerfile:2:6: unknown flag: --chwon", "did you mean 'chown'?"),
        ("FROM a\nCOPY a\n", "Dockerfile:2: COPY requires at least 2 arguments", None),
        ("FROM a b\n", "Dockerfile:1: FROM requires either one or three arguments", "FROM image AS name"),
        ("RUN x\n", "Dockerfile:1: no build stage in current context: RUN before FROM", None),
        ("ARG x\n", "Dockerfile: no build stage: the file has no FROM", None),
        ("", "Dockerfile: the file has no instructions", None),
        ("FROM a AS 1x\n", "Dockerfile:1:11: invalid name for build stage: '1x'", None),
        (
            "FROM a\nONBUILD ONBUILD RUN x\n",
            "Dockerfile:2:1: ONBUILD isn't allowed as an ONBUILD trigger",
            None,
        ),
        ("FROM a\nSHELL bash\n", "Dockerfile:2: SHELL requires the arguments to be in JSON form", None),
        (
            "FROM a\nHEALTHCHECK CDM x\n",
            "Dockerfile:2:13: unknown type 'CDM' in HEALTHCHECK",
            "did you mean 'CMD'?",
        ),
        ("FROM a\nCOPY --link=maybe a b\n", "expecting boolean value for flag --link, not: maybe", None),
        ("FROM a\nRUN --mount\n", "Dockerfile:2:5: missing a value on flag: --mount", None),
        ("FROM a\nCOPY --chown=1 --chown=2 a b\n", "duplicate flag specified: --chown", None),
    ),
)
def test_errors(text: str, message: str, hint: str | None) -> None:
    """Place, reason, and what was meant."""
    with pytest.raises(DockerfileError) as caught:
        plan(text)
    assert message in str(caught.value)
    if hint:
        assert caught.value.hint == hint


def test_mounts() -> None:
    """Every kind, every spelling of a key."""
    assert parse_mount("type=cache,target=/c,sharing=locked,mode=0700,uid=5") == StepMount(
        kind="cache", target="/c", sharing="locked", mode=0o700, uid=5, read_only=False
    )
    assert parse_mount("src=a,dst=/b,rw").read_only is False
    assert parse_mount('type=bind,"source=a,b",target=/x').source == "a,b"
    assert parse_mount("type=tmpfs,target=/t,size=1.5m").size_bytes == 1536 * 1024
    assert parse_mount("type=secret,id=k,required").required


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("type=bnid,target=/x", "unsupported mount type"),
        ("type=bind,target=/x,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("target=/", "can't have / as its target"),
        ("type=cache", "needs a target"),
        ("type=cache,target=/x,sharing=some", "unsupported sharing value"),
        ("type=secret", "needs an id or a target"),
        ("type=cache,target=/x,mode=9", "it is octal"),
        ("type=tmpfs,target=/x,size=lots", "invalid value for size"),
        ("nonsense", "unexpected key"),
        ("target", "it must be key=value"),
    ),
)
def test_mounts_that_cannot_be_meant(text: str, message: str) -> None:
    """The reason, before anything runs."""
    with pytest.raises(MountFlagError, match=message):
        parse_mount(text)
