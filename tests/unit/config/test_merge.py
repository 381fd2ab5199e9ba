"""How files and services are laid over each other; the corpus has every path, here are the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pycompose.errors import ConfigError

from tests.unit.config.projects import load_files, load_text, write


def merged(folder: Path, base: str, over: str) -> Any:
    """Return service `a` of two files."""
    return load_text(folder, f"services: {{a: {base}}}", f"services: {{a: {over}}}").tree["services"]["a"]


def test_mappings_merge_lists_append_scalars_replace(tmp_path: Path) -> None:
    """The three rules without exceptions."""
    service = merged(
        tmp_path,
        "{image: x, hostname: h, external_links: [a], logging: {options: {a: 1}}}",
        "{image: y, external_links: [b], logging: {options: {b: 2}}}",
    )

    assert service["image"] == "y"
    assert service["hostname"] == "h"
    assert service["external_links"] == ["a", "b"]
    assert service["logging"] == {"options": {"a": "1", "b": "2"}}


def test_commands_replace_and_environments_mix_their_forms(tmp_path: Path) -> None:
    """A list over a mapping; a later value wins."""
    service = merged(
        tmp_path,
        "{image: x, command: [a, b], environment: {A: 1, B: 1}}",
        "{command: c d, environment: [B=2, C=3]}",
    )

    assert service["command"] == ["c", "d"]
    assert service["environment"] == {"A": "1", "B": "2", "C": "3"}


def test_an_item_with_the_same_identity_takes_the_place(tmp_path: Path) -> None:
    """Volumes are told apart by their target, ports by all they say."""
    service = merged(
        tmp_path,
        "{image: x, volumes: ['./a:/a', './b:/b'], ports: ['80:80']}",
        "{volumes: ['./c:/a:ro'], ports: ['80:80', '81:80']}",
    )

    assert [(mount["source"], mount["target"]) for mount in service["volumes"]] == [
        (f"{tmp_path}/c", "/a"),
        (f"{tmp_path}/b", "/b"),
    ]
    assert [port["published"] for port in service["ports"]] == ["80", "81"]


def test_nothing_overrides_nothing(tmp_path: Path) -> None:
    """A key without a value leaves what was there."""
    assert merged(tmp_path, "{image: x, hostname: h}", "{hostname: }")["hostname"] == "h"


def test_another_logging_driver_starts_anew(tmp_path: Path) -> None:
    """Options of one driver mean nothing to another."""
    service = merged(tmp_path, "{image: x, logging: {driver: a, options: {o: 1}}}", "{logging: {driver: b}}")

    assert service["logging"] == {"driver": "b"}


def test_kinds_that_dont_fit_name_both(tmp_path: Path) -> None:
    """The place is that of the override, and there is a way out."""
    with pytest.raises(ConfigError) as caught:
        merged(tmp_path, "{image: x, healthcheck: {test: a}}", "{healthcheck: [a]}")

    assert str(caught.value) == (
        "1.yaml:1:29: services.a.healthcheck: cannot override services.a.healthcheck: "
        "it is a mapping, this is a list"
    )
    assert "!override" in str(caught.value.hint)


def test_reset_and_override(tmp_path: Path) -> None:
    """`!reset` removes, `!override` replaces without merging."""
    service = merged(
        tmp_path,
        "{image: x, ports: ['80:80'], environment: {A: 1}}",
        "{ports: !reset null, environment: !override {B: 2}}",
    )

    assert "ports" not in service
    assert service["environment"] == {"B": "2"}


def test_extends_follows_chains_and_rebases_paths(tmp_path: Path) -> None:
    """A ← b (same file) ← c (another folder): values of all, paths relative to their own file."""
    write(
        tmp_path,
        {
            "compose.yaml": "services: {a: {extends: b, hostname: a}, b: {extends: {file: sub/c.yaml, service: c}}}",
            "sub/c.yaml": "services: {c: {image: x, hostname: c, volumes: ['./d:/d'], env_file: c.env}}",
            "sub/c.env": "C=1",
        },
    )
    service = load_files(tmp_path).tree["services"]["a"]

    assert (service["image"], service["hostname"]) == ("x", "a")
    assert service["volumes"][0]["source"] == f"{tmp_path}/sub/d"
    assert service["environment"] == {"C": "1"}


def test_a_long_chain_of_extends_is_fine(tmp_path: Path) -> None:
    """A thousand steps need no stack."""
    services = ["a0: {image: x}", *(f"a{n}: {{extends: a{n - 1}}}" for n in range(1, 1000))]
    services.reverse()

    loaded = load_text(tmp_path, f"services: {{{', '.join(services)}}}")

    assert loaded.tree["services"]["a999"]["image"] == "x"


def test_a_circle_of_extends_is_a_sentence(tmp_path: Path) -> None:
    """Every step names its file."""
    with pytest.raises(ConfigError, match=r"circle: a \(0.yaml\) -> b \(0.yaml\) -> a \(0.yaml\)"):
        load_text(tmp_path, "services: {a: {extends: b}, b: {extends: a}}")


def test_include_has_its_own_directory_and_variables(tmp_path: Path) -> None:
    """Paths and `.env` are those of the included folder; the environment still wins."""
    write(
        tmp_path,
        {
            "compose.yaml": "include: [sub/compose.yaml]\nservices: {a: {image: x, depends_on: [b]}}",
            "sub/compose.yaml": "services: {b: {image: '${V}-${W}', volumes: ['./d:/d']}}",
            "sub/.env": "V=v\nW=w",
        },
    )
    service = load_files(tmp_path, environment={"W": "outer"}).tree["services"]["b"]

    assert service["image"] == "v-outer"
    assert service["volumes"][0]["source"] == f"{tmp_path}/sub/d"


def test_the_including_file_overrides_what_it_includes(tmp_path: Path) -> None:
    """The same service in both merges."""
    write(
        tmp_path,
        {
            "compose.yaml": "include: [b.yaml]\nservices: {b: {hostname: h}}",
            "b.yaml": "services: {b: {image: x, hostname: g}}",
        },
    )

    assert dict(load_files(tmp_path).tree["services"]["b"]).items() >= {"image": "x", "hostname": "h"}.items()


def test_a_circle_of_includes_is_a_sentence(tmp_path: Path) -> None:
    """The path shows the files."""
    write(
        tmp_path,
        {
            "compose.yaml": "include: [b.yaml]\nservices: {a: {image: x}}",
            "b.yaml": "include: [compose.yaml]\nservices: {b: {image: x}}",
        },
    )
    with pytest.raises(ConfigError, match=r"circle: compose\.yaml -> b\.yaml -> compose\.yaml"):
        load_files(tmp_path)
