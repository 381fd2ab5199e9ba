"""Flags as pflag takes them."""

from __future__ import annotations

import click
import pytest
from pycompose.cli.switches import plain_switches


def _command(*, interspersed: bool = True) -> click.Command:
    @click.command(context_settings={"allow_interspersed_args": interspersed})
    @click.option("-a", "--all", is_flag=True)
    @click.option("-i", "--interactive/--no-interactive", default=True)
    @click.option("-o", "--output")
    @click.option("-x", is_flag=True)
    @click.argument("words", nargs=-1)
    def command(**_: object) -> None: ...

    return command


@pytest.mark.parametrize(
    ("given", "plain"),
    (
        ("--all=true", "--all"),
        ("--all=1 web", "--all web"),
        ("--all=false web", "web"),
        ("-a=false", ""),
        ("-a=T", "-a"),
        ("-xa=t", "-x -a"),
        ("-i=false", "--no-interactive"),
        ("--interactive=true", "--interactive"),
        ("--no-interactive=false", "-i"),
        ("--all=maybe", "--all=maybe"),
        ("--output=true --all=0", "--output=true"),
        ("--output --all=true", "--output --all=true"),
        ("-o -a=true", "-o -a=true"),
        ("-oa=true", "-oa=true"),
        ("-xo -a=true", "-xo -a=true"),
        ("-o=file -a=true", "-ofile -a"),
        ("-xo=a=b", "-xoa=b"),
        ("-o==", "-o="),
        ("-o= web", "-o= web"),
        ("--bogus=true -z=true", "--bogus=true -z=true"),
        ("web --all=true -- --all=true", "web --all -- --all=true"),
        ("- --all=true", "- --all"),
    ),
)
def test_values(given: str, plain: str) -> None:
    """A switch with a value is the switch or its opposite; options, their values and arguments stay."""
    assert plain_switches(_command(), given.split()) == plain.split()


def test_what_belongs_to_another_command_stays() -> None:
    """After the first argument of `run` and `exec` nothing is ours."""
    given = ["--all=true", "sh", "--all=true"]
    assert plain_switches(_command(interspersed=False), given) == ["--all", "sh", "--all=true"]
