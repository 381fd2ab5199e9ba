"""Trees as hostile containers and archives leave them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from pycompose.engine.linux.trees import empty_directory, files_below, remove_tree


def nest(top: Path, name: str) -> None:
    """Put 1,200 directories into each other, and a file into the last one."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)


def test_deep_trees_need_no_recursion(tmp_path: Path) -> None:
    """Deeper than Python's stack and than PATH_MAX."""
    top = tmp_path / "tree"
    top.mkdir()
    nest(top, "d" * 20)

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


def test_nothing_is_left_by_two_who_remove_the_same(tmp_path: Path) -> None:
    """Whoever comes back has not lost its work to the other: the tree is gone then."""
    left: list[str] = []
    failed: list[OSError] = []

    def remove(top: Path, both: threading.Barrier) -> None:
        try:
            both.wait(10)
            remove_tree(top)
        except OSError as exc:
            failed.append(exc)
        if top.exists():
            left.append(top.name)

    for number in range(100):
        top = tmp_path / f"tree{number}"
        for below in ("log", "a/b/c"):
            (top / below).mkdir(parents=True)
            for name in range(5):
                (top / below / f"{name}").touch()
        both = threading.Barrier(2)
        threads = [threading.Thread(target=remove, args=(top, both)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failed == []
    assert left == []
    assert os.listdir(tmp_path) == []


def test_only_the_content(tmp_path: Path) -> None:
    """The directory itself stays, with the descriptor that is held on it."""
    (tmp_path / "a/b").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        empty_directory(fd)
        assert os.listdir(fd) == []
    finally:
        os.close(fd)


def test_deep_trees_can_be_measured(tmp_path: Path) -> None:
    """All that a path can name is found; what lies deeper is nobody's fault."""
    for name in ("d", "d" * 20):
        top = tmp_path / f"of-{len(name)}"
        top.mkdir()
        (top / "beside").write_text("x")
        nest(top, name)

        assert len(list(files_below(top))) == (2 if len(name) == 1 else 1)
        remove_tree(top)
