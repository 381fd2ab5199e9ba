"""What a build tells by the API, of steps that are made at the same time; and which build a request asks for."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from pycompose.api import builds, routes
from pycompose.api.errors import ApiError
from pycompose.api.execs import Attached, Execs
from pycompose.api.followers import Followers
from pycompose.api.http import ApiCall, Services
from pycompose.client.context import Context
from pycompose.engine.builder.request import CACHED, DONE, OUTPUT, STARTED, WARNING, BuildEvent
from pycompose.engine.paths import StatePaths


def told(*events: tuple[str, int, str]) -> str:
    """Return what is told of events: kind, step, output."""
    lines: list[str] = []
    steps = builds.Steps(lambda line: lines.append(line["stream"]))
    for kind, step, data in events:
        steps.take(BuildEvent(kind=kind, step=step, title=f"[{step}/9] RUN {step}", data=data))
    steps.finish()
    return "".join(lines)


def test_a_step_and_its_output() -> None:
    assert told((STARTED, 1, ""), (OUTPUT, 1, "out\n"), (DONE, 1, "")) == "Step 1/9 : RUN 1\nout\n"
    assert told((CACHED, 2, "")) == "Step 2/9 : RUN 2\n ---> Using cache\n"
    assert told((WARNING, 0, "careful")) == "[Warning] careful\n"


def test_steps_at_the_same_time_are_told_one_after_the_other() -> None:
    """What a later one says waits, also when it ends before."""
    events = (
        (STARTED, 1, ""), (STARTED, 2, ""), (OUTPUT, 2, "b\n"), (OUTPUT, 1, "a\n"), (DONE, 2, ""), (STARTED, 3, ""),
        (OUTPUT, 1, "A\n"), (DONE, 1, ""), (OUTPUT, 3, "c\n"), (DONE, 3, ""),
    )  # fmt: skip
    assert told(*events) == "Step 1/9 : RUN 1\na\nA\nStep 2/9 : RUN 2\nb\nStep 3/9 : RUN 3\nc\n"


def test_nothing_is_lost_of_a_build_that_ends_early() -> None:
    assert told((STARTED, 1, ""), (OUTPUT, 2, "b\n")) == "Step 1/9 : RUN 1\nStep 2/9 : RUN 2\nb\n"


def call(**fields: str) -> ApiCall:
    context = Context(paths=StatePaths(), sink=lambda _event: None)
    services = Services(
        context=context,
        events=None,  # type: ignore[arg-type]
        execs=Execs(),
        attached=Attached(),
        followers=Followers(),
    )
    return routes.find("POST", f"/build?{urlencode(fields)}", [], services)[1]


def test_what_docker_build_sends() -> None:
    options = builds._options(
        call(
            t="a:1", dockerfile="D", target="last", buildargs=json.dumps({"A": "1", "B": None}), nocache="1", pull="1",
            labels=json.dumps({"k": "v"}), ulimits=json.dumps([{"Name": "nofile", "Soft": 1, "Hard": 2}]), memory="9",
            shmsize="0", networkmode="host", extrahosts="h:10.0.0.1", cachefrom="[]", version="1",
        )
    )  # fmt: skip
    assert (options.path, options.tags, options.dockerfile, options.target) == ("-", ("a:1",), "D", "last")
    assert (options.build_args, options.labels, options.ulimits) == (("A=1",), ("k=v",), ("nofile=1:2",))
    assert (options.no_cache, options.pull, options.memory_bytes, options.shm_bytes) == (True, True, 9, None)
    assert (options.network, options.allow, options.hosts) == ("host", ("network.host",), ("h:10.0.0.1",))


@pytest.mark.parametrize(
    "fields",
    (
        {"buildargs": "{"},
        {"labels": "[]"},
        {"ulimits": "{}"},
        {"squash": "1"},
        {"outputs": '[{"Type":"local"}]'},
    ),
)
def test_builds_that_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        builds._options(call(**fields))
    assert refused.value.status == 400


def test_buildkit_is_told_that_it_is_not_there() -> None:
    with pytest.raises(ApiError, match="DOCKER_BUILDKIT=0"):
        builds.build(call(remote="client-session", version="2"))
