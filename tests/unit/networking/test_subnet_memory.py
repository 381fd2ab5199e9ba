"""What is remembered of the subnets of networks that are gone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from pycompose.networking.subnet_memory import MOST, SubnetMemory

if TYPE_CHECKING:
    from pathlib import Path


def test_it_outlives_whoever_noted_it(tmp_path: Path) -> None:
    """The longest idle come first; a name is nobody else's."""
    memory = SubnetMemory(tmp_path / "root/subnets.json")
    for name, subnet in (
        ("a", "10.1.0.0/16"),
        ("b", "10.2.0.0/16"),
        ("c", "10.3.0.0/16"),
        ("a", "10.1.0.0/16"),
    ):
        memory.note(name, subnet)
    memory.save()

    again = SubnetMemory(tmp_path / "root/subnets.json")
    assert again.last("a") == ipaddress.ip_network("10.1.0.0/16")
    assert again.last("d") is None
    assert [str(subnet) for subnet in again.others("d")] == ["10.2.0.0/16", "10.3.0.0/16", "10.1.0.0/16"]
    assert [str(subnet) for subnet in again.others("b")] == ["10.3.0.0/16", "10.1.0.0/16"]


def test_names_that_come_once_push_none_out_that_come_again(tmp_path: Path) -> None:
    """Ten thousand test stacks cost no project its subnet."""
    memory = SubnetMemory(tmp_path / "subnets.json")
    for _ in range(2):
        memory.note("project_default", "172.20.0.0/16")
    for number in range(10_000):
        memory.note(f"project-{number:06x}_default", "10.128.0.0/24")

    assert memory.last("project_default") is not None
    assert len(memory.others("")) == MOST


@pytest.mark.parametrize(
    "text", ("", "{}", '{"schema": 1, "networks": 3}', '{"schema": 1, "networks": [["a", "x", 1]]}')
)
def test_a_damaged_file_is_nobodys_problem(tmp_path: Path, text: str) -> None:
    """It is written anew."""
    path = tmp_path / "subnets.json"
    path.write_text(text)
    memory = SubnetMemory(path)
    memory.note("a", "10.1.0.0/16")
    memory.save()

    assert str(SubnetMemory(path).last("a")) == "10.1.0.0/16"
