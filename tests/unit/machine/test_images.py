"""Images of the machine: listed by filter, and what becomes of them when names go."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NoSuchImage, PycomposeError
from pycompose.machine import images

from tests.support.layers import file, tar
from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return a machine with three images, one after the other: app:1, app:2 and the nameless predecessor of app:2."""
    state = StateFiles(tmp_path)
    for number, (name, label) in enumerate((("app:1", "tier=front"), ("app:2", ""), ("app:2", "tier=back"))):
        source = io.BytesIO(tar(file("f", f"{number}" * 5000)))
        changes = [f"LABEL {label}"] if label else []
        images.import_(state.context, source, name, changes=changes, message=f"number {number}")
    return state


def named(state: StateFiles, *filters: str, reference: str = "") -> list[str]:
    """Return repository:tag of the images that are listed."""
    return [f"{row.repository}:{row.tag}" for row in images.rows(state.context, reference, filters)]


@pytest.mark.parametrize(
    ("filters", "listed"),
    (
        (("dangling=true",), {"<none>:<none>"}),
        (("dangling=false",), {"app:1", "app:2"}),
        (("label=tier",), {"app:1", "app:2"}),
        (("label=tier=front",), {"app:1"}),
        (("reference=app:*", "label=tier=back"), {"app:2"}),
        (("reference=ap",), set()),
        (("since=app:1", "before=app:1"), set()),
        (("since=app:1", "before=app:2"), {"<none>:<none>"}),
        (("since=app:2",), set()),
        ((), {"app:1", "app:2", "<none>:<none>"}),
    ),
    ids=str,
)
def test_filters(state: StateFiles, filters: tuple[str, ...], listed: set[str]) -> None:
    assert set(named(state, *filters)) == listed


def test_a_repository_or_a_name_of_it(state: StateFiles) -> None:
    assert set(named(state, reference="app")) == {"app:1", "app:2"}
    assert named(state, reference="app:1") == ["app:1"]


def test_inspect_has_what_docker_says_of_nothing(state: StateFiles) -> None:
    """Templates ask for `.Config.Env` of any image."""
    (found,) = images.inspect(state.context, ["app:2"])
    assert {key: found["Config"][key] for key in ("Env", "Entrypoint", "WorkingDir", "Tty")} == {
        "Env": None,
        "Entrypoint": None,
        "WorkingDir": "",
        "Tty": False,
    }
    assert found["Config"]["Labels"] == {"tier": "back"}
    assert (found["Parent"], found["DockerVersion"]) == ("", "")


def test_until_a_moment(state: StateFiles) -> None:
    moments = {row.id: row.created_ns for row in images.rows(state.context)}
    last_ns = max(moments.values())
    assert len(moments) == len(set(moments.values())) == 3
    assert len(images.rows(state.context, until_ns=last_ns)) == 2
    assert len(images.rows(state.context, until_ns=last_ns + 1)) == 3


def test_triggers_are_for_builds_upon_it(state: StateFiles) -> None:
    source = io.BytesIO(tar(file("f", "x")))
    changes = ["onbuild RUN make", "CMD x", "ONBUILD COPY a b"]
    made = images.import_(state.context, source, None, changes=changes, message="")
    (found,) = images.inspect(state.context, [made])
    assert found["Config"]["OnBuild"] == ["RUN make", "COPY a b"]


@pytest.mark.parametrize("text", ("size=1", "label"))
def test_a_filter_that_nobody_knows(state: StateFiles, text: str) -> None:
    with pytest.raises(PycomposeError, match="cannot be used") as caught:
        named(state, text)
    assert "dangling" in str(caught.value.hint)


def test_dangling_is_true_or_false(state: StateFiles) -> None:
    with pytest.raises(PycomposeError, match="dangling=zz: cannot be used"):
        named(state, "dangling=zz")


def test_before_and_since_want_an_image(state: StateFiles) -> None:
    with pytest.raises(NoSuchImage):
        named(state, "before=gone")


def test_the_history_of_an_imported_image(state: StateFiles) -> None:
    """One step with all its bytes; only the newest has the image's id."""
    (step,) = images.history(state.context, "app:1")
    (image,) = images.inspect(state.context, ["app:1"])

    assert (step.id, step.comment) == (image["Id"], "number 0")
    assert step.size_bytes >= 5000


def test_an_image_goes_with_its_last_name(state: StateFiles) -> None:
    images.tag(state.context, "app:1", "other:1")

    assert images.remove(state.context, "app:1").deleted == ()
    gone = images.remove(state.context, "other:1")
    assert len(gone.deleted) == 1
    assert gone.freed_bytes >= 5000


def test_pruning_spares_names_and_what_containers_use(state: StateFiles) -> None:
    (used,) = images.inspect(state.context, ["app:1"])
    state.container("web", image="app:1", image_id=used["Id"])

    assert len(images.prune(state.context, everything=False).deleted) == 1
    usage = images.disk_usage(state.context)
    assert (usage.images, usage.in_use) == (2, 1)
    assert 0 < usage.reclaimable_bytes < usage.layers_bytes + usage.blobs_bytes
    assert images.prune(state.context, everything=True).untagged == ("app:2",)
    assert named(state) == ["app:1"]
