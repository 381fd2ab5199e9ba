"""The published schema of `x-test` says of each example what the loader says."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.config.load import load
from pycompose.config.options import LoadOptions
from pycompose.errors import ConfigError
from pycompose.testing import suites
from pycompose.testing.stack import RESETS

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, Any] = json.loads(
    resources.files("pycompose.testing").joinpath("x-test.schema.json").read_text("utf-8")
)
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def is_of(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Judge a value by the words of JSON Schema 2020-12 that the file uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    kinds = schema.get("type", list(TYPES))
    if not any(is_of(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(value, choice) for choice in schema["anyOf"]):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            fits(v, schema.get("items", {})) for v in value
        )
    if isinstance(value, dict):
        if not set(schema.get("required", ())) <= value.keys():
            return False
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        return all(
            fits(item, known.get(key, other))
            for key, item in value.items()
            if key in known or other is not False
        ) and (other is not False or value.keys() <= known.keys())
    return True


def loads(folder: Path, value: Any) -> bool:
    model = {
        "services": {
            "db": {"image": "x"},
            "api": {"image": "x"},
            "tests": {"image": "x", "x-test": value},
        }
    }
    (folder / "compose.yaml").write_text(json.dumps(model), encoding="utf-8")
    found = load(LoadOptions(files=(str(folder / "compose.yaml"),), environment={}, working_dir=str(folder)))
    try:
        suites.read_suite(found, "tests")
    except ConfigError:
        return False
    return True


def fault(**what: Any) -> dict[str, Any]:
    return {"scenarios": {"s": {"faults": [what]}}}


GOOD = (
    None, {}, {"command": "pytest -q"}, {"command": ["sleep", 5]}, {"command": None},
    {"reset": "snapshot"}, {"reset": None}, {"timeout": "1m30s"}, {"timeout": 90}, {"timeout": "500ms"},
    {"wait": {"db": "healthy"}}, {"wait": {"db": {"tcp": 5432, "log": "ready"}}}, {"wait": None},
    {"wait": {"db": {"http": "8000/health"}}}, {"wait": {"db": {"http": 8000}}},
    {"wait": {"db": {"file": "/x", "command": "true", "state": "running"}}},
    {"scenarios": None}, {"scenarios": {"s": None}}, {"scenarios": {"s": {"command": "x", "timeout": 1}}},
    {"scenarios": {"s": {"faults": None}}}, {"scenarios": {"s": {"faults": []}}},
    fault(service="db", latency="50ms", jitter=0.01), fault(service="db", loss=5),
    fault(service="db", bandwidth="1mbit"), fault(service="db", bandwidth=8000), fault(service="db", disconnect="back"),
    fault(service="db", stop=True), fault(service="db", kill=True), fault(service="db", freeze=False),
    fault(partition=["db", "tests"]), fault(cut_off="db"), fault(cut_off=["db", "api"]),
)  # fmt: skip
BAD = (
    [], "x", True, {"comand": "x"}, {"command": {}}, {"command": [[]]}, {"command": True}, {"reset": "never"},
    {"timeout": "soon"}, {"timeout": []}, {"timeout": -1}, {"wait": []}, {"wait": {"db": "nice"}},
    {"wait": {"db": {"tcp": "x"}}}, {"wait": {"db": {"tcp": True}}}, {"wait": {"db": {"tcp": 70000}}},
    {"wait": {"db": {"icmp": 1}}},
    {"wait": {"db": {"http": "x"}}}, {"wait": {"db": {"state": "nice"}}}, {"scenarios": []},
    {"scenarios": {"s": 1}}, {"scenarios": {"s": {"reset": "snapshot"}}}, {"scenarios": {"s": {"faults": {}}}},
    fault(), fault(service="db"), fault(loss=5), fault(service="db", jitter=1), fault(service="db", lag=1),
    fault(service="db", loss=150), fault(service="db", loss=-1), fault(service="db", loss="5"),
    fault(service="db", loss=True), fault(service="db", latency=True),
    fault(service="db", stop="yes"), fault(service="db", latency=-1), fault(partition=["db"]), fault(partition="db"),
    fault(cut_off=None), fault(service=5, loss=1),
)  # fmt: skip


@pytest.mark.parametrize("value", GOOD, ids=json.dumps)
def test_what_is_good_fits(tmp_path: Path, value: Any) -> None:
    assert fits(value, SCHEMA)
    assert loads(tmp_path, value)


@pytest.mark.parametrize("value", BAD, ids=json.dumps)
def test_what_is_wrong_does_not(tmp_path: Path, value: Any) -> None:
    assert not fits(value, SCHEMA)
    assert not loads(tmp_path, value)


def test_it_has_the_loaders_words() -> None:
    own, defs = SCHEMA["properties"], SCHEMA["$defs"]
    wait = own["wait"]["additionalProperties"]["anyOf"][1]
    scenario = own["scenarios"]["additionalProperties"]
    assert set(own) == set(suites.KEYS)
    assert set(scenario["properties"]) == set(suites.SCENARIO_KEYS)
    assert set(wait["properties"]) == set(suites.WAITS)
    assert set(defs["fault"]["properties"]) == {"service", "partition", "cut_off", *suites.FAULTS}
    assert set(own["reset"]["enum"]) == {*RESETS, None}
    assert set(defs["state"]["enum"]) == set(suites.STATES)
