"""The list of differences on purpose: complete, with reasons, and in use."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.scene import differences

HERE = Path(__file__).parent


def test_every_difference_has_its_reason() -> None:
    """Both behaviours and why ours is another one."""
    for name, entry in differences().items():
        assert set(entry) == {"id", "docker", "pycompose", "why"}, name
        assert all(len(text) > 4 for text in entry.values()), name


def test_every_difference_is_used() -> None:
    """What no scenario expects any more must leave the list."""
    text = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    used = set(re.findall(r'differs\(\s*["\']([a-z-]+)["\']', text)) | set(
        re.findall(r'difference="([a-z-]+)"', text)
    )

    assert used == set(differences())
