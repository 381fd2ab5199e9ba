"""`--call outline` and `--call targets`: what is listed of a Dockerfile, and the texts and JSON that are printed."""

from __future__ import annotations

import base64

import pytest
from pycompose.cli.image_calls import Call, outline_text, parse_call, targets_text
from pycompose.engine.builder.outline import outline, targets, targets_json
from pycompose.engine.builder.request import BuildRequest
from pycompose.engine.builder.steps import BaseImage
from pycompose.engine.errors import BuildError, DockerfileError, NoSuchImage

FILE = """\
# VERSION of the base
ARG VERSION=1.$MINOR
ARG MINOR=2
ARG UNUSED=3
# base makes things
FROM image:$VERSION AS base
# MODE says how fast
ARG MODE=fast
ARG VERSION
ARG TARGETARCH
RUN --mount=type=secret,id=tok,required=true --mount=type=cache,target=/c make
RUN --mount=type=ssh fetch

# another comment
FROM scratch AS unused
ARG NOBODY

FROM base
# LATE: no description
ARG LATE
RUN --mount=type=ssh,id=other,required=true x
"""


def local(name: str, platform: str) -> BaseImage:
    """Have no image."""
    raise NoSuchImage(f"{name} {platform}")


def request(**fields: object) -> BuildRequest:
    """Return a request for FILE."""
    return BuildRequest(dockerfile=FILE, **fields)  # type: ignore[arg-type]


def test_an_outline_has_what_the_target_needs() -> None:
    """ARGs of the stages that are built, global ones that they use, secrets, agents: in order, with descriptions."""
    found = outline(request(arguments={"MODE": "slow"}), local)

    shown = [(item.name, item.value, item.description) for item in found.arguments]
    assert shown == [
        ("VERSION", "1.", "of the base"),
        ("MINOR", "2", ""),
        ("MODE", "slow", "says how fast"),
        ("LATE", "", ""),
    ]
    assert [(item.name, item.required) for item in found.secrets] == [("tok", True)]
    assert [(item.name, item.required) for item in found.ssh] == [("default", False), ("other", True)]
    assert outline_text(found) == (
        "BUILD ARG   VALUE   DESCRIPTION\n"
        "VERSION     1.      of the base\n"
        "MINOR       2       \n"
        "MODE        slow    says how fast\n"
        "LATE                \n"
        "\n"
        "SECRET   REQUIRED\n"
        "tok      true\n"
        "\n"
        "SSH       REQUIRED\n"
        "default   \n"
        "other     true\n"
        "\n"
    )


def test_an_outline_of_a_named_target() -> None:
    """Its name and description stand first; the JSON is BuildKit's."""
    found = outline(request(target="base"), local)

    assert outline_text(found).startswith("TARGET:        base\nDESCRIPTION:   makes things\n\nBUILD ARG")
    value = found.to_json()
    assert (value["name"], value["description"]) == ("base", "makes things")
    assert value["args"][0] == {
        "name": "VERSION",
        "description": "of the base",
        "value": "1.",
        "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]},
    }
    assert value["secrets"][0]["required"] is True
    assert base64.b64decode(value["sources"][0]).decode() == FILE


def test_an_outline_without_its_stage() -> None:
    """A target that isn't there is an error, as in a build."""
    with pytest.raises(DockerfileError, match="target stage 'nosuch' could not be found"):
        outline(request(target="nosuch"), local)


def test_targets_are_all_stages() -> None:
    """With their descriptions; the last one is what is built by default."""
    found = targets(request())

    assert targets_text(found) == (
        "TARGET      DESCRIPTION\nbase        makes things\nunused      \n(default)   \n"
    )
    listed = targets_json(request(), found)["targets"]
    assert [(item.get("name"), item.get("default"), item["base"]) for item in listed] == [
        ("base", None, "image:$VERSION"),
        ("unused", None, "scratch"),
        (None, True, "base"),
    ]


@pytest.mark.parametrize(
    ("text", "call"),
    (
        ("build", Call()),
        ("check", Call("check")),
        ("lint", Call("check")),
        ("outline,format=json", Call("outline", as_json=True)),
        ("format=text,targets", Call("targets")),
        ("check,ignorestatus=1", Call("check", ignores_status=True)),
    ),
)
def test_methods(text: str, call: Call) -> None:
    """The method, and what is said about its answer."""
    assert parse_call(text) == call


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    (
        ("outlin", "unknown method 'outlin'", "did you mean 'outline'?"),
        ("format=json", "unknown method ''", "known: build, check, outline, targets"),
        ("check,outline", "more than one method", None),
        ("check,format=xml", "invalid field format=xml", "format=json, ignorestatus=true"),
        ("check,ignorestatus=maybe", "invalid field ignorestatus=maybe", "format=json, ignorestatus=true"),
    ),
)
def test_methods_that_cannot_be_meant(text: str, message: str, hint: str | None) -> None:
    """They are errors."""
    with pytest.raises(BuildError) as failed:
        parse_call(text)
    assert failed.value.message == f"--call {text}: {message}"
    assert failed.value.hint == hint
