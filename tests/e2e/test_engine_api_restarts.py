"""Containers that start again, as clients of `pycompose system serve` see them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import docker
import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.served import Served

FOLLOW = "GET /containers/%s/logs?stdout=1&follow=1&tail=1 HTTP/1.1\r\nHost: d\r\n\r\n"


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


@pytest.mark.timeout(150)
def test_a_log_ends_before_the_end_is_told(served: Served, sdk: docker.DockerClient) -> None:
    """With each run: Docker Compose's `up` opens one for the next run, and fails when one is left at the last end."""
    script = (
        "read n </n; echo $((n + 1)) >/n; echo run $n; until test -e /go; do sleep 0.05; done; rm /go; exit 4"
    )
    policy: Any = {"Name": "on-failure", "MaximumRetryCount": 3}
    one = sdk.containers.create("busybox", ["sh", "-c", f"echo 0 >>/n; {script}"], restart_policy=policy)
    heard = sdk.events(decode=True, filters={"event": ["start", "die"]})
    one.start()
    for number in range(4):
        assert next(heard)["Action"] == "start"
        with served.connect() as log:
            log.sendall(FOLLOW.replace("%s", str(one.id)).encode())
            told = b""
            while f"run {number}\n".encode() not in told:
                told += log.recv(65536)
            one.exec_run(["touch", "/go"])
            assert next(heard)["Action"] == "die"
            log.setblocking(False)
            while not told.endswith(b"\r\n0\r\n\r\n"):
                told += log.recv(65536)
        assert told.endswith(f"run {number}\n\r\n0\r\n\r\n".encode())
    heard.close()
    one.remove()
