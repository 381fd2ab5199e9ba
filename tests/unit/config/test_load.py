"""From files to a project: discovery, selection, warnings, and what the typed model holds."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from pycompose.config.discover import find_project
from pycompose.config.load import LoadOptions, load
from pycompose.errors import ConfigError, ConfigErrors, DependencyCycle, UnknownService
from pycompose.model import Condition, Dependency, Port

from tests.support.requires import requires
from tests.unit.config.projects import load_files, load_text, write

ONE = "services: {a: {image: x}}"


def test_files_are_found_upward_with_their_override(tmp_path: Path) -> None:
    """From a folder below, the first folder above that has one."""
    write(tmp_path, {"compose.yaml": ONE, "compose.override.yml": ONE, "a/b/c.txt": ""})
    options = LoadOptions(working_dir=str(tmp_path / "a" / "b"), environment={})

    assert find_project(options).files == (f"{tmp_path}/compose.yaml", f"{tmp_path}/compose.override.yml")


@pytest.mark.parametrize(
    ("text", "environment", "given", "name"),
    (
        ("", {}, None, "some-project"),
        ("name: n-${V}", {"V": "v"}, None, "n-v"),
        ("name: n", {"COMPOSE_PROJECT_NAME": "e"}, None, "e"),
        ("name: n", {"COMPOSE_PROJECT_NAME": "e"}, "p", "p"),
    ),
)
def test_the_name_of_a_project(
    tmp_path: Path, text: str, environment: dict[str, str], given: str | None, name: str
) -> None:
    """-p, then the environment, then the file, then the folder, cleaned."""
    folder = tmp_path / "_Some-Project!"
    write(folder, {"compose.yaml": f"{text}\n{ONE}"})
    options = LoadOptions(working_dir=str(folder), environment=environment, project_name=given)

    assert load(options).name == name


@pytest.mark.parametrize(
    ("pwd", "name"),
    (
        ("{root}/current", "current"),
        ("{root}/releases/../current/.", "current"),
        ("{root}/other", "v10"),
        ("{root}/nothing", "v10"),
        ("current", "v10"),
        ("", "v10"),
    ),
)
def test_the_shell_names_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pwd: str, name: str
) -> None:
    """A link to the directory is its name as long as it leads there: releases change, volumes stay."""
    folder = tmp_path / "releases" / "v1.0"
    write(folder, {"compose.yaml": "services: {a: {image: x, volumes: ['./d:/d']}}"})
    (tmp_path / "other").mkdir()
    (tmp_path / "current").symlink_to("releases/v1.0")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", pwd.format(root=tmp_path))

    loaded = load(LoadOptions())

    assert loaded.name == name
    assert loaded.project.services["a"].volumes[0].source == f"{loaded.directory}/d"
    assert Path(loaded.directory).name == {"v10": "v1.0"}.get(name, name)
    assert ["symbolic link" in warning.text for warning in loaded.warnings] == [True] * (name == "current")


@pytest.mark.parametrize("where", ("-p", "name:", "directory"))
def test_a_name_that_no_directory_can_have(tmp_path: Path, where: str) -> None:
    """It is said at once, with the length that it may have: 128 letters are fine."""
    for count in (128, 129):
        name = "a" * count
        folder = tmp_path / (name if where == "directory" else "app")
        folder.mkdir(exist_ok=True)
        top = f"name: {name}\n" if where == "name:" else ""
        (folder / "compose.yaml").write_text(f"{top}services: {{web: {{image: x}}}}\n", encoding="ascii")
        options = LoadOptions(
            working_dir=str(folder), environment={}, project_name=name if where == "-p" else None
        )
        if count == 128:
            assert load(options).name == name
        else:
            with pytest.raises(ConfigError, match=r"project name is too long: 129 letters, a{20}…"):
                load(options)


def test_variables_of_dotenv_configure_the_load(tmp_path: Path) -> None:
    """COMPOSE_FILE and COMPOSE_PROFILES may stand in `.env`; the process environment wins."""
    write(
        tmp_path,
        {
            ".env": "COMPOSE_FILE=x.yaml\nCOMPOSE_PROFILES=p\nV=1",
            "x.yaml": "services: {a: {image: '$V', profiles: [p]}}",
        },
    )

    loaded = load_files(tmp_path, environment={"V": "2"})

    assert loaded.tree["services"]["a"]["image"] == "2"
    assert loaded.profiles == ("p",)


def test_profiles_switch_services_off(tmp_path: Path) -> None:
    """Disabled services are kept apart; naming one activates its profiles."""
    text = "services: {a: {image: x}, b: {image: x, profiles: [q]}}"

    assert list(load_text(tmp_path, text).disabled) == ["b"]
    assert list(load_text(tmp_path, text, profiles=("*",)).tree["services"]) == ["a", "b"]
    assert list(load_text(tmp_path, text, services=("b",)).tree["services"]) == ["b"]


def test_an_unknown_service_suggests_one(tmp_path: Path) -> None:
    """A typo on the command line."""
    with pytest.raises(UnknownService) as caught:
        load_text(tmp_path, "services: {database: {image: x}}", services=("databse",))

    assert caught.value.hint == 'did you mean "database"?'


def test_several_mistakes_are_reported_together(tmp_path: Path) -> None:
    """Each with file, line, column and path."""
    with pytest.raises(ConfigErrors) as caught:
        load_text(tmp_path, "services:\n  a:\n    imagee: x\n    ports: 80\n    restart: [no]\n")

    assert [str(error) for error in caught.value.errors] == [
        '0.yaml:3:5: services.a.imagee: unknown key "imagee"',
        "0.yaml:4:12: services.a.ports: found the number 80, expected a list",
        "0.yaml:5:14: services.a.restart: found a list, expected a string",
    ]
    assert caught.value.errors[0].hint == 'did you mean "image"?'


def test_a_cycle_of_dependencies_is_a_sentence(tmp_path: Path) -> None:
    """It begins and ends with the same service."""
    text = "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, links: [a]}}"
    with pytest.raises(DependencyCycle, match="a -> b -> c -> a"):
        load_text(tmp_path, text)


def test_an_unset_variable_is_warned_about_once(tmp_path: Path) -> None:
    """The place is that of the first use."""
    loaded = load_text(tmp_path, "services: {a: {image: x, hostname: $V, user: $V}}")

    assert [(str(warning.location), warning.text) for warning in loaded.warnings] == [
        ("0.yaml:1:36", 'the "V" variable is not set: using an empty string')
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    (
        ("services: {a: {image: '$I', ports: ['$P:x']}}", 'the variable "P" is not set'),
        ("services: {a: {image: x, volumes: ['$A$B:/t']}}", 'the variables "A", "B" are not set'),
        ("services: {b: {image: '$V'}, a: {image: $I}}", 'the variable "V" is not set; add image: or build:'),
        ("services: {b: {image: '$V'}, a: {image: 5}}", "put it in quotes"),
    ),
)
def test_the_variable_behind_an_error_is_named(tmp_path: Path, text: str, hint: str) -> None:
    """The one that stands where the error is; all unset ones are warned about although the load fails."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)

    assert (caught.value.hint or "").startswith(hint)
    assert all(
        warning.text.endswith("is not set: using an empty string") for warning in caught.value.warnings
    )
    assert len(caught.value.warnings) == text.count("$")


@pytest.mark.parametrize("missing", ("a.env", "/nowhere/a.env"))
def test_a_missing_file_is_named_once(tmp_path: Path, missing: str) -> None:
    """With its directory, when it is none below this one."""
    options: dict[str, Any]
    for options in ({"files": (missing,)}, {"env_files": (missing,)}):
        write(tmp_path, {"compose.yaml": ONE})
        with pytest.raises(ConfigError) as caught:
            load_files(tmp_path, **options)
        assert str(caught.value).count(missing) == 1
        assert str(caught.value).startswith(f"{missing}: cannot read the ")


def test_env_files_of_other_services_may_be_missing(tmp_path: Path) -> None:
    """Whoever names a service needs its files and those of what it depends on; existing containers need none."""
    text = (
        "services: {a: {image: x, env_file: a.env}, b: {image: x}, "
        "c: {image: x, env_file: c.env, depends_on: [b]}}"
    )
    write(tmp_path, {"c.env": "C=1"})

    assert load_text(tmp_path, text, services=("c",)).project.services["c"].environment == {"C": "1"}
    assert load_text(tmp_path, text, for_existing=True).project.services["a"].environment == {}
    with pytest.raises(ConfigError, match=r"services\.a\.env_file\[0\]: env file a.env not found"):
        load_text(tmp_path, text)


def test_exposed_ranges_are_ports(tmp_path: Path) -> None:
    """Each port of a range is exposed; what is no port stays as it is."""
    text = "services: {a: {image: x, expose: [80, 3000-3002/udp, '${P:-x}']}}"

    assert load_text(tmp_path, text).project.services["a"].expose == (
        "80",
        "3000/udp",
        "3001/udp",
        "3002/udp",
        "x",
    )


def test_what_has_no_effect_is_said_once(tmp_path: Path) -> None:
    """Swarm and Windows settings are accepted."""
    text = "services: {a: {image: x, cpu_count: 1}, b: {image: x, cpu_count: 1, command: 'a; b'}}"
    texts = [warning.text for warning in load_text(tmp_path, text).warnings]

    assert len(texts) == 2
    assert any("Windows" in text for text in texts)
    assert any("ends before '; b'" in text for text in texts)


def test_what_a_service_cannot_have_on_a_network_is_said(tmp_path: Path) -> None:
    """It is read and printed, and nothing comes of it."""
    loaded = load_text(tmp_path, "services: {a: {image: x, networks: {default: {driver_opts: {a: b}}}}}")

    (warning,) = loaded.warnings
    assert warning.text == "networks.default.driver_opts: a without effect: no driver here has it"


@pytest.mark.parametrize(
    ("driver", "option", "idle"),
    (
        ("bridge", "com.docker.network.driver.mtu", False),
        ("bridge", "parent", True),
        ("macvlan", "parent", False),
        ("macvlan", "ipvlan_mode", True),
        ("ipvlan", "ipvlan_flag", False),
        ("ipvlan", "com.docker.network.bridge.enable_icc", True),
    ),
)
def test_options_that_a_network_driver_lacks_are_said(
    tmp_path: Path, driver: str, option: str, *, idle: bool
) -> None:
    """Each driver has its own."""
    network = f"networks: {{n: {{driver: {driver}, driver_opts: {{{option}: '1'}}}}}}"
    loaded = load_text(tmp_path, f"services: {{a: {{image: x, networks: [n]}}}}\n{network}")

    wanted = [f"driver_opts: {option} without effect: the network driver has none of it"]
    assert [warning.text for warning in loaded.warnings] == (wanted if idle else [])


@pytest.mark.parametrize(
    ("networks", "said"),
    (
        ("[n]", True),
        ("[n, m]", True),
        ("[n, default]", False),
        ("[default]", False),
        ("[inner]", True),
        ("[inner, n]", True),
        ("[inner, default]", False),
        ("[inner, theirs]", False),
    ),
)
def test_ports_that_nobody_publishes_are_said(tmp_path: Path, networks: str, *, said: bool) -> None:
    """Where the machine routes to none of a service's networks."""
    text = f"""
services: {{a: {{image: x, ports: ['80:80'], networks: {networks}}}}}
networks:
  n: {{driver: macvlan}}
  m: {{driver: ipvlan}}
  inner: {{internal: true}}
  theirs: {{external: true}}
"""
    warnings = [warning.text for warning in load_text(tmp_path, text).warnings]

    assert any(text.startswith("ports: has no effect") for text in warnings) == said


@pytest.mark.parametrize(
    ("text", "environment", "user"),
    (
        ("${UID}:${GID}", {}, f"{os.getuid()}:{os.getgid()}"),
        ("$UID", {}, f"{os.getuid()}"),
        ("${UID}:${GID}", {"UID": "7", "GID": ""}, "7:"),
        ("${UID:-1000}:${GID-1001}", {}, "1000:1001"),
        ("x${UID:+set}", {}, "x"),
    ),
)
def test_who_runs_the_command(tmp_path: Path, text: str, environment: dict[str, str], user: str) -> None:
    """UID and GID have a value where Compose would warn and put nothing; what anybody says of them counts."""
    loaded = load_text(tmp_path, f"services: {{a: {{image: x, user: '{text}'}}}}", environment=environment)

    assert loaded.project.services["a"].user == user
    assert loaded.warnings == ()


@requires("root")
def test_who_ran_sudo(tmp_path: Path) -> None:
    """That user, unless root is nobody else; in env files too."""
    (tmp_path / ".env").write_text("OWNER=$UID:$GID\n", encoding="ascii")
    text = "services: {a: {image: x, user: '${UID}', environment: [GID, 'OWNER=${OWNER}']}}"
    loaded = load_text(tmp_path, text, environment={"SUDO_UID": "1234", "SUDO_GID": "99"})
    service = loaded.project.services["a"]

    assert (service.user, service.environment["OWNER"]) == ("1234", "1234:99")
    assert service.environment["GID"] is None  # it isn't set: nothing is passed on
    odd = load_text(tmp_path, text, environment={"SUDO_UID": "root"})
    assert odd.project.services["a"].user == "0"


def test_the_typed_model(tmp_path: Path) -> None:
    """Values with units, defaults and resolved names."""
    project = load_text(
        tmp_path,
        """
services:
  web:
    image: x
    ports: ["127.0.0.1:8000-8001:80", "53:53/udp", "9"]
    depends_on: {db: {condition: service_healthy}}
    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}}}
    stop_grace_period: 1m30s
    volumes: ["data:/data:ro", "./src:/src", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 1777}}]
    networks: {front: {aliases: [w]}, default: {priority: 5}}
    restart: on-failure:3
    secrets: [s]
    links: ["db:database"]
  db: {image: y, healthcheck: {test: "true", interval: 500ms}}
volumes: {data: }
networks: {front: {internal: true}}
secrets: {s: {environment: TOKEN}}
""",
        environment={"TOKEN": "t"},
    ).project
    assert project is not None
    web = project.services["web"]

    assert web.ports == (
        Port(target=80, published=(8000, 8001), host_ip="127.0.0.1"),
        Port(target=53, published=(53, 53), protocol="udp"),
        Port(target=9),
    )
    assert web.depends_on == (Dependency(service="db", condition=Condition.HEALTHY),)
    assert (web.replicas, web.limits.cpus, web.limits.memory_bytes, web.limits.pids) == (2, 0.5, 64 << 20, 9)
    assert web.stop_grace_s == 90
    assert [(mount.kind, mount.source, mount.read_only) for mount in web.volumes] == [
        ("volume", "data", True),
        ("bind", f"{tmp_path}/src", False),
        ("tmpfs", "", False),
    ]
    assert web.volumes[1].create_host_path
    assert web.volumes[2].tmpfs_size_bytes == 1 << 20
    assert [endpoint.network for endpoint in web.networks] == ["default", "front"]
    assert (web.restart.kind, web.restart.max_attempts) == ("on-failure", 3)
    assert web.links == (("db", "database"),)
    assert web.secrets[0].target == "/run/secrets/s"
    assert project.secrets["s"].environment == "t"
    health = project.services["db"].health
    assert health is not None
    assert (health.test, health.interval_s) == (("CMD-SHELL", "true"), 0.5)
    assert project.networks["front"].name == "p_front"
    assert project.networks["front"].internal
    assert project.volumes["data"].name == "p_data"


def test_the_hash_ignores_what_starts_the_same_container(tmp_path: Path) -> None:
    """Scale, order and build are not in it; the environment is."""

    def digest(service: str) -> str:
        project = load_text(tmp_path, f"services: {{a: {service}, b: {{image: y}}}}").project
        assert project is not None
        return project.services["a"].hash

    plain = digest("{image: x}")
    assert digest("{image: x, scale: 3, depends_on: [b], pull_policy: always}") == plain
    assert digest("{image: x, environment: {A: 1}}") != plain
    mount = "{image: x, volumes: [{type: bind, source: /d, target: /d%s}]}"
    assert digest(mount % "") != digest(mount % ", x-idmap: '1000:33'")


@pytest.mark.parametrize("what", ("a folder", "nothing", "no permission", "a pipe"))
def test_what_cannot_be_read_is_one_line(tmp_path: Path, what: str) -> None:
    """Never a traceback, never waiting."""
    path = tmp_path / "c.yaml"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "no permission":
        path.write_text(ONE)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root reads everything")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_files(tmp_path, files=("c.yaml",))


def test_what_crashes_docker_compose_is_an_error(tmp_path: Path) -> None:
    """A build context has to be text."""
    with pytest.raises(ConfigError, match=r"additional_contexts\.b: found the number 1, expected a string"):
        load_text(tmp_path, "services: {a: {build: {context: ., additional_contexts: {b: 1}}}}")


def test_a_namespace_without_a_value_is_none(tmp_path: Path) -> None:
    """Docker Compose crashes on it."""
    assert "pid" not in load_text(tmp_path, "services: {a: {image: x, pid: }}").tree["services"]["a"]


def test_a_network_is_of_an_enabled_service(tmp_path: Path) -> None:
    """Also where no dependency has been made of it."""
    text = 'services: {a: {image: x, network_mode: "service:b"}, b: {image: x, profiles: [p]}}'
    with pytest.raises(ConfigError, match="refers to service b, which is disabled"):
        load_text(tmp_path, text, normalize=False)


def test_what_a_named_service_needs_has_to_be_enabled(tmp_path: Path) -> None:
    """Where nothing checked it before."""
    text = "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}"
    with pytest.raises(UnknownService, match="no such service: b"):
        load_text(tmp_path, text, consistency=False, services=("a",))
    assert load_text(tmp_path, text, consistency=False).complete


def test_unknown_keys_of_gpus_are_remarked_upon(tmp_path: Path) -> None:
    """Docker Compose drops them in silence."""
    loaded = load_text(tmp_path, "services: {a: {image: x, gpus: [{count: 1, cuont: 2}]}}")

    assert [warning.text for warning in loaded.warnings] == [
        'unknown key "cuont" is ignored: allowed are capabilities, count, device_ids, driver, options',
    ]
    assert loaded.tree["services"]["a"]["gpus"] == [{"count": 1}]


def test_the_collector_runs_again_after_a_load(tmp_path: Path) -> None:
    """Also after one that fails."""
    with pytest.raises(ConfigError):
        load_text(tmp_path, "services: 5")

    assert gc.isenabled()
