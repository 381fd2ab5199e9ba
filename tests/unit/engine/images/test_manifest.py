"""Manifests and configurations from strangers: what is taken, what is refused, which platform is chosen."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import DigestMismatch, ImageError
from pycompose.engine.images.manifest import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    chain_ids,
    media_type_of,
    parse_configuration,
    parse_index,
    parse_manifest,
    select,
    verify,
)
from pycompose.engine.images.spec import Platform

D1 = "sha256:" + "1" * 64
D2 = "sha256:" + "2" * 64


def manifest(**changes: Any) -> bytes:
    """Return a good manifest with some keys replaced; None removes one."""
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": D1, "size": 10},
        "layers": [{"mediaType": f"{OCI_LAYER}+gzip", "digest": D2, "size": 20}],
    }
    value.update(changes)
    return json.dumps({key: item for key, item in value.items() if item is not None}).encode()


def test_a_manifest_is_read() -> None:
    """Configuration and layers come out as descriptors."""
    parsed = parse_manifest(manifest(), "x")

    assert (parsed.config.digest, [layer.size for layer in parsed.layers]) == (D1, [20])


@pytest.mark.parametrize(
    ("data", "reason"),
    (
        (b"[]", "JSON object"),
        (b"{", "not JSON"),
        (b'{"a":' * 200_000, "not JSON|limit"),
        (manifest(schemaVersion=1), "schema 1 is not supported"),
        (manifest(manifests=[]), "index and a manifest at once"),
        (manifest(mediaType="text/html"), "is not an image"),
        (manifest(mediaType=OCI_INDEX), "does not fit its media type"),
        (manifest(layers=None), "no list of at most"),
        (
            manifest(layers=[{"mediaType": f"{OCI_LAYER}+gzip", "digest": D2, "size": 1}] * 128),
            "no list of at most 127",
        ),
        (manifest(layers=[{"mediaType": OCI_LAYER, "digest": D2, "size": -1}]), "bad size"),
        (manifest(layers=[{"mediaType": OCI_LAYER, "digest": D2, "size": True}]), "bad size"),
        (
            manifest(layers=[{"mediaType": OCI_LAYER, "digest": "../../etc/passwd", "size": 1}]),
            "is not sha256",
        ),
        (manifest(layers=[{"mediaType": "x/y", "digest": D2, "size": 1}]), "is not supported"),
        (
            manifest(layers=[{"mediaType": OCI_LAYER, "digest": D2, "size": 1, "urls": ["http://x"]}]),
            "foreign URL",
        ),
        (manifest(config={"mediaType": OCI_CONFIG, "digest": D1, "size": 9 << 20}), "limit"),
    ),
)
def test_bad_manifests_are_refused(data: bytes, reason: str) -> None:
    """CVE-2021-41190, CVE-2020-15157: each with its reason, beginning with the image's name."""
    with pytest.raises(ImageError, match=f"^image x: .*({reason})"):
        parse_manifest(data, "image x")


def test_the_content_type_must_agree() -> None:
    """A registry that announces one thing and sends another is not trusted."""
    with pytest.raises(ImageError, match="announced as"):
        media_type_of(manifest(), DOCKER_MANIFEST, "image x")


def test_a_foreign_content_type_leaves_it_to_the_document() -> None:
    """Some registries say application/json."""
    assert media_type_of(manifest(), "application/json; charset=utf-8", "x") == OCI_MANIFEST


def entry(text: str, digest: str = D1) -> Descriptor:
    """Return an index entry for a platform."""
    os_, architecture, *variant = text.split("/")
    platform = Platform(os=os_, architecture=architecture, variant="".join(variant))
    return Descriptor(media_type=OCI_MANIFEST, digest=digest, size=1, platform=platform)


@pytest.mark.parametrize(
    ("wanted", "have", "chosen"),
    (
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm64/v8", ["linux/arm64"], "linux/arm64"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("arm64", ["unknown/unknown", "linux/arm64"], "linux/arm64"),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64"], "linux/amd64"),
    ),
)
def test_the_platform_is_chosen(wanted: str, have: list[str], chosen: str) -> None:
    """Exact first, then what the processor also runs."""
    found = select(tuple(entry(text) for text in have), Platform.parse(wanted), "x")

    assert str(found.platform) == chosen


def test_a_missing_platform_lists_what_there_is() -> None:
    """The hint says which ones can be chosen, without attestations."""
    with pytest.raises(ImageError, match="no image for platform linux/s390x") as caught:
        select((entry("linux/amd64"), entry("unknown/unknown")), Platform.parse("linux/s390x"), "x")

    assert caught.value.hint == "it has linux/amd64; choose one with `platform:`"


@pytest.mark.parametrize("text", ("", "linux/", "a/b/c/d", "linux/am d64", "../x"))
def test_bad_platforms_are_refused(text: str) -> None:
    """A platform has one to three words."""
    with pytest.raises(ImageError, match="platform"):
        Platform.parse(text)


def test_chain_ids_follow_the_specification() -> None:
    """The first is the diff id itself, each next hashes the pair."""
    expected = "sha256:" + hashlib.sha256(f"{D1} {D2}".encode()).hexdigest()

    assert chain_ids((D1, D2)) == (D1, expected)


def test_wrong_content_is_told() -> None:
    """Both digests are in the message."""
    with pytest.raises(DigestMismatch, match=f"expected {D1}, found sha256:2cf24"):
        verify(b"hello", D1, "blob")


@pytest.mark.parametrize(
    ("value", "reason"),
    (
        ({}, "no rootfs.diff_ids"),
        ({"rootfs": {"diff_ids": ["x"]}}, "no rootfs.diff_ids"),
        ({"rootfs": {"diff_ids": [D1] * 128}}, "128 layers"),
        ({"rootfs": {"diff_ids": [D1]}, "os": 3}, "not strings"),
    ),
)
def test_bad_configurations_are_refused(value: dict[str, Any], reason: str) -> None:
    """A configuration must at least say what its layers are."""
    with pytest.raises(ImageError, match=reason):
        parse_configuration(json.dumps(value).encode(), "x")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from([D1, OCI_MANIFEST, OCI_INDEX]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schemaVersion",
                    "mediaType",
                    "config",
                    "layers",
                    "manifests",
                    "digest",
                    "size",
                    "urls",
                    "platform",
                    "os",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_JSON)
def test_any_json_is_parsed_or_refused(value: Any) -> None:
    """Fuzz: whatever comes, only ImageError leaves the parsers."""
    for document in (value, {"schemaVersion": 2, **(value if isinstance(value, dict) else {})}):
        data = json.dumps(document).encode()
        for parser in (parse_manifest, parse_index, parse_configuration):
            try:
                parser(data, "x")
            except ImageError:
                continue
