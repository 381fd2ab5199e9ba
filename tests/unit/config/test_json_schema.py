"""The JSON schema says what the loader says: of random values of every key, and of the documents' examples."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pycompose.cli.main import main
from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.json_schema import EXTENSIONS, schema
from pycompose.config.validate import _Validator, object_of
from pycompose.kube.settings import schemas
from pycompose.testing.schema import extension

from tests.support.sources import REPOSITORY

SCHEMA = schema(extension(), schemas())
SCALARS = st.one_of(
    st.sampled_from([
        "", "x", "8080", "a b", "./x", "host", "service_started", "always", "sync", "bind", "z", "enabled", "all",
        "private", "x=1", "start-first", "never", "daily",
    ]),
    st.integers(-2000, 2000),
    st.sampled_from([0.5, -1.5, 2.0]),
    st.booleans(),
    st.none(),
)  # fmt: skip
NAMES = st.sampled_from(
    ["a", "b.c", "x-y", "soft", "hard", "path", "source", "target", "command", "type", "a b", ""]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3, unique_by=json.dumps) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from([(name, key) for name, keys in ATTRIBUTES.items() for key in keys])


def loader_takes(name: str, value: dict[str, Any]) -> bool:
    """Tell whether validate.py finds nothing wrong."""
    check = _Validator(value)  # type: ignore[arg-type] - places aren't needed
    check.object(value, object_of(name), ())
    return not check.errors


def schema_takes(name: str, value: Any) -> bool:
    """Tell whether the schema finds nothing wrong."""
    found = SCHEMA if name == "project" else {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}
    return bool(Draft202012Validator(found).is_valid(value))


@given(place=KEYS, value=VALUES)
@settings(max_examples=1500, deadline=None)
def test_both_take_the_same(place: tuple[str, str], value: object) -> None:
    """One key at a time; what is required is given its absence on both sides."""
    name, key = place
    assert loader_takes(name, {key: value}) == schema_takes(name, {key: value}), (name, key, value)


def test_unknown_keys_and_extensions() -> None:
    """`x-` is for everybody; the rest is an error, which editors show while one types."""
    for name in ATTRIBUTES:
        for key in ("x-mine", "imagee"):
            assert loader_takes(name, {key: 1}) == schema_takes(name, {key: 1}), (name, key)


def test_it_is_a_schema() -> None:
    """By the schema of schemas, and as `config --schema` prints it, which needs no compose file."""
    Draft202012Validator.check_schema(SCHEMA)


def test_the_command_prints_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    assert main(["config", "--schema", "-o", "schema.json"]) == 0
    assert json.loads((tmp_path / "schema.json").read_text())["title"] == SCHEMA["title"]


def test_our_keys_are_known() -> None:
    """Each key of the document is in the schema, each of the schema in the document, and its examples are valid."""
    text = (REPOSITORY / "docs/extensions.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert {key for title in titles for key in title.split(", ")} == {
        key for keys in (*EXTENSIONS.values(), *extension().values(), *schemas().values()) for key in keys
    }
    for example in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        errors = [
            error.message for error in Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(example))
        ]
        assert errors == [], example


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("service", {"x-ready": {}}),
        ("service", {"x-ready": {"udp": 1}}),
        ("service", {"x-restart-on": "always"}),
        ("service", {"x-stop-wait": "yes"}),
        ("service", {"x-socket": {"allow": ["everything"]}}),
        ("service", {"x-socket": {"projects": "mine"}}),
        ("service", {"x-test": {"wait": {"db": {"tcp": 70000}}}}),
        ("service", {"x-test": {"timeout": "soon"}}),
        ("service", {"x-test": {"scenarios": {"lost": {"faults": [{"service": "db", "loss": 150}]}}}}),
        ("service", {"x-kube": {"expose": "ingress"}}),
        ("volume", {"x-kube": {"class": "fast"}}),
        ("watch", {"path": ".", "action": "sync", "x-on-unmatched": "build"}),
        ("mount", {"type": "bind", "x-idmap": "1000"}),
    ),
)
def test_our_keys_are_checked(name: str, value: object) -> None:
    assert not schema_takes(name, value)
