"""What surrounds the start of a container that no compose file knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import PycomposeError
from pycompose.machine import run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_id_is_written_for_others(tmp_path: Path) -> None:
    path = tmp_path / "cid"
    with run._id_file(str(path)) as file:
        file.write("abc")
    assert path.read_text(encoding="ascii") == "abc"


def test_without_a_container_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "cid"
    with pytest.raises(ValueError, match="start"), run._id_file(str(path)):
        raise ValueError("start")
    assert not path.exists()


def test_a_file_that_is_there_belongs_to_another_container(tmp_path: Path) -> None:
    path = tmp_path / "cid"
    path.write_text("before", encoding="ascii")
    with (
        pytest.raises(PycomposeError, match=f"--cidfile {path}: cannot create: File exists"),
        run._id_file(str(path)),
    ):
        pass
    assert path.read_text(encoding="ascii") == "before"


def test_nobody_wants_the_id() -> None:
    with run._id_file("") as file:
        file.write("abc")


def test_errors_speak_of_the_container() -> None:
    """The service that stands for it is our own affair."""
    with (
        pytest.raises(PycomposeError, match=r"^container web: image nosuch: not here$"),
        run._naming_container("web"),
    ):
        raise PycomposeError("service web: image nosuch: not here")
