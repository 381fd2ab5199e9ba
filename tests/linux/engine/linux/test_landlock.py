"""A thread that gives up writing."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pycompose.engine.linux.landlock import abi, write_only_below

pytestmark = pytest.mark.skipif(not abi(), reason="this kernel has no Landlock")


def confined(inside: Path, action: Callable[[], object]) -> OSError | None:
    """Run `action` on a thread that may write below `inside` only; return the error it met."""
    met: list[OSError | None] = []

    def work() -> None:
        root = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert write_only_below([root])
            action()
            met.append(None)
        except OSError as exc:
            met.append(exc)
        finally:
            os.close(root)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return met[0]


@pytest.mark.parametrize(
    "action",
    (
        lambda top: (top / "out/new").touch(),
        lambda top: (top / "out/file").open("a").close(),
        pytest.param(
            lambda top: os.truncate(top / "out/file", 0),
            marks=pytest.mark.skipif(abi() < 3, reason="truncate(2) is Landlock's business since Linux 6.2"),
        ),
        lambda top: os.unlink(top / "out/file"),
        lambda top: (top / "out/sub").mkdir(),
        lambda top: os.symlink("x", top / "out/link"),
        lambda top: os.link(top / "out/file", top / "in/file"),
        lambda top: os.rename(top / "in/kept", top / "out/kept"),
        lambda top: os.open("../out/new", os.O_WRONLY | os.O_CREAT, dir_fd=os.open(top / "in", os.O_PATH)),
        lambda _: os.execv("/bin/true", ["true"]),  # noqa: S606
    ),
)
def test_nothing_changes_outside(tmp_path: Path, action: Callable[[Path], object]) -> None:
    """What makes, changes, moves or removes a file elsewhere is refused, and so is running a program."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/kept").write_text("kept")
    (tmp_path / "out/file").write_text("text")

    error = confined(tmp_path / "in", lambda: action(tmp_path))

    assert error is not None
    assert error.errno in (errno.EACCES, errno.EXDEV)
    assert [(p.name, p.read_text()) for p in (tmp_path / "out").iterdir()] == [("file", "text")]
    assert os.listdir(tmp_path / "in") == ["kept"]


def test_inside_everything_goes(tmp_path: Path) -> None:
    """Below the directory files are made, linked across directories, cut, moved and removed; reading is free."""

    def work() -> None:
        (tmp_path / "in/a").mkdir()
        (tmp_path / "in/b").mkdir()
        (tmp_path / "in/a/file").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        os.link(tmp_path / "in/a/file", tmp_path / "in/b/file")
        os.truncate(tmp_path / "in/b/file", 3)
        os.mknod(tmp_path / "in/null", 0o20666, os.makedev(1, 3))
        os.mkfifo(tmp_path / "in/fifo")
        os.rename(tmp_path / "in/a/file", tmp_path / "in/b/moved")
        os.unlink(tmp_path / "in/b/moved")

    (tmp_path / "in").mkdir()

    assert confined(tmp_path / "in", work) is None
    assert (tmp_path / "in/b/file").read_text() == '"""'


def test_other_threads_keep_what_they_may(tmp_path: Path) -> None:
    """Only the thread that asked is confined."""
    (tmp_path / "in").mkdir()

    confined(tmp_path / "in", lambda: None)

    (tmp_path / "out").touch()
