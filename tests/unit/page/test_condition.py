"""How a service is, in words and a tone."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.client.views import ContainerView
from pycompose.page.condition import NOT_CREATED, Look, container_condition, service_condition


def view(**fields: Any) -> ContainerView:
    base = {
        "id": "1", "name": "a-1", "image": "i", "command": (), "project": "p", "service": "a", "state": "running",
    }  # fmt: skip
    return ContainerView(**(base | fields))


@pytest.mark.parametrize(
    ("fields", "tone", "words"),
    (
        ({}, "good", "running"),
        ({"health": "healthy"}, "good", "healthy"),
        ({"health": "starting"}, "waiting", "starting"),
        ({"health": "unhealthy"}, "bad", "unhealthy"),
        ({"state": "paused"}, "waiting", "paused"),
        ({"state": "created"}, "off", "created"),
        ({"state": "restarting"}, "bad", "restarting"),
        ({"state": "restarting", "exit_code": 3}, "bad", "restarting (3)"),
        ({"state": "exited"}, "off", "exited (0)"),
        ({"state": "exited", "exit_code": 1}, "bad", "exited (1)"),
        ({"state": "exited", "exit_code": 143}, "off", "exited (143)"),
        ({"state": "exited", "exit_code": 137, "oom_killed": True}, "bad", "exited (137), out of memory"),
        ({"state": "exited", "exit_code_known": False}, "bad", "exited (unknown)"),
    ),
)
def test_a_container(fields: dict[str, Any], tone: str, words: str) -> None:
    assert container_condition(view(**fields)) == Look(tone=tone, words=words)


def test_replicas_have_the_worst_tone() -> None:
    views = [view(), view(state="restarting"), view()]

    assert service_condition(views) == Look(tone="bad", words="2 running, 1 restarting")
    assert service_condition([]) == NOT_CREATED
