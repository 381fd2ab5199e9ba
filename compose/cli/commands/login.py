"""`pycompose login`: keep credentials for a registry, where docker keeps them."""

from __future__ import annotations

import sys

import click
from pycompose.cli.invocation import Invocation
from pycompose.engine.errors import PycomposeError


@click.command(help="Log in to a registry (default: Docker Hub).")
@click.argument("server", required=False, default="", metavar="[SERVER]")
@click.option("-u", "--username", metavar="NAME", help="User name.")
@click.option("-p", "--password", metavar="TEXT", help="Password; better: --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    server: str,
    username: str | None,
    password: str | None,
    password_stdin: bool,
) -> None:
    """Try the credentials at the registry, then keep them."""
    from pycompose.machine import images  # noqa: PLC0415 - --help doesn't need it

    if password is not None:
        if password_stdin:
            raise PycomposeError("--password and --password-stdin: cannot be combined")
        invocation.warn("a password on the command line can be seen by others; use --password-stdin")
    if password_stdin:
        if not username:
            raise PycomposeError("--password-stdin: needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    if (not username or password is None) and not sys.stdin.isatty():
        raise PycomposeError(
            "login: no terminal to ask for user and password", hint="use --username and --password-stdin"
        )
    username = username or click.prompt("Username", err=True)
    password = password if password is not None else click.prompt("Password", hide_input=True, err=True)
    if not username or not password:
        raise PycomposeError("login: user and password cannot be empty")
    place = images.login(invocation.environment, server, username, password)
    click.echo(f"Login Succeeded (kept in {place})")
