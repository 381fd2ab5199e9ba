"""References: what distribution/reference accepts, what it means, and our own forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import InvalidReference
from pycompose.engine.images.reference import ReferenceKind, parse

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "key", "familiar"),
    (
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        (
            "registry.example:5000/a/b/c:v1",
            "registry.example:5000/a/b/c:v1",
            "registry.example:5000/a/b/c:v1",
        ),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("app__x/y-z--q.r", "docker.io/app__x/y-z--q.r:latest", "app__x/y-z--q.r:latest"),
        (f"app@sha256:{HEX}", f"docker.io/library/app@sha256:{HEX}", f"app@sha256:{HEX}"),
        (f"app:1@sha256:{HEX}", f"docker.io/library/app:1@sha256:{HEX}", f"app:1@sha256:{HEX}"),
    ),
)
def test_registry_references(text: str, key: str, familiar: str) -> None:
    """The canonical key has all defaults, the familiar text has none."""
    reference = parse(text)

    assert (reference.kind, reference.key, reference.familiar) == (ReferenceKind.REGISTRY, key, familiar)


@pytest.mark.parametrize(
    ("text", "reason"),
    (
        ("", "is not an image name"),
        ("Busybox", "is not an image name"),
        ("a//b", "is not an image name"),
        ("-a", "is not an image name"),
        ("a:", "is not a tag"),
        ("a:.x", "is not a tag"),
        ("a:" + "t" * 129, "is not a tag"),
        ("a@sha256:short", "is not a digest"),
        ("a@md5:" + HEX, "is not a digest"),
        ("bad_host.example/x", "host name"),
        (HEX, "image id"),
        ("oci:", "names no path"),
        ("registry.example/" + "a" * 240, "longer than 255"),
        ("a b", "is not an image name"),
        ("a\n", "is not an image name"),
    ),
)
def test_malformed_references_say_why(text: str, reason: str) -> None:
    """Each kind of mistake has its own words."""
    with pytest.raises(InvalidReference, match=reason):
        parse(text)


def test_upper_case_gets_a_suggestion() -> None:
    """The commonest mistake comes with its cure."""
    with pytest.raises(InvalidReference) as caught:
        parse("MyApp:1")

    assert caught.value.hint == "write it in lower case: myapp"


@pytest.mark.parametrize(
    ("text", "kind", "location", "inner"),
    (
        ("host", ReferenceKind.HOST, "", ""),
        ("rootfs:./tree", ReferenceKind.ROOTFS, "/base/tree", ""),
        ("rootfs:/abs", ReferenceKind.ROOTFS, "/abs", ""),
        ("oci:layout:v1", ReferenceKind.OCI, "/base/layout", "v1"),
        ("docker-archive:a.tar:docker.io/x:1", ReferenceKind.DOCKER_ARCHIVE, "/base/a.tar", "docker.io/x:1"),
    ),
)
def test_file_references_are_anchored(text: str, kind: ReferenceKind, location: str, inner: str) -> None:
    """Relative places start at the project directory."""
    reference = parse(text).anchored(Path("/base"))

    assert (reference.kind, reference.location, reference.inner) == (kind, location, inner)


def test_host_with_a_tag_is_a_registry_image() -> None:
    """Only the bare word is reserved."""
    assert parse("host:latest").kind is ReferenceKind.REGISTRY


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing but InvalidReference comes out, and a key parses to itself."""
    try:
        reference = parse(text)
    except InvalidReference:
        return

    assert parse(reference.key).key == reference.key
