"""How a request is read: paths with and without versions, parameters, filters in both of their forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.api import containers, images, query, routes, sessions
from pycompose.api.errors import ApiError
from pycompose.api.execs import Attached, Execs
from pycompose.api.faults import fault, status_of
from pycompose.api.followers import Followers
from pycompose.api.http import ApiCall, Services
from pycompose.client.context import Context
from pycompose.engine.errors import PycomposeError, VolumeError
from pycompose.engine.paths import StatePaths

if TYPE_CHECKING:
    from collections.abc import Callable


def services() -> Services:
    """Return services that no request here gets as far as."""
    context = Context(paths=StatePaths(), sink=lambda _event: None)
    return Services(context=context, events=None, execs=Execs(), attached=Attached(), followers=Followers())  # type: ignore[arg-type]


def call(target: str, method: str = "GET") -> ApiCall:
    return routes.find(method, target, [], services())[1]


@pytest.mark.parametrize(
    ("target", "version"),
    (
        ("/v1.24/containers/json", (1, 24)),
        ("/v1.52/containers/json", (1, 52)),
        ("/v1.45/containers/json?all=1", (1, 45)),
        ("/containers/json", (1, 52)),
        ("http://docker/v1.41/containers/json", (1, 41)),
    ),
)
def test_versions_from_124_to_152_and_none(target: str, version: tuple[int, int]) -> None:
    found = call(target)
    assert (found.path, found.version) == ("/containers/json", version)


@pytest.mark.parametrize(
    ("version", "word"),
    (
        ("1.23", "too old"),
        ("1.53", "too new"),
        ("2.0", "too new"),
    ),
)
def test_other_versions_are_refused_with_docker_s_words(version: str, word: str) -> None:
    with pytest.raises(ApiError, match=f"client version {version} is {word}") as refused:
        call(f"/v{version}/version")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("method", "target", "status"),
    (
        ("GET", "/nonsense", 404),
        ("PUT", "/containers/json", 404),
        ("POST", "/swarm/init", 503),
        ("GET", "/v1.45/services", 503),
    ),
)
def test_what_is_not_there(method: str, target: str, status: int) -> None:
    with pytest.raises(ApiError) as refused:
        call(target, method)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("target", "place"),
    (
        ("//version", "/version"),
        ("/v1.45//version", "/v1.45/version"),
        ("/containers//json?all=1", "/containers/json?all=1"),
        ("/./version", "/version"),
        ("/v1.45/../version", "/version"),
        ("/../..//", "/"),
        ("/containers//x/", "/containers/x/"),
        ("//[", "/["),
    ),
)
@pytest.mark.parametrize("method", ("GET", "POST", "OPTIONS"))
def test_a_path_is_cleaned_by_who_asks(target: str, place: str, method: str) -> None:
    """As dockerd's router: the client is told the place, and asks again there."""
    route, found = routes.find(method, target, [], services())
    answer = route.handler()(found)
    assert (answer.status, dict(answer.headers)["Location"], answer.body) == (301, place, b"")


@pytest.mark.parametrize("target", ("/version", "/v1.45/containers/json", "/nonsense"))
def test_options_of_anything(target: str) -> None:
    route, found = routes.find("OPTIONS", target, [], services())
    assert (route.handler()(found).status, route.handler()(found).body) == (200, b"")


def test_names_of_images_have_slashes() -> None:
    assert call("/images/registry.example:5000/a/b:c/json").names == ("registry.example:5000/a/b:c",)
    assert call("/images/a%2Fb/json").names == ("a/b",)
    assert call("/images/get?names=a&names=b").names == ()


@pytest.mark.parametrize(
    "filters",
    (
        {"label": {"a=b": True, "c": True}, "status": {"running": True, "paused": False}},
        {"label": ["a=b", "c"], "status": ["running"]},
    ),
)
def test_filters_of_go_and_of_everybody_else(filters: object) -> None:
    found = query.filters(call(f"/containers/json?filters={quote(json.dumps(filters))}"))
    assert found == ["label=a=b", "label=c", "status=running"]


@pytest.mark.parametrize(
    "text",
    (
        "{",
        "[]",
        '"x"',
        '{"label": [{}]}',
        '{"name": "x"}',
        "[" * 5000,
    ),
)
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(ApiError, match="invalid filter"):
        query.filters(call(f"/containers/json?filters={quote(text)}"))


def test_what_a_prune_is_to_spare_has_to_be_understood() -> None:
    found = call("/containers/prune?filters=" + quote('{"label": ["a"], "label!": ["b=c"]}'), "POST")
    assert query.label_filters(query.sparing(found, "label", "until")) == (["a"], ["b=c"])
    for text in ('{"bogus": ["1"]}', '{"labels": ["a"]}', '{"dangling": ["true"]}'):
        with pytest.raises(ApiError, match="invalid filter '"):
            query.sparing(call(f"/containers/prune?filters={quote(text)}", "POST"), "label", "until")


@pytest.mark.parametrize(
    ("listing", "filters"),
    (
        (containers.listing, {"status": ["bogus"]}),
        (containers.listing, {"health": ["bogus"]}),
        (containers.listing, {"exited": ["abc"]}),
        (images.listing, {"until": ["zz"]}),
    ),
)
def test_values_that_nothing_has(listing: Callable[[ApiCall], object], filters: dict[str, list[str]]) -> None:
    with pytest.raises(PycomposeError) as error:
        listing(call(f"/images/json?filters={quote(json.dumps(filters))}"))
    assert status_of(error.value) == 400


@pytest.mark.parametrize(
    ("error", "message"),
    (
        (PycomposeError("--filter a=1: cannot be used", hint="known: b"), "invalid filter 'a=1' (known: b)"),
        (
            VolumeError("volume v: no such volume", hint="see: pycompose volume ls"),
            "volume v: no such volume",
        ),
    ),
)
def test_flags_and_commands_of_ours_are_not_the_client_s(error: PycomposeError, message: str) -> None:
    assert json.loads(fault(error).body) == {"message": message}


@pytest.mark.parametrize("keys", ("ctrl-1", "ctrl-P", "ctrl", "a,", "\xe9"))
def test_keys_that_are_none(keys: str) -> None:
    with pytest.raises(ApiError, match="Invalid detach keys") as error:
        sessions.attach(call(f"/containers/x/attach?stream=1&detachKeys={quote(keys)}", "POST"))
    assert error.value.status == 400


@pytest.mark.parametrize("keys", ("", "ctrl-p,ctrl-q", "a,ctrl-@,ctrl-\\,DEL", "ctrl-]"))
def test_keys(keys: str) -> None:
    assert query.detach_keys(keys) == keys


@pytest.mark.parametrize("text", ("zz", "1x", "-"))
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(ApiError, match="no time") as error:
        query.until(call(f"/containers/prune?filters={quote(json.dumps({'until': [text]}))}", "POST"))
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("body", "document"),
    (
        (b"", {}),
        (b"null", {}),
        (b'{"a": "\\ud800"}', {"a": "\ufffd"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
    ),
)
def test_bodies(body: bytes, document: dict[str, str]) -> None:
    found = call("/containers/create", "POST")
    found.body = body
    assert found.document() == document


@pytest.mark.parametrize("body", (b"{", b"[]", b'"x"', b"{}{}", b'{"a": NaN}', b"[" * 100_000))
def test_bodies_that_are_none(body: bytes) -> None:
    found = call("/containers/create", "POST")
    found.body = body
    with pytest.raises(ApiError, match="invalid JSON") as error:
        found.document()
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    (
        ("0", 0),
        ("1136073600", 1136073600_000000000),
        ("1136073600.5", 1136073600_500000000),
        ("1136073600.000000001", 1136073600_000000001),
        ("2006-01-01T00:00:00Z", 1136073600_000000000),
        ("2006-01-01T01:00:00.25%2B01:00", 1136073600_250000000),
    ),
)
def test_moments(text: str, moment_ns: int) -> None:
    assert query.moment(call(f"/events?since={text}"), "since") == moment_ns


@pytest.mark.parametrize(
    ("text", "truth"),
    (
        ("1", True),
        ("true", True),
        ("True", True),
        ("yes", True),
        ("0", False),
        ("False", False),
    ),
)
def test_truth(text: str, *, truth: bool) -> None:
    assert query.flag(call(f"/containers/json?all={text}"), "all") is truth


@given(st.sampled_from(["GET", "POST", "HEAD", "DELETE"]), st.text(max_size=200))
def test_no_path_brings_anything_but_an_answer_or_an_api_error(method: str, text: str) -> None:
    """Whatever is asked for."""
    try:
        found = call(
            "/" + text.encode("utf-8", "surrogatepass").hex() + quote(text, safe="/?&=%[]:@"), method
        )
        query.filters(found)
        query.moment(found, "since")
        query.number(found, "t")
    except PycomposeError as exc:
        assert isinstance(exc, ApiError)  # noqa: PT017 - which one is the point
