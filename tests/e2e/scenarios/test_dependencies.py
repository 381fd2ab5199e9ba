"""Who waits for whom: conditions, health, and what happens when they are never met."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
ORDER = """
x-service: &service
  image: busybox
  volumes: ['./shared:/shared']
services:
  web:
    <<: *service
    command: &log
      - sh
      - -c
      - "trap 'echo -$$NAME >>/shared/order; exit' TERM; echo $$NAME >>/shared/order; sleep 1000 & wait"
    environment: {NAME: web}
    depends_on: [app]
  app:
    <<: *service
    command: *log
    environment: {NAME: app}
    depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}}
  job:
    <<: *service
    command: [sh, -c, "test -e /shared/ready && echo job >>/shared/order"]
    depends_on: {db: {condition: service_healthy}}
  db:
    <<: *service
    command:
      - sh
      - -c
      - |
        trap 'echo -db >>/shared/order; exit' TERM; echo db >>/shared/order
        sleep 0.5; touch /shared/ready; sleep 1000 & wait
    healthcheck: {test: [CMD, test, -e, /shared/ready], interval: 200ms, retries: 100}
"""
NEEDS = """
services:
  web:
    image: busybox
    command: [sh, -c, 'trap exit TERM; sleep 1000 & wait']
    depends_on: {needed: {condition: %s, required: %s}}
  needed:
    image: busybox
    command: [sh, -c, "%s"]
    stop_grace_period: 0s
    healthcheck: {test: [CMD, "false"], interval: 100ms, retries: 2, start_period: 0s}
"""
WITH_JOB = f"""
services:
  web: {{image: busybox, command: {WAIT}}}
  job: {{image: busybox, command: [sh, -c, "sleep 0.1; exit %s"]}}
"""
MIGRATION = f"""
services:
  migrate: {{image: busybox, command: [sh, -c, "sleep 0.3; test -e /shared/ok"], volumes: ['./shared:/shared']}}
  app: {{image: busybox, command: {WAIT}, depends_on: {{migrate: {{condition: service_completed_successfully}}}}}}
"""
SICK = f"""
services:
  db:
    image: busybox
    command: {WAIT}
    volumes: ['./shared:/shared']
    healthcheck: {{test: test -e /shared/ok, interval: 200ms, retries: 1, start_period: 0s}}
  app: {{image: busybox, command: {WAIT}, depends_on: {{db: {{condition: service_healthy}}}}}}
"""
HEALTH = """
services:
  web:
    image: busybox
    command: [sh, -c, 'trap exit TERM; sleep 1000 & wait']
    volumes: ['./shared:/shared']
    healthcheck: {test: %s, interval: 100ms, timeout: 2s, retries: %s, start_period: %s, start_interval: 100ms}
"""


def test_order(scene: Scene) -> None:
    """Services must start when their conditions are met, and stop in the opposite order."""
    scene.file("shared/order", "")
    scene.up(ORDER)
    scene.eventually(lambda: scene.read("shared/order").split() == ["db", "job", "app", "web"])
    scene.expect({"web-1": "running", "app-1": "running", "db-1": "running", "job-1": "exited"})
    scene.compose("stop")
    assert scene.read("shared/order").split()[4:] == ["-web", "-app", "-db"]
    scene.file("shared/order", "")
    scene.compose("start")
    scene.eventually(lambda: scene.read("shared/order").split() == ["db", "job", "app", "web"])


@pytest.mark.parametrize(
    ("condition", "script", "word"),
    (
        ("service_completed_successfully", "exit 3", "3"),
        ("service_healthy", "sleep 1000", "unhealthy"),
        ("service_healthy", "exit 3", "3"),
    ),
    ids=("completed", "unhealthy", "exited"),
)
def test_unmet_condition(scene: Scene, condition: str, script: str, word: str) -> None:
    """A condition that can't be met any more must end `up` with 1, name the dependency, and start no dependant."""
    result = scene.up(NEEDS % (condition, "true", script), code=1)
    assert "needed" in result.stderr
    assert word in result.stderr
    assert scene.one("web").state == "created"


@pytest.mark.parametrize("condition", ("service_completed_successfully", "service_healthy"))
def test_unmet_condition_that_is_not_required(scene: Scene, condition: str) -> None:
    """With `required: false` the dependant must start all the same."""
    scene.up(NEEDS % (condition, "false", "exit 3"))
    scene.expect({"web-1": "running", "needed-1": "exited"})


def test_dependency_of_a_profile(scene: Scene) -> None:
    """A dependency that isn't required and whose profile is off must not start, nor matter."""
    text = NEEDS % ("service_started", "false", "sleep 1000")
    scene.up(text + "    profiles: [other]\n")
    scene.expect({"web-1": "running"})


def test_started_job_is_enough(scene: Scene) -> None:
    """`service_started` must be met by a container that has ended at once."""
    scene.up(NEEDS % ("service_started", "true", "exit 3"))
    scene.expect({"web-1": "running", "needed-1": "exited"})


AGAIN = (("up", "-d"), ("up", "-d", "app"), ("up", "-d", "--wait"), ("start",), ("start", "app"))


@pytest.mark.parametrize("words", AGAIN, ids=" ".join)
def test_failed_job_of_one_that_runs(scene: Scene, words: tuple[str, ...]) -> None:
    """A job that fails now must be a failure although its dependant runs already, and leave that running."""
    ready = scene.file("shared/ok", "")
    scene.up(MIGRATION)
    scene.expect({"migrate-1": "exited", "app-1": "running"})
    app = scene.one("app")
    ready.unlink()
    result = scene.compose(*words, code=1)
    assert "didn't complete successfully: exit 1" in result.stderr
    assert scene.one("app") == app


@pytest.mark.parametrize("words", AGAIN, ids=" ".join)
def test_unhealthy_dependency_of_one_that_runs(scene: Scene, words: tuple[str, ...]) -> None:
    """A dependency that is unhealthy must be a failure although its dependant runs, but not with `--no-deps`."""
    ready = scene.file("shared/ok", "")
    scene.up(SICK)
    app = scene.one("app")
    ready.unlink()
    scene.expect_health("db", "unhealthy")
    result = scene.compose(*words, code=1)
    assert "is unhealthy" in result.stderr
    assert scene.one("app") == app
    scene.compose("up", "-d", "--no-deps", "app")


def test_restart_waits_for_no_condition(scene: Scene) -> None:
    """`restart` must start what ran, whether a job fails or a dependency is unhealthy, and end with 0."""
    ready = scene.file("shared/ok", "")
    scene.up(MIGRATION)
    scene.expect({"migrate-1": "exited", "app-1": "running"})
    ready.unlink()
    with scene.restarts("migrate-1", "app-1"):
        scene.compose("restart", "-t", "1")
        scene.expect({"migrate-1": "exited", "app-1": "running"})
    scene.compose("down", "-t", "1")
    scene.file("shared/ok", "")
    scene.up(SICK)
    ready.unlink()
    scene.expect_health("db", "unhealthy")
    with scene.restarts("db-1", "app-1"):
        scene.compose("restart", "-t", "1")
    scene.expect({"db-1": "running", "app-1": "running"})


def test_cycle(scene: Scene) -> None:
    """A cycle of dependencies must be refused, and name its members."""
    result = scene.up(
        "services: {a: {image: busybox, depends_on: [b]}, b: {image: busybox, depends_on: [a]}}", code=1
    )
    assert "cycle" in result.stderr
    assert not scene.ids()


def test_no_deps_ignores_conditions(scene: Scene) -> None:
    """`up --no-deps` must not wait for a dependency."""
    scene.up(NEEDS % ("service_healthy", "true", "sleep 1000"), "--no-deps", "web")
    scene.expect({"web-1": "running"})


def test_healthy(scene: Scene) -> None:
    """A service must be starting, healthy when its check succeeds, unhealthy after its retries, and healthy again."""
    scene.up(HEALTH % ("[CMD, test, -e, /shared/ready]", "2", "60s"))
    assert scene.one("web").health == "starting"
    scene.file("shared/ready", "")
    scene.expect_health("web", "healthy")
    (scene.folder / "shared/ready").unlink()
    scene.expect_health("web", "unhealthy")
    scene.file("shared/ready", "")
    scene.expect_health("web", "healthy")
    scene.compose("restart")
    scene.expect_health("web", "healthy")


def test_health_in_ps(scene: Scene) -> None:
    """`ps` must show the health."""
    scene.up(HEALTH % ("[CMD, 'true']", "2", "0s"), "--wait")
    assert "(healthy)" in scene.compose("ps").stdout
    assert scene.compose("ps", "--format", "json").json()["Health"] == "healthy"


@pytest.mark.parametrize(
    ("test", "health"),
    (
        ("exit 0", "healthy"),
        ("[CMD-SHELL, 'test $$(id -u) = 0 && exit 0']", "healthy"),
        ("[CMD-SHELL, 'sleep 5']", "unhealthy"),
        ("[CMD, not-there]", "unhealthy"),
    ),
    ids=("string", "shell", "timeout", "missing"),
)
def test_forms_of_a_check(stage: Scene, test: str, health: str) -> None:
    """A check must work in all forms; one that takes too long or can't start must fail."""
    stage.up((HEALTH % (test, "1", "0s")).replace("timeout: 2s", "timeout: 500ms"))
    stage.expect_health("web", health)


def test_disabled_check(scene: Scene) -> None:
    """`healthcheck.disable` must leave a service without health."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}, healthcheck: {{disable: true}}}}}}")
    assert scene.one("web").health == ""


def test_wait(scene: Scene) -> None:
    """`up --wait` must return when everything runs and is healthy."""
    scene.file("compose.yaml", HEALTH % ("[CMD, test, -e, /shared/ready]", "100", "60s"))
    scene.file("shared/.keep", "")
    up = scene.spawn("up", "--wait")
    scene.eventually(lambda: scene.one("web").health == "starting")
    scene.file("shared/ready", "")
    assert up.wait() == 0
    assert scene.one("web").health == "healthy"


def test_wait_fails(scene: Scene) -> None:
    """`up --wait` must end with 1 when a service is unhealthy, or isn't healthy in time."""
    result = scene.up(HEALTH % ("[CMD, 'false']", "1", "0s"), "--wait", code=1)
    assert "unhealthy" in result.stderr
    code = scene.differs("wait-timeout", docker=None, pycompose=1)
    scene.up(HEALTH % ("[CMD, 'false']", "100", "60s"), "--wait", "--wait-timeout", "1", code=code)
    assert scene.one("web").health == "starting"


def test_wait_and_a_job(scene: Scene) -> None:
    """`up --wait` must count a job that ends with 0 as done."""
    scene.up(WITH_JOB % 0, "--wait", code=scene.differs("wait-one-shot", docker=1, pycompose=0))


def test_wait_and_a_failure(scene: Scene) -> None:
    """`up --wait` must end with 1 when a service fails right after its start."""
    scene.up(WITH_JOB % 4, "--wait", code=1)
    scene.expect_exit("job", 4)


def test_first_probe(scene: Scene) -> None:
    """The first check must not wait for a whole interval."""
    text = HEALTH % ("[CMD, 'true']", "3", "0s")
    scene.up(text.replace("interval: 100ms", "interval: 20s"))
    if scene.differs("first-probe", docker=False, pycompose=True):
        scene.expect_health("web", "healthy")
    else:
        assert scene.one("web").health == "starting"


def test_a_restart_that_others_follow(scene: Scene) -> None:
    """Who asks to be restarted with a dependency must be, once it is healthy; and run on if it never is."""
    text = SICK.replace("condition: service_healthy", "condition: service_healthy, restart: true")
    ready = scene.file("shared/ok", "")
    scene.up(text)
    with scene.restarts("db-1", "app-1"):
        scene.compose("restart", "-t", "1", "db")
    assert scene.one("app").started > scene.one("db").started
    scene.compose("stop", "-t", "1", "app")
    scene.compose("restart", "-t", "1", "db")
    state = scene.differs("stopped-follower", docker="running", pycompose="exited")
    scene.expect({"db-1": "running", "app-1": state})
    scene.compose("start", "app")
    ready.unlink()
    scene.expect_health("db", "unhealthy")
    with scene.restarts("db-1"):
        result = scene.compose("restart", "-t", "1", "db", code=1)
    assert "is unhealthy" in result.stderr
    scene.expect({"db-1": "running", "app-1": "running"})
