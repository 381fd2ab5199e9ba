"""What `up` makes anew, what it keeps, what it removes."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

# Process 1 is a shell with a handler: it ends at once on both engines.
WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
PAIR = f"""
services:
  web:
    image: busybox
    command: {WAIT}
    depends_on: [db]
  db:
    image: busybox
    command: {WAIT}
"""
CHANGED_WEB = PAIR.replace("depends_on: [db]", "depends_on: [db]\n    environment: {A: '1'}")
CHANGED_DB = PAIR + "    environment: {A: '1'}\n"
RESTARTED = PAIR.replace("[db]", "{db: {condition: service_started, restart: true}}")
BOTH = {"web-1": "running", "db-1": "running"}
SINGLE = f"services: {{web: {{image: busybox, command: {WAIT}}}}}"


def test_up_again_changes_nothing(scene: Scene) -> None:
    """A second `up` of the same file must keep every container running."""
    scene.up(PAIR)
    scene.expect(BOTH)
    with scene.restarts():
        scene.compose("up", "-d")


def test_force_recreate(scene: Scene) -> None:
    """`--force-recreate` must make all containers anew with the same names, of one service if named."""
    scene.up(PAIR)
    with scene.replaces("web-1", "db-1"):
        scene.compose("up", "-d", "--force-recreate")
    assert [item.name for item in scene.containers()] == [f"{scene.project}-db-1", f"{scene.project}-web-1"]
    with scene.replaces("web-1"):
        scene.compose("up", "-d", "--force-recreate", "web")


def test_change_of_a_dependant(scene: Scene) -> None:
    """A changed service must be replaced, and what it depends on must go on."""
    scene.up(PAIR)
    with scene.replaces("web-1"):
        scene.up(CHANGED_WEB)
    scene.expect(BOTH)


def test_change_of_a_dependency(scene: Scene) -> None:
    """A changed dependency must be replaced, and its dependant must go on."""
    scene.up(PAIR)
    with scene.replaces("db-1"):
        scene.up(CHANGED_DB)
    scene.expect(BOTH)


def test_restart_with_the_dependency(scene: Scene) -> None:
    """`depends_on.restart: true` must restart the dependant when the dependency is replaced."""
    scene.up(RESTARTED)
    before = scene.one("web")
    with scene.replaces("db-1"):
        scene.up(RESTARTED + "    environment: {A: '1'}\n")
    scene.expect(BOTH)
    assert scene.one("web").started != before.started


def test_no_recreate(scene: Scene) -> None:
    """`--no-recreate` must keep a container whose configuration has changed."""
    scene.up(PAIR)
    with scene.restarts():
        scene.up(CHANGED_WEB, "--no-recreate")


def test_always_recreate_deps(scene: Scene) -> None:
    """`--always-recreate-deps web` must replace what web depends on."""
    scene.up(PAIR)
    before = scene.ids()
    scene.compose("up", "-d", "--always-recreate-deps", "web")
    assert scene.ids()["db-1"] != before["db-1"]
    scene.expect(BOTH)


@pytest.mark.parametrize(
    "flags",
    (
        ("--force-recreate", "--no-recreate"),
        ("--no-recreate", "--always-recreate-deps"),
        ("--no-recreate", "-V"),
        ("--build", "--no-build"),
        ("--abort-on-container-exit",),
        ("--wait", "--abort-on-container-failure"),
        ("--attach", "web"),
        ("--scale", "web"),
        ("--scale", "nobody=2"),
        ("--pull", "perhaps"),
        ("--no-such-flag",),
        ("nobody",),
    ),
    ids=" ".join,
)
def test_contradictions(stage: Scene, flags: tuple[str, ...]) -> None:
    """Flags that contradict each other, and names that don't exist, must end with 1 and change nothing."""
    stage.file("compose.yaml", PAIR)
    result = stage.compose("up", "-d", *flags, code=1)
    assert result.stderr
    assert not stage.ids()


def test_anonymous_volumes(scene: Scene) -> None:
    """An anonymous volume must go over to the replacement, unless `-V` asks for a new one."""
    text = SINGLE.replace("busybox,", "busybox, volumes: [/data],")
    scene.up(text)
    first = scene.one("web").volumes["/data"]
    scene.compose("exec", "-T", "web", "touch", "/data/kept")
    scene.up(text.replace("busybox,", "busybox, environment: {A: '1'},"))
    assert scene.one("web").volumes["/data"] == first
    assert "kept" in scene.compose("exec", "-T", "web", "ls", "/data").stdout

    scene.compose("up", "-d", "--force-recreate", "-V")
    assert scene.one("web").volumes["/data"] != first
    assert "kept" not in scene.compose("exec", "-T", "web", "ls", "/data").stdout


def test_new_anonymous_volumes_need_new_containers(scene: Scene) -> None:
    """`-V` must recreate although nothing has changed: all services, or those that are named."""
    scene.up(PAIR.replace("image: busybox", "image: busybox\n    volumes: [/data]"))
    before = scene.one("web").volumes["/data"]
    with scene.replaces("web-1", "db-1"):
        scene.compose("up", "-d", "-V")
    second = scene.one("web").volumes["/data"]
    assert second != before
    with scene.replaces("web-1"):
        scene.compose("up", "-d", "-V", "web")
    assert scene.one("web").volumes["/data"] not in (before, second)


def test_scale(scene: Scene) -> None:
    """`--scale` must add replicas and take away the newest, and without it the file must hold again."""
    scene.up(PAIR, "--scale", "web=3")
    three = scene.ids()
    assert set(three) == {"web-1", "web-2", "web-3", "db-1"}
    scene.compose("up", "-d", "--scale", "web=2")
    assert scene.ids() == {name: three[name] for name in ("web-1", "web-2", "db-1")}
    scene.compose("up", "-d")
    assert scene.ids() == {name: three[name] for name in ("web-1", "db-1")}


def test_scale_command(scene: Scene) -> None:
    """`scale` must change the number of replicas of the named services, down to none."""
    scene.up(PAIR)
    one = scene.ids()
    scene.compose("scale", "web=2", "db=0")
    assert scene.states() == {"web-1": "running", "web-2": "running"}
    assert scene.ids()["web-1"] == one["web-1"]
    scene.compose("scale", "web=x", code=1)
    scene.compose("scale", "nobody=1", code=1)


def test_scale_command_recreates_what_changed(scene: Scene) -> None:
    """`scale` must replace a named service whose configuration is another one now, and leave others alone."""
    scene.up(PAIR)
    before = scene.ids()
    scene.file("compose.yaml", CHANGED_WEB)
    scene.compose("scale", "web=2")
    after = scene.ids()
    assert set(after) == {"web-1", "web-2", "db-1"}
    assert after["db-1"] == before["db-1"]
    assert after["web-1"] != before["web-1"]


@pytest.mark.parametrize("how", ("scale: 2", "deploy: {replicas: 2}"))
def test_scale_in_the_file(scene: Scene, how: str) -> None:
    """`scale` and `deploy.replicas` must be the number of containers."""
    scene.up(SINGLE.replace("busybox,", f"busybox, {how},"))
    assert set(scene.ids()) == {"web-1", "web-2"}


def test_container_name_has_one_replica(scene: Scene) -> None:
    """`container_name` must be the name, and must refuse a second replica."""
    text = SINGLE.replace("busybox,", "busybox, container_name: PROJECT-by-name,")
    scene.up(text, "--scale", "web=2", code=1)
    scene.up(text)
    assert scene.one("web").name == f"{scene.project}-by-name"


def test_orphans(scene: Scene) -> None:
    """A service that left the file must stay with a warning that names it, until `--remove-orphans`."""
    scene.up(PAIR)
    result = scene.up(SINGLE)
    assert f"{scene.project}-db-1" in result.stderr
    assert set(scene.ids()) == {"web-1", "db-1"}
    silent = scene.compose("up", "-d", env={"COMPOSE_IGNORE_ORPHANS": "1"})
    assert f"{scene.project}-db-1" not in silent.stderr
    scene.compose("up", "-d", "--remove-orphans")
    assert set(scene.ids()) == {"web-1"}


def test_down_and_orphans(scene: Scene) -> None:
    """`down` must leave orphans, and the network they need, to `--remove-orphans`."""
    scene.up(PAIR)
    scene.file("compose.yaml", SINGLE)
    scene.compose("down")
    assert set(scene.ids()) == {"db-1"}
    assert scene.networks() == {"default"}
    scene.compose("down", env={"COMPOSE_REMOVE_ORPHANS": "1"})
    assert not scene.ids()
    assert not scene.networks()


def test_no_deps(scene: Scene) -> None:
    """`up --no-deps web` must start web alone, and `up web` with what it needs, but nothing else."""
    scene.up(PAIR + f"  other: {{image: busybox, command: {WAIT}}}\n", "--no-deps", "web")
    assert set(scene.ids()) == {"web-1"}
    with scene.adds("db-1"):
        scene.compose("up", "-d", "web")


def test_no_start(scene: Scene) -> None:
    """`up --no-start` and `create` must make everything and start nothing; `up` must start just that."""
    scene.file("compose.yaml", PAIR)
    scene.compose("up", "--no-start")
    scene.expect({"web-1": "created", "db-1": "created"})
    assert scene.networks() == {"default"}
    before = scene.ids()
    scene.compose("create")
    assert scene.ids() == before
    scene.compose("up", "-d")
    scene.expect(BOTH)
    assert scene.ids() == before


def test_create_flags(scene: Scene) -> None:
    """`create` must know scale, `--force-recreate` and `--no-recreate`."""
    scene.file("compose.yaml", PAIR)
    scene.compose("create", "--scale", "web=2")
    assert scene.states() == {"web-1": "created", "web-2": "created", "db-1": "created"}
    with scene.replaces("web-1", "web-2", "db-1"):
        scene.compose("create", "--scale", "web=2", "--force-recreate")
    scene.file("compose.yaml", CHANGED_WEB)
    with scene.replaces():
        scene.compose("create", "--scale", "web=2", "--no-recreate")


def test_stopped_is_started(scene: Scene) -> None:
    """`up` must start what was stopped, not make it anew; a changed one must be replaced and started."""
    scene.up(PAIR)
    before = scene.ids()
    scene.compose("stop")
    scene.expect({"web-1": "exited", "db-1": "exited"})
    scene.compose("up", "-d")
    scene.expect(BOTH)
    assert scene.ids() == before
    scene.compose("stop")
    with scene.replaces("web-1"):
        scene.up(CHANGED_WEB)
    scene.expect(BOTH)


def test_removed_comes_back(scene: Scene) -> None:
    """`up` must bring back a container that was removed, and keep the others."""
    scene.up(PAIR)
    scene.compose("rm", "-sf", "db")
    assert set(scene.ids()) == {"web-1"}
    with scene.adds("db-1"):
        scene.compose("up", "-d")
    scene.expect(BOTH)


def test_one_shot_runs_again(scene: Scene) -> None:
    """A job that has ended must run again at the next `up`, in the same container."""
    scene.up("services: {job: {image: busybox, command: [sh, -c, 'echo ran; exit 3']}}")
    scene.expect_exit("job", 3)
    before = scene.ids()
    scene.compose("up", "-d")
    scene.eventually(lambda: scene.logs().count("ran") == 2)
    assert scene.ids() == before


def test_new_image(scene: Scene) -> None:
    """A tag that means another image now must replace the container."""
    image = f"image-{scene.project}"
    scene.image(image, "busybox")
    text = SINGLE.replace("busybox", image)
    scene.up(text)
    with scene.replaces():
        scene.compose("up", "-d")
    scene.image(image, "busybox:other")
    with scene.replaces("web-1"):
        scene.compose("up", "-d")
    assert "other" in scene.compose("exec", "-T", "web", "cat", "/etc/other").stdout
    scene.compose("down")
    scene.remove_image(image)


def test_network_leaves_a_service(scene: Scene) -> None:
    """A service that leaves a network must be replaced, and not be on it any more."""
    text = SINGLE.replace("busybox,", "busybox, networks: [one, two],") + "\nnetworks: {one: , two: }\n"
    scene.up(text)
    assert set(scene.one("web").addresses) == {f"{scene.project}_one", f"{scene.project}_two"}
    with scene.replaces("web-1"):
        scene.up(text.replace("[one, two]", "[one]"))
    assert set(scene.one("web").addresses) == {f"{scene.project}_one"}


def test_changed_network(scene: Scene) -> None:
    """A network with other settings must be made anew, with its containers on it."""
    text = PAIR + "networks: {default: {ipam: {config: [{subnet: 10.213.%s.0/24}]}}}\n"
    scene.up(text % 7)
    assert scene.one("web").addresses[f"{scene.project}_default"].startswith("10.213.7.")
    scene.up(text % 8)
    scene.expect(BOTH)
    for item in scene.containers():
        assert item.addresses[f"{scene.project}_default"].startswith("10.213.8.")


def test_renamed_network(scene: Scene) -> None:
    """A network that gets another name must be made anew; 5.x moves its containers, and removes the old one."""
    text = PAIR + "networks: {default: {name: PROJECT_%s}}\n"
    scene.up(text % "old")
    before = scene.ids()
    moved = scene.differs("renamed-network", docker=False, pycompose=True)
    if moved:  # 2.40 leaves what is stopped where it was
        scene.compose("stop", "db")
    scene.up(text % "new")
    scene.expect(BOTH)
    for item in scene.containers():
        assert set(item.addresses) == {f"{scene.project}_new"}
    assert (scene.ids() == before) == moved
    assert scene.networks() == ({"new"} if moved else {"new", "old"})
    assert "db" in scene.compose("exec", "-T", "web", "nslookup", "db").stdout
    scene.compose("down")
    assert scene.networks() == (set() if moved else {"old"})
    if not moved:
        scene.compose("network", "rm", f"{scene.project}_old")


def test_foreign_network(scene: Scene) -> None:
    """A network that something else has made must be warned of; 5.x uses it then, which 2.40 refuses."""
    name = f"{scene.project}_theirs"
    scene.compose("network", "create", name)
    text = (
        PAIR
        + "networks: {default: {name: PROJECT_theirs, driver_opts: {com.docker.network.driver.mtu: '1400'}}}\n"
    )
    code = scene.differs("foreign-network", docker=1, pycompose=0)
    said = scene.up(text, code=code).stderr
    assert f"a network with name {name} exists but was not created" in said
    if code == 0:
        assert set(scene.one("web").addresses) == {name}
    scene.compose("down")
    assert scene.networks() == {"theirs"}
    scene.compose("network", "rm", name)


def test_volumes_outlive_down(scene: Scene) -> None:
    """Named volumes must survive `down`, and not `down -v`."""
    text = SINGLE.replace("busybox,", "busybox, volumes: ['data:/data'],") + "\nvolumes: {data: }\n"
    scene.up(text)
    scene.compose("exec", "-T", "web", "touch", "/data/kept")
    scene.compose("down")
    assert scene.volumes() == {"data"}
    assert scene.volume("data", "kept").exists()
    scene.compose("up", "-d")
    assert "kept" in scene.compose("exec", "-T", "web", "ls", "/data").stdout
    scene.compose("down", "-v")
    assert not scene.volumes()


def test_down_removes_anonymous_volumes_with_v(scene: Scene) -> None:
    """`down -v` must remove anonymous volumes."""
    scene.up(SINGLE.replace("busybox,", "busybox, volumes: [/data],"))
    name = scene.one("web").volumes["/data"]
    assert name in scene.engine.volumes()
    scene.compose("down", "-v")
    assert name not in scene.engine.volumes()


@pytest.mark.parametrize("kind", ("networks", "volumes"))
def test_missing_external(scene: Scene, kind: str) -> None:
    """An external network or volume that isn't there must end `up` with its name."""
    use = "networks: [ext]" if kind == "networks" else "volumes: ['ext:/x']"
    text = (
        SINGLE.replace("busybox,", f"busybox, {use},")
        + f"\n{kind}: {{ext: {{external: true, name: not-here}}}}\n"
    )
    assert "not-here" in scene.up(text, code=1).stderr
    assert not scene.ids()


def test_external_volume_stays(scene: Scene) -> None:
    """`down -v` must not touch an external volume."""
    name = f"{scene.project}_mine"
    scene.engine.make_volume(name)
    text = SINGLE.replace("busybox,", "busybox, volumes: ['ext:/x'],")
    scene.up(text + f"\nvolumes: {{ext: {{external: true, name: {name}}}}}\n")
    scene.compose("exec", "-T", "web", "touch", "/x/kept")
    scene.compose("down", "-v")
    assert scene.volume("mine", "kept").exists()


def test_down_of_one_service(scene: Scene) -> None:
    """`down web` must remove web's containers and leave the rest running."""
    scene.up(PAIR)
    before = scene.ids()
    scene.compose("down", "web")
    assert scene.ids() == {"db-1": before["db-1"]}
    assert scene.networks() == {"default"}


def test_down_without_the_file(scene: Scene) -> None:
    """`-p NAME down` must find everything without the compose file; twice must be as good as once."""
    scene.up(PAIR)
    (scene.folder / "compose.yaml").unlink()
    for _ in range(2):
        scene.compose("-p", scene.project, "down")
        assert not scene.ids()
        assert not scene.networks()


def test_two_projects(scene: Scene) -> None:
    """Two project names over the same file must not know each other."""
    scene.up(SINGLE)
    mine = scene.ids()
    other = f"{scene.project}b"
    scene.compose("-p", other, "up", "-d")
    assert len(scene.engine.containers(other)) == 1
    scene.compose("down", env={"COMPOSE_PROJECT_NAME": other})
    assert not scene.engine.containers(other)
    assert scene.ids() == mine
    scene.expect({"web-1": "running"})


def test_name_of_the_project(scene: Scene) -> None:
    """`name:` must be the project's name, and `-p` must beat it."""
    scene.file("compose.yaml", f"name: PROJECT-n\n{SINGLE}")
    scene.compose("create")
    (made,) = scene.engine.containers(f"{scene.project}-n")
    assert made.name == f"{scene.project}-n-web-1"
    scene.compose("down")
    scene.compose("-p", scene.project, "create")
    assert set(scene.ids()) == {"web-1"}


def test_profiles(scene: Scene) -> None:
    """Services of a profile must start only with it, or when they are named; `down` must find them anyway."""
    scene.up(PAIR + f"  debug: {{image: busybox, command: {WAIT}, profiles: [dev]}}\n")
    assert set(scene.ids()) == {"web-1", "db-1"}
    with scene.adds("debug-1"):
        scene.compose("--profile", "dev", "up", "-d")
    scene.compose("rm", "-sf", "debug", env={"COMPOSE_PROFILES": "dev"})
    with scene.adds("debug-1"):
        scene.compose("up", "-d", "debug")
    scene.compose("--profile", "*", "down")
    assert not scene.ids()


def test_several_files(scene: Scene) -> None:
    """Later `-f` files must change earlier ones, from the command line and from COMPOSE_FILE."""
    scene.file("a.yaml", SINGLE)
    scene.file("b.yaml", "services: {web: {environment: {A: b}}, more: {image: busybox}}")
    scene.compose("-f", "a.yaml", "-f", "b.yaml", "create")
    assert set(scene.ids()) == {"web-1", "more-1"}
    with scene.replaces():
        scene.compose("create", env={"COMPOSE_FILE": "a.yaml:b.yaml"})
    scene.compose("-f", "a.yaml", "-f", "b.yaml", "down")


def test_override_file(scene: Scene) -> None:
    """compose.override.yaml must be read without being named, and `.env` must fill in variables."""
    scene.file("compose.yaml", SINGLE.replace("busybox,", "busybox, hostname: '${NAME:-nobody}',"))
    scene.file("compose.override.yaml", "services: {web: {scale: 2}}")
    scene.file(".env", "NAME=from-dotenv\n")
    scene.compose("up", "-d")
    assert set(scene.ids()) == {"web-1", "web-2"}
    assert scene.compose("exec", "-T", "web", "hostname").stdout == "from-dotenv\n"


def test_labels(scene: Scene) -> None:
    """Containers must carry the labels that other tools look for, and the service's own."""
    scene.up(PAIR.replace("depends_on", "labels: {mine: yes please}\n    depends_on"))
    labels = scene.one("web").labels
    wanted = {
        "com.docker.compose.project": scene.project,
        "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.depends_on": "db:service_started:false",
        "com.docker.compose.project.working_dir": str(scene.folder),
        "com.docker.compose.project.config_files": str(scene.folder / "compose.yaml"),
        "mine": "yes please",
    }
    assert {name: labels.get(name) for name in wanted} == wanted


def test_dry_run(scene: Scene) -> None:
    """`--dry-run` must name what would happen, and do nothing."""
    scene.file("compose.yaml", PAIR)
    result = scene.compose("--dry-run", "up", "-d")
    assert f"{scene.project}-web-1" in result.stdout + result.stderr
    assert not scene.ids()
    assert not scene.networks()
