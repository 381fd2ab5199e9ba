"""Removing trees as a hostile archive leaves them."""

from __future__ import annotations

import os
from pathlib import Path

from pycompose.engine.images.removal import empty_directory, remove_tree


def test_deep_trees_need_no_recursion(tmp_path: Path) -> None:
    """Deeper than Python's stack and than PATH_MAX."""
    top = tmp_path / "tree"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)

    remove_tree(top)

    assert not top.exists()


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    """What they lead to stays; a file with two names is counted with the last one."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    top = tmp_path / "tree"
    top.mkdir()
    (top / "to").symlink_to(outside)
    (top / "one").write_bytes(b"12345")
    os.link(top / "one", top / "two")
    (top / "sub").mkdir()
    (top / "sub/three").write_bytes(b"123")

    assert remove_tree(top) == 8
    assert remove_tree(top) == 0
    assert (outside / "precious").exists()


def test_only_the_content(tmp_path: Path) -> None:
    """The directory itself stays, with the descriptor that is held on it."""
    (tmp_path / "a/b").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        empty_directory(fd)
        assert os.listdir(fd) == []
    finally:
        os.close(fd)
