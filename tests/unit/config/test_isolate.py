"""Copies of a project that may run beside others: what loses its fixed place, and what services still find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.config.load import load
from pycompose.config.options import LoadOptions
from pycompose.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.config.load import Loaded


def isolated(folder: Path, text: str, **options: Any) -> Loaded:
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    return load(
        LoadOptions(
            files=(str(folder / "compose.yaml"),),
            environment={},
            name_suffix="-1",
            **{"isolated": True, **options},
        )
    )


def test_nothing_has_a_fixed_place(tmp_path: Path) -> None:
    found = isolated(
        tmp_path,
        """
        name: shop
        services:
          db:
            image: x
            container_name: the-db
            ports: ["5432:5432", "[::1]:81:81", "0.0.0.0:90-91:90-91/udp"]
            volumes: [data:/data, other:/other]
            networks: {back: {ipv4_address: 10.5.0.5, aliases: [base]}, front: }
          api: {image: x, network_mode: "container:the-db", pid: "container:elsewhere"}
        networks:
          back: {name: fixed, ipam: {config: [{subnet: 10.5.0.0/16}]}}
          front: {external: true, name: proxy}
        volumes: {data: {name: prod}, other: {external: true}}
        """,
    )
    db, api = found.tree["services"]["db"], found.tree["services"]["api"]
    assert found.name == "shop-1"
    assert "container_name" not in db
    assert [(p["host_ip"], p["target"], p.get("published")) for p in db["ports"]] == [
        ("127.0.0.1", 5432, None), ("::1", 81, None), ("127.0.0.1", 90, None), ("127.0.0.1", 91, None),
    ]  # fmt: skip
    assert db["networks"] == {"back": {"aliases": ["base", "the-db"]}, "front": {"aliases": ["the-db"]}}
    assert api["network_mode"] == "service:db"
    assert api["depends_on"]["db"]["condition"] == "service_started"
    assert api["pid"] == "container:elsewhere"
    assert {key: network["name"] for key, network in found.tree["networks"].items()} == {
        "back": "shop-1_back", "front": "shop-1_front",
    }  # fmt: skip
    assert {key: volume["name"] for key, volume in found.tree["volumes"].items()} == {
        "data": "shop-1_data", "other": "shop-1_other",
    }  # fmt: skip
    texts = [warning.text for warning in found.warnings]
    assert any("network back: an isolated project has a subnet" in text for text in texts)
    assert any("volume other: is external" in text for text in texts)
    assert any("network front: is external" in text for text in texts)


def test_a_container_name_is_known_on_the_default_network(tmp_path: Path) -> None:
    found = isolated(tmp_path, "services: {db: {image: x, container_name: the-db}}\n")
    assert found.tree["services"]["db"]["networks"] == {"default": {"aliases": ["the-db"]}}


def test_only_ports_are_freed(tmp_path: Path) -> None:
    text = "name: shop\nservices: {db: {image: x, container_name: the-db, ports: ['127.0.0.2:5432:5432']}}\n"
    found = isolated(tmp_path, text, isolated=False, random_ports=True)
    db = found.tree["services"]["db"]
    assert db["container_name"] == "the-db"
    assert [(p["host_ip"], p.get("published")) for p in db["ports"]] == [("127.0.0.2", None)]


def test_overrides_are_files_behind_the_others(tmp_path: Path) -> None:
    text = "services: {db: {image: x, environment: [A=1, B=1]}}\n"
    override = {"services": {"db": {"environment": {"B": 2, "C": "${COMPOSE_PROJECT_NAME}"}}}}
    found = isolated(tmp_path, text, overrides=(override, {"services": {"db": {"image": "y"}}}))
    assert found.tree["services"]["db"]["image"] == "y"
    assert found.tree["services"]["db"]["environment"] == {"A": "1", "B": "2", "C": found.name}
    assert found.files == (str(tmp_path / "compose.yaml"),)


def test_a_bad_override_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"services\.db\.imag"):
        isolated(tmp_path, "services: {db: {image: x}}\n", overrides=({"services": {"db": {"imag": "y"}}},))


def test_volumes_come_from_the_copys_own_containers_and_never_from_anothers(tmp_path: Path) -> None:
    found = isolated(
        tmp_path,
        """
        services:
          files: {image: x, container_name: the-files, volumes: [data:/data]}
          a: {image: x, volumes_from: ["container:the-files:ro", "container:elsewhere", files]}
          b: {image: x, volumes_from: ["container:elsewhere:rw"]}
        volumes: {data: }
        """,
    )
    services = found.tree["services"]
    assert services["a"]["volumes_from"] == ["files:ro", "files"]
    assert services["a"]["depends_on"]["files"]["condition"] == "service_started"
    assert not services["b"].get("volumes_from")
    (first, second) = [w for w in found.warnings if "leaves other projects' volumes alone" in w.text]
    assert "service a: volumes_from container:elsewhere:" in first.text
    assert str(first.location).endswith("compose.yaml:4:66")
    assert "service b" in second.text


def test_a_bridge_has_a_name_of_its_own(tmp_path: Path) -> None:
    option = "com.docker.network.bridge.name"
    other = "com.docker.network.driver.mtu"
    text = f"""
        services: {{a: {{image: x}}}}
        networks: {{default: {{driver_opts: {{{option}: br-shop, {other}: "1400"}}}}}}
        """
    assert isolated(tmp_path, text).tree["networks"]["default"]["driver_opts"] == {other: "1400"}
