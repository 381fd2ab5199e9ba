"""Credentials: Docker's config.json, helpers, and the headers that ask for them."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import AuthError
from pycompose.engine.images.registry.auth import Challenge, Credentials, CredentialStore, parse_challenges

AUTH = base64.b64encode(b"user:pass:word").decode()


def store(home: Path, config: object | None = None, path: str = "") -> CredentialStore:
    """Return a store on a config.json with this content."""
    (home / ".docker").mkdir(exist_ok=True)
    if config is not None:
        (home / ".docker/config.json").write_text(json.dumps(config), encoding="utf-8")
    return CredentialStore({"HOME": str(home), "PATH": path})


@pytest.mark.parametrize(
    ("key", "domain"),
    (
        ("registry.example", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("https://index.docker.io/v1/", "docker.io"),
    ),
)
def test_auths_are_found_under_old_and_new_keys(tmp_path: Path, key: str, domain: str) -> None:
    """Older clients wrote URLs."""
    found = store(tmp_path, {"auths": {key: {"auth": AUTH}}}).get(domain)

    assert found == Credentials(username="user", password="pass:word")


def test_no_file_and_no_entry_are_no_credentials(tmp_path: Path) -> None:
    """Both are normal."""
    assert store(tmp_path).get("a.example") is None
    assert store(tmp_path, {"auths": {"a.example": {}}}).get("a.example") is None
    assert store(tmp_path, {"auths": {"a.example": {"auth": AUTH}}}).get("b.example") is None


def test_put_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    """Other keys and other registries stay; the file is for its owner only."""
    credentials = store(tmp_path, {"HttpHeaders": {"A": "b"}, "auths": {"x.example": {"auth": AUTH}}})

    credentials.put("y.example", Credentials(username="me", password="secret"))

    value = json.loads(credentials.path.read_text(encoding="utf-8"))
    assert (value["HttpHeaders"], sorted(value["auths"])) == ({"A": "b"}, ["x.example", "y.example"])
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o600
    assert credentials.get("y.example") == Credentials(username="me", password="secret")


def test_erase_forgets_one_registry(tmp_path: Path) -> None:
    """Under whichever key it stands."""
    credentials = store(
        tmp_path, {"auths": {"https://x.example/v1/": {"auth": AUTH}, "y.example": {"auth": AUTH}}}
    )

    assert credentials.erase("x.example")
    assert not credentials.erase("x.example")
    assert credentials.get("x.example") is None
    assert credentials.get("y.example") is not None


HELPER = """#!/bin/sh
read server
case $1 in
get) case "$server" in
     token.example) echo '{"ServerURL":"s","Username":"<token>","Secret":"t0"}';;
     gone.example) echo 'credentials not found in native keychain'; exit 1;;
     bad.example) echo 'the keychain is locked'; exit 1;;
     odd.example) echo 'hello';;
     *) echo '{"ServerURL":"s","Username":"'"$server"'","Secret":"s"}';;
     esac;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path) -> str:
    """Install a credential helper, return its PATH."""
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER, encoding="ascii")
    program.chmod(0o755)
    return f"{tmp_path}:/usr/bin:/bin"


def test_a_helper_answers(tmp_path: Path, helper: str) -> None:
    """The server goes to its standard input; `<token>` is an identity token; "not found" is none."""
    credentials = store(tmp_path, {"credsStore": "test"}, helper)

    assert credentials.get("docker.io") == Credentials(username="https://index.docker.io/v1/", password="s")
    assert credentials.get("token.example") == Credentials(identity_token="t0")
    assert credentials.get("gone.example") is None


@pytest.mark.parametrize(
    ("domain", "reason"), (("bad.example", "the keychain is locked"), ("odd.example", "something else"))
)
def test_a_broken_helper_is_named(tmp_path: Path, helper: str, domain: str, reason: str) -> None:
    """Its own words are passed on."""
    credentials = store(tmp_path, {"credHelpers": {domain: "test"}}, helper)

    with pytest.raises(AuthError, match=f"credential helper test: .*{reason}"):
        credentials.get(domain)


@pytest.mark.parametrize(
    ("config", "reason"),
    (
        ({"credsStore": "../evil"}, "is not the name of a credential helper"),
        ({"credsStore": "missing"}, "docker-credential-missing is not installed"),
        ({"auths": {"a.example": {"auth": "!!!"}}}, "not base64"),
        ({"auths": {"a.example": {"auth": base64.b64encode(b"user").decode()}}}, "no user and password"),
    ),
)
def test_bad_configurations_are_told(tmp_path: Path, config: object, reason: str) -> None:
    """A helper's name is part of a program's name: nothing else is taken."""
    with pytest.raises(AuthError, match=reason):
        store(tmp_path, config).get("a.example")


def test_secrets_are_not_in_the_text_of_credentials() -> None:
    """They can't slip into a log by accident."""
    assert "s3cret" not in repr(Credentials(username="u", password="s3cret", identity_token="s3cret"))


@pytest.mark.parametrize(
    ("header", "challenges"),
    (
        (
            'Bearer realm="https://auth.example/token",service="reg",scope="repository:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "reg",
                        "scope": "repository:a:pull,push",
                    },
                )
            ],
        ),
        (
            'Basic realm="a, b", Bearer realm="c"',
            [Challenge("basic", {"realm": "a, b"}), Challenge("bearer", {"realm": "c"})],
        ),
        ("Negotiate, Basic realm=x", [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
        (r'Basic realm="a\"b"', [Challenge("basic", {"realm": 'a"b'})]),
        ("", []),
    ),
)
def test_challenges(header: str, challenges: list[Challenge]) -> None:
    """RFC 7235: several in one header, commas and quotes inside quoted strings."""
    assert parse_challenges(header) == challenges


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_header_is_read(header: str) -> None:
    """Fuzz: nothing is raised, and it ends."""
    parse_challenges(header)
