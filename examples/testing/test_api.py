"""Tests of the API on real databases: `pytest` here, with pycompose and pytest installed, as root.

The stack starts once; before each test its file systems and volumes are put back to how they were when it was ready.
"""

import urllib.request

import pytest


def call(stack, path, *, post=False):
    request = urllib.request.Request(stack["api"].url(8000, path), method="POST" if post else "GET")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("name", ("ada", "grace", "barbara"))
def test_each_test_begins_with_an_empty_table(compose, name):
    assert call(compose, "/visits") == (200, "0")
    call(compose, f"/visits/{name}", post=True)
    assert call(compose, "/visits") == (200, "1")
    assert (
        compose["db"].exec("psql", "-h", "/tmp", "-Atc", "SELECT name FROM visits", "postgres").text == name
    )


def test_the_database_is_away(compose):
    call(compose, "/visits/ada", post=True)
    assert call(compose, "/visits") == (200, "1")
    with compose.partition("api", "db"):
        assert call(compose, "/visits") == (203, "1")
    assert call(compose, "/visits") == (200, "1")


def test_the_database_has_crashed(compose):
    call(compose, "/visits/ada", post=True)
    compose["db"].kill()
    compose["db"].start()
    compose.await_service("db")
    assert call(compose, "/visits") == (200, "1")
