"""Where requests may go: proxies, redirects, insecure hosts; how long to wait."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from pycompose.engine.errors import ImageError, PullError
from pycompose.engine.images.registry.proxies import proxy_for
from pycompose.engine.images.registry.settings import RegistrySettings
from pycompose.engine.images.registry.transport import Origin, check_redirect, redact, retry_after_s


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    (
        ("https://a.example", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://a.example", {"https_proxy": "http://low", "HTTPS_PROXY": "http://up"}, "http://low"),
        ("http://a.example", {"HTTPS_PROXY": "http://p"}, ""),
        ("http://a.example", {"HTTP_PROXY": "p:1"}, "http://p:1"),
        ("http://a.example", {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, ""),
        ("https://a.example", {"ALL_PROXY": "http://all"}, "http://all"),
        ("https://127.0.0.1:5000", {"ALL_PROXY": "http://all"}, ""),
        ("https://localhost:5000", {"ALL_PROXY": "http://all"}, ""),
        ("https://a.example", {"ALL_PROXY": "http://all", "NO_PROXY": "*"}, ""),
        ("https://x.a.example", {"ALL_PROXY": "http://all", "NO_PROXY": "b.example, a.example"}, ""),
        ("https://xa.example", {"ALL_PROXY": "http://all", "NO_PROXY": "a.example"}, "http://all"),
        ("https://10.1.2.3", {"ALL_PROXY": "http://all", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://a.example:5000", {"ALL_PROXY": "http://all", "NO_PROXY": "a.example:5000"}, ""),
        ("https://a.example", {"ALL_PROXY": "http://all", "NO_PROXY": "a.example:5000"}, "http://all"),
    ),
)
def test_proxies(url: str, environment: dict[str, str], proxy: str) -> None:
    """The variables as curl and Docker read them."""
    origin = Origin.of(url)

    assert proxy_for(origin.scheme, origin.host, origin.port, environment) == proxy


@pytest.mark.parametrize(
    ("first", "here", "target", "reason"),
    (
        ("https://a.example", "https://a.example", "http://a.example", "from https to http"),
        ("https://a.example", "https://b.example", "https://169.254.169.254", "link-local"),
        ("https://a.example", "https://a.example", "https://[fe80::1]", "link-local"),
    ),
)
def test_redirects_that_are_refused(first: str, here: str, target: str, reason: str) -> None:
    """Out of TLS, and to the metadata service of a cloud."""
    with pytest.raises(PullError, match=reason):
        check_redirect(Origin.of(first), Origin.of(here), Origin.of(target))


def test_redirects_that_are_followed() -> None:
    """A content network, and a registry that is link-local itself."""
    check_redirect(
        Origin.of("https://a.example"), Origin.of("https://a.example"), Origin.of("https://cdn.example")
    )
    check_redirect(
        Origin.of("http://169.254.1.1"), Origin.of("http://169.254.1.1"), Origin.of("http://169.254.1.2")
    )


@pytest.mark.parametrize(
    "url", ("file:///etc/passwd", "https://", "ftp://a.example/x", "https://a:b:c", "/relative")
)
def test_other_urls_are_refused(url: str) -> None:
    """A registry can't make us read files."""
    with pytest.raises(PullError, match="URL"):
        Origin.of(url)


def test_messages_show_no_secrets_of_urls() -> None:
    """Neither user and password nor the query, which signs downloads."""
    assert redact("https://u:p@a.example:1/x?sig=s#f") == "https://a.example:1/x"


def test_retry_after_is_seconds_or_a_date() -> None:
    """RFC 9110 10.2.3; nonsense is no wish."""
    assert retry_after_s({"Retry-After": "7"}) == 7.0
    assert 50 < retry_after_s({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) <= 61
    assert retry_after_s({"Retry-After": "soon"}) == retry_after_s({}) == 0.0


def test_insecure_registries() -> None:
    """Loopback always, others by name, name and port, or network."""
    settings = RegistrySettings(insecure=("a.example", "b.example:5000", "10.0.0.0/8"))
    hosts = (
        "localhost:5000",
        "127.0.0.9",
        "[::1]:5000",
        "a.example",
        "a.example:1",
        "b.example:5000",
        "10.1.1.1:80",
    )

    assert all(settings.is_insecure(host) for host in hosts)
    assert not any(settings.is_insecure(host) for host in ("b.example", "c.example", "11.0.0.1"))


def test_settings_come_from_dockers_file_and_the_environment(tmp_path: Path) -> None:
    """Variables first; each key from the first file that has it."""
    own, docker = tmp_path / "own.json", tmp_path / "daemon.json"
    own.write_text('{"registry-mirrors": ["https://m1"]}', encoding="ascii")
    docker.write_text(
        '{"registry-mirrors": ["https://m2"], "insecure-registries": ["i.example"]}', encoding="ascii"
    )

    settings = RegistrySettings.load({}, (own, docker, tmp_path / "missing"))
    changed = RegistrySettings.load({"PYCOMPOSE_INSECURE_REGISTRIES": "x, y"}, (own, docker))

    assert (settings.mirrors, settings.insecure) == (("https://m1",), ("i.example",))
    assert changed.insecure == ("x", "y")


def test_damaged_settings_are_told(tmp_path: Path) -> None:
    """With the file's name."""
    file = tmp_path / "registries.json"
    file.write_text('{"registry-mirrors": "https://m"}', encoding="ascii")

    with pytest.raises(ImageError, match=r"registries\.json: registry-mirrors: expected a list"):
        RegistrySettings.load({}, (file,))
