"""The list of differences on purpose: complete, with reasons, and in use."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import as_user
from tests.support.scene import differences

HERE = Path(__file__).parent


def test_every_difference_has_its_reason() -> None:
    """Both behaviours and why ours is another one: because Compose 5 has it since a version, or a sentence."""
    for name, entry in differences().items():
        assert set(entry) - {"made_by"} in (
            {"id", "group", "docker", "pycompose", reason} for reason in ("why", "compose5")
        ), name
        assert entry.get("made_by", "engine") == "engine", name
        assert all(len(text) > 2 for text in entry.values()), name


def test_what_ordinary_users_have_differently() -> None:
    """Each is there once, with its reason, and the tests that it names are in their files."""
    entries = as_user.differences()

    assert len({entry.id for entry in entries}) == len(entries)
    assert all(len(text) > 2 for entry in entries for text in (entry.root, entry.why))
    for test in (test for entry in entries for test in entry.tests):
        file, *_, name = test.partition("[")[0].split("::")
        assert f"def {name.rstrip('*')}" in (HERE.parent / file).read_text(encoding="utf-8"), test


def test_every_difference_is_used() -> None:
    """What no scenario expects any more must leave the list."""
    text = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    used = set(re.findall(r'differs\(\s*["\']([a-z-]+)["\']', text)) | set(
        re.findall(r'difference="([a-z-]+)"', text)
    )

    assert used == set(differences())
