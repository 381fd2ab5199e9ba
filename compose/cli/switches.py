"""Flags that are spelled as Docker's command line (pflag) takes them: `--orphans=false`, `-i=false`, `-f=FILE`."""

from __future__ import annotations

from collections.abc import Sequence

import click

# Go's strconv.ParseBool, which pflag uses for its switches.
WORDS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
WORDS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


def plain_switches(command: click.Command, args: Sequence[str]) -> list[str]:
    """Return the arguments with each `--switch=true` as `--switch`, each `--switch=false` as its opposite or left out.

    `-o=value` becomes `-ovalue`. Only what click will read as an option of `command` is looked at. Anything else it
    judges itself.
    """
    if not any("=" in arg for arg in args):
        return list(args)
    options = {
        name: param
        for param in command.params
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
    }
    interspersed = command.context_settings.get("allow_interspersed_args", command.allow_interspersed_args)
    found: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--" or not (arg.startswith("-") or interspersed):
            return [*found, arg, *rest]
        words, takes_next = _one(options, arg)
        found += words
        if takes_next and rest:
            found.append(rest.pop(0))
    return found


def _one(options: dict[str, click.Option], arg: str) -> tuple[list[str], bool]:
    """Return what stands for one argument, and whether the next one is its value."""
    if arg.startswith("--"):
        name, equals, value = arg.partition("=")
        option = options.get(name)
        if option is None:
            return [arg], False
        if not option.is_flag:
            return [arg], not equals
        return (_switch(option, name, value) if equals and value in WORDS else [arg]), False
    if not arg.startswith("-"):
        return [arg], False
    for place, letter in enumerate(arg[1:], 1):
        option = options.get(f"-{letter}")
        if option is None:
            break
        if not option.is_flag:
            value = arg[place + 1 :]
            if value.startswith("=") and value != "=":
                return [arg[: place + 1] + value[1:]], False
            return [arg], not value
        value = arg[place + 2 :]
        if arg[place + 1 : place + 2] == "=" and value in WORDS:
            before = [arg[:place]] if place > 1 else []
            return before + _switch(option, f"-{letter}", value), False
    return [arg], False


def _switch(option: click.Option, name: str, value: str) -> list[str]:
    on = WORDS[value] is (name in option.opts)
    names = option.opts if on else option.secondary_opts
    return [name if name in names else names[0]] if names else []
