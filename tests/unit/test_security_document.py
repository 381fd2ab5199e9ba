"""docs/security.md says what was recorded; no row is looser than Docker's; what is stricter is explained."""

from __future__ import annotations

from tests.support import security_rows
from tests.support.security_rows import EXPLAINED, document, load, looser, stricter


def test_no_recorded_row_is_looser() -> None:
    """Neither is a row missing."""
    _versions, ours, docker = load()

    assert list(ours) == list(docker)
    assert looser(ours, docker) == []


def test_the_document_is_what_was_recorded() -> None:
    """Else: python -m tests.support.security_table."""
    assert security_rows.DOCUMENT.read_text(encoding="utf-8") == document(*load())


def test_everything_stricter_is_explained() -> None:
    """And nothing is explained that isn't."""
    _versions, ours, docker = load()

    assert sorted(stricter(ours, docker)) == sorted(EXPLAINED)


def test_a_table_is_by_place() -> None:
    """Mounts by where they are, devices by their names."""
    assert security_rows.by_first_word(
        ["/dev tmpfs size=1k", "/dev write", "/x", "tun: make", "tun: read"]
    ) == {
        "/dev": ["tmpfs size=1k", "write"],
        "/x": ["from the disk"],
        "tun": ["make", "read"],
    }


def test_more_freedom_is_found() -> None:
    """The comparison itself."""
    docker = {"a": ["x", "y"], "b": [], "limits": ["few"]}

    assert looser({"a": ["x", "z"], "b": ["w"], "limits": ["many"]}, docker) == ["a: z", "b: w"]
    assert stricter({"a": ["x", "z"], "b": ["w"], "limits": []}, docker) == [("a", "y")]
