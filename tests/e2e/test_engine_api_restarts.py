"""Containers that start again, as clients of `pycompose system serve` see them."""

from __future__ import annotations

import threading
from typing import Any

import docker
import pytest

from tests.support.scenario import eventually


@pytest.mark.timeout(150)
def test_an_end_is_told_when_its_restart_is_written_down(sdk: docker.DockerClient) -> None:
    """Whoever hears of an end and looks, as Docker Compose's `up` does, sees that the container comes again."""
    policy: Any = {"Name": "on-failure", "MaximumRetryCount": 4}
    seen: list[tuple[bool, int]] = []
    stream = sdk.events(decode=True, filters={"event": ["die"]})

    def listen() -> None:
        for event in stream:
            found = sdk.api.inspect_container(event["id"])
            seen.append((found["State"]["Running"], found["RestartCount"]))
            if len(seen) == 6:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    sdk.containers.run("busybox", ["false"], detach=True, restart_policy=policy)
    eventually(lambda: len(seen) == 5)
    again = sdk.containers.run("busybox", ["sleep", "1000"], detach=True, stop_signal="SIGKILL")
    again.restart(timeout=0)
    listener.join(30)
    stream.close()
    again.remove(force=True)
    assert [runs for runs, _ in seen] == [True, True, True, True, False, True]
    assert all(count >= number for number, (_, count) in enumerate(seen[:4], 1))
    sdk.containers.prune()


@pytest.mark.timeout(150)
def test_restarts_that_somebody_ends(sdk: docker.DockerClient) -> None:
    """One that waits for its next start is stopped like one that runs, and who waits for its end hears of it."""
    policy: Any = {"Name": "always"}
    both = [sdk.containers.run("busybox", ["false"], detach=True, restart_policy=policy) for _ in "ab"]

    def wait_long() -> bool:
        for one in both:
            one.reload()
        return all(one.status == "restarting" and one.attrs["RestartCount"] >= 4 for one in both)

    eventually(wait_long)
    waits = [sdk.api.post(f"{sdk.api.base_url}/containers/{one.id}/wait", stream=True) for one in both]
    both[0].stop()
    both[1].kill()
    assert [wait.json()["StatusCode"] for wait in waits] == [1, 1]
    for one in both:
        one.reload()
        assert one.status == "exited"
        one.remove()


@pytest.mark.timeout(150)
def test_a_container_that_takes_its_time_to_stop(sdk: docker.DockerClient) -> None:
    """Others are made, run and removed meanwhile: they have nothing to do with it."""
    script = "trap 'echo asked' TERM; echo up; while true; do sleep 0.1; done"
    slow = sdk.containers.run("busybox", ["sh", "-c", script], detach=True)
    eventually(lambda: b"up" in slow.logs())
    stopper = threading.Thread(target=lambda: slow.stop(timeout=1000))
    stopper.start()
    eventually(lambda: b"asked" in slow.logs())
    assert sdk.containers.run("busybox", ["echo", "ran"], remove=True) == b"ran\n"
    slow.kill()
    stopper.join(60)
    assert slow.wait()["StatusCode"] == 137
    slow.remove()
