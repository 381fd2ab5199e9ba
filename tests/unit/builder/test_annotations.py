"""`--annotation` and `annotation.KEY` of `--output`: forms, types, platforms, as buildx takes them."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.annotations import Annotations, parse_annotations
from pycompose.engine.builder.output import check_output
from pycompose.engine.errors import BuildError
from pycompose.engine.images.spec import machine

OURS = str(machine())


@pytest.mark.parametrize(
    ("text", "manifest", "descriptor"),
    (
        ("a=b", {"a": "b"}, {}),
        ("a=b=c:d", {"a": "b=c:d"}, {}),
        ("a=", {"a": ""}, {}),
        ("manifest:org.x=y", {"org.x": "y"}, {}),
        ("manifest-descriptor:a=b", {}, {"a": "b"}),
        ("manifest,manifest-descriptor:a=b", {"a": "b"}, {"a": "b"}),
        (f"manifest[{OURS}]:a=b", {"a": "b"}, {}),
        ("manifest[linux/s390x]:a=b", {}, {}),
    ),
)
def test_types(text: str, manifest: dict[str, str], descriptor: dict[str, str]) -> None:
    """Of the manifest unless they say otherwise; those of another platform are none of ours."""
    assert parse_annotations([text]) == Annotations(manifest=manifest, descriptor=descriptor)


def test_attributes_of_an_output() -> None:
    """They have a type, a platform and a key, too."""
    output = check_output(
        f"type=oci,dest=x,annotation.a=1,annotation-manifest-descriptor.b.c=2,annotation[{OURS}].d=3"
    )
    assert parse_annotations(["e=4"], output.annotations) == Annotations(
        manifest={"a": "1", "d": "3", "e": "4"}, descriptor={"b.c": "2"}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("a", "invalid annotation 'a', expected key=value"),
        ("maifest:a=b", "unknown annotation type 'maifest'"),
        ("index:a=b", "index annotations not supported for single platform export"),
        ("index-descriptor:a=b", "index annotations not supported for single platform export"),
        ("manifest[:a=b", "invalid annotation type 'manifest[', expected type and optional platform"),
    ),
)
def test_what_cannot_be_meant(text: str, message: str) -> None:
    """Errors in buildx's words."""
    with pytest.raises(BuildError) as failed:
        parse_annotations([text])
    assert message in failed.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("type=tar,dest=x,annotation.a=b", "annotation.a has no meaning with type=tar"),
        ("type=tar,dest=x,tar=false", "tar has no meaning with type=tar"),
        ("type=oci,tar=false", "a destination is missing"),
        ("type=oci,dest=x,tar=maybe", "tar=maybe: it is true or false"),
    ),
)
def test_outputs_that_cannot_be_meant(text: str, message: str) -> None:
    """Keys that the type doesn't have, a folder without a place."""
    with pytest.raises(BuildError, match=message):
        check_output(text)
