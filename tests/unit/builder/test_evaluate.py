"""Stages worked out: scopes, configuration, history. The expected texts are those of BuildKit for the same file."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.dockerfile import parse
from pycompose.engine.builder.evaluate import evaluate
from pycompose.engine.builder.instructions import checked
from pycompose.engine.builder.steps import BaseImage, Copy, Evaluated, Inputs, Run
from pycompose.engine.errors import DockerfileError
from pycompose.engine.images.spec import ImageConfig

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE = BaseImage(config=ImageConfig(env=(PATH,), cmd=("sh",)))


def evaluated(text: str, target: str = "", base: BaseImage = BASE, **arguments: str) -> Evaluated:
    """Evaluate `text` on a base with a PATH and a CMD."""
    plan = checked(parse(text))
    return evaluate(plan, target, Inputs(arguments=arguments), lambda *_: base)


def history(text: str, **arguments: str) -> list[str]:
    """Return the history of the last stage."""
    plan = checked(parse(text))
    done = evaluate(plan, "", Inputs(arguments=arguments), lambda *_: BASE)
    return [step.history for step in done.stages[done.target].steps if step.history]


def test_scopes_of_arguments() -> None:
    """The later of ENV and ARG wins; a bare ARG takes the global value; what nobody gave is empty, not set."""
    text = (
        "ARG GV=gdef\nARG GW=${GV}w\nARG GX\nFROM a\nENV V=env\nARG V=arg\nLABEL one=$V\nARG W=arg\nENV W=env\n"
        "LABEL two=$W\nARG BA\nARG GV\nARG GW\nARG GX\nARG NOPE\nLABEL three=$BA-$GV-$GW-$GX-${NOPE-unset}\nRUN true\n"
    )
    lines = history(text, BA="ba", GV="given")

    assert lines[2] == "LABEL one=arg"
    assert lines[5] == "LABEL two=env"
    assert lines[11] == "LABEL three=ba-given-givenw--unset"
    assert lines[12] == ("RUN |7 V=arg W=env BA=ba GV=given GW=givenw GX= NOPE= /bin/sh -c true # buildkit")


def test_a_process_sees_values_that_are_set() -> None:
    """ENV, ARGs with a value, and proxies without a declaration."""
    done = evaluated("FROM a\nARG A=1\nARG B\nENV C=3\nRUN x\n", HTTP_PROXY="p", Z="unused")
    (run,) = [step.action for step in done.stages[0].steps if isinstance(step.action, Run)]

    assert run.env == (PATH, "C=3", "A=1", "HTTP_PROXY=p", "http_proxy=p")
    assert done.unused_arguments == ("Z",)


def test_one_instruction_sees_the_values_from_before_it() -> None:
    """Dockerfile reference: `ENV abc=bye def=$abc`."""
    assert history("FROM a\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")[1:] == [
        "ENV abc=bye def=hello",
        "ENV ghi=bye",
    ]


def test_metadata() -> None:
    """Texts of the history, down to Go's way of printing a structure."""
    text = (
        'FROM a\nWORKDIR app\nWORKDIR /z/../y\nEXPOSE 80-82 9/UDP\nVOLUME q ["x"]\nCMD echo $V\nENTRYPOINT ["x"]\n'
        'HEALTHCHECK --interval=1m30s --timeout=2s --retries=3 --start-period=1s --start-interval=2s CMD ["a", "$V"]\n'
        'HEALTHCHECK NONE\nENV X=\'c $V\'\nLABEL l="multi\\\nline" \'q r\'=s\nCMD []\nSHELL ["/bin/sh", "-c"]\n'
        "USER bob\n"
    )
    assert history(text) == [
        "WORKDIR /app",
        "WORKDIR /z/../y",
        "EXPOSE map[80/tcp:{} 81/tcp:{} 82/tcp:{} 9/udp:{}]",
        "VOLUME [q [x]]",
        'CMD ["/bin/sh" "-c" "echo $V"]',
        'ENTRYPOINT ["x"]',
        'HEALTHCHECK &{["CMD" "a" "$V"] "1m30s" "2s" "1s" "2s" \'\\x03\'}',
        'HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}',
        "ENV X=c $V",
        "LABEL l=multiline q r=s",
        "CMD []",
        "SHELL [/bin/sh -c]",
        "USER bob",
    ]


def test_an_entrypoint_takes_an_inherited_command_away() -> None:
    """But not one that the stage itself has set."""
    inherited = evaluated('FROM a\nENTRYPOINT ["b"]\n').stages[0].config
    own = evaluated('FROM a\nCMD ["c"]\nENTRYPOINT ["b"]\n').stages[0].config

    assert (inherited.cmd, own.cmd) == ((), ("c",))


def test_triggers() -> None:
    """ONBUILD runs in the next stage, before its own instructions, and leaves no trace in its own."""
    text = "FROM scratch AS s\nONBUILD COPY f /ob\nONBUILD ENV ob=1\nENV PRE=1\nFROM s\nENV x=$PRE$ob\n"
    done = evaluated(text)

    assert [step.history for step in done.stages[1].steps] == [
        "COPY f /ob # buildkit",
        "ENV ob=1",
        "ENV x=11",
    ]
    assert done.stages[0].on_build == ("COPY f /ob", "ENV ob=1")
    assert [step.history for step in done.stages[0].steps if step.history] == ["ENV PRE=1"]


def test_only_what_the_target_reaches() -> None:
    """A stage that nobody asks for isn't worked out."""
    text = "FROM a AS one\nFROM a AS two\nRUN x\nFROM a AS three\nCOPY --from=one /x /y\n"

    assert set(evaluated(text).stages) == {0, 2}
    assert set(evaluated(text, "TWO").stages) == {1}


def test_where_copies_come_from() -> None:
    """A stage by name or number, else an image."""
    text = "FROM a AS one\nFROM a\nCOPY --from=0 /x /y\nCOPY --from=ONE /x /y\nCOPY --from=busybox /x /y\n"
    done = evaluated(text)
    copies = [step.action for step in done.stages[1].steps if isinstance(step.action, Copy)]

    assert [(copy.origin, copy.origin_stage) for copy in copies] == [("0", 0), ("ONE", 0), ("busybox", None)]


def test_here_documents() -> None:
    """A script of its own, an interpreter of its own, files; expanded unless the delimiter is quoted."""
    text = (
        "FROM a\nENV V=v\nRUN <<EOF\necho $V\nEOF\nRUN <<EOF\n#!/bin/x\nEOF\nRUN cat <<EOF\nz\nEOF\n"
        "COPY <<A <<'B' /d/\nis $V\nA\nis $V\nB\n"
    )
    done = evaluated(text)
    runs = [step.action for step in done.stages[0].steps if isinstance(step.action, Run)]
    (copy,) = [step.action for step in done.stages[0].steps if isinstance(step.action, Copy)]

    assert runs[0].args == ("/bin/sh", "-c", "echo $V\n")
    assert runs[1].args == ("/bin/sh", "-c", "/dev/pipes/EOF")
    assert runs[2].args == ("/bin/sh", "-c", "cat <<EOF\nz\nEOF")
    assert [doc.content for doc in copy.heredocs] == ["is v\n", "is $V\n"]


@pytest.mark.parametrize(
    ("text", "message"),
    (
        (
            "FROM a AS b\nCOPY --from=later x y\nFROM a AS later\nCOPY --from=b x y\n",
            "2:13: stage 'later' comes later",
        ),
        ("FROM a AS self\nCOPY --from=self x y\n", "circular dependency detected on stage: self"),
        ("FROM $nothing\n", "should not be blank"),
        ("FROM a\nEXPOSE many\n", "2:8: invalid containerPort: many"),
        ("FROM a\nRUN --network=hots x\n", "invalid network mode 'hots'"),
        ("FROM a\nRUN --mount=type=cash,target=/x y\n", "unsupported mount type 'cash'"),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x\n", "no duration of at least 1ms"),
        ("FROM a\nENV a=${b\n", "failed to process '${b'"),
        ("FROM a\nRUN --security=insecure x\n", "security.insecure is not allowed"),
        ("FROM a\nRUN --network=host x\n", "network.host is not allowed"),
    ),
)
def test_errors(text: str, message: str) -> None:
    """With their place."""
    with pytest.raises(DockerfileError) as caught:
        evaluated(text)
    assert message in str(caught.value)


def test_an_unknown_target() -> None:
    """The nearest name is offered."""
    with pytest.raises(DockerfileError) as caught:
        evaluated("FROM a AS build\n", "biuld")
    assert caught.value.hint == "did you mean 'build'?"


def test_a_stage_goes_on_with_the_arguments_of_its_base() -> None:
    """They are seen by words and processes, are in no history, and a bare declaration takes none away."""
    text = (
        "FROM a AS one\nARG X=1\nARG N\nARG B=bb\nENV E=e$X\n"
        "FROM one\nLABEL x=$X n=[$N] b=$B\nRUN first\nARG X\nARG B=new\nRUN second\n"
    )
    done = evaluated(text, B="cli")
    first, second = [step.action for step in done.stages[1].steps if isinstance(step.action, Run)]
    lines = history(text, B="cli")

    assert done.stages[1].config.labels == {"x": "1", "n": "[]", "b": "cli"}
    assert first.env == second.env == (PATH, "E=e1", "X=1", "B=cli")
    assert [line for line in lines if line.startswith("RUN")] == [
        "RUN /bin/sh -c first # buildkit",
        "RUN |2 X=1 B=cli /bin/sh -c second # buildkit",
    ]


def test_arguments_of_a_proxy_in_one_spelling_give_both() -> None:
    """Curl reads http_proxy only; an ENV of the file wins."""
    done = evaluated("FROM a\nENV no_proxy=mine\nRUN x\n", https_proxy="p", NO_PROXY="n")
    (run,) = [step.action for step in done.stages[0].steps if isinstance(step.action, Run)]

    assert run.env == (PATH, "no_proxy=mine", "HTTPS_PROXY=p", "https_proxy=p", "NO_PROXY=n")


def test_signals_to_stop_with() -> None:
    """Names, numbers, real-time ones; another is refused."""
    for name in ("SIGTERM", "term", "9", "RTMIN+3", "SIGRTMAX-14"):
        assert evaluated(f"FROM a\nSTOPSIGNAL {name}\n").stages[0].config.stop_signal == name
    for name in ("SIGFOO", "0", "RTMIN+16"):
        with pytest.raises(DockerfileError, match="invalid signal"):
            evaluated(f"FROM a\nSTOPSIGNAL {name}\n")


def test_no_check_of_health_may_have_times() -> None:
    """They have no meaning, and BuildKit says nothing."""
    check = evaluated("FROM a\nHEALTHCHECK --interval=5s NONE\n").stages[0].config.healthcheck

    assert check is not None
    assert check.test == ("NONE",)
