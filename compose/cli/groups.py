"""What the management groups share: groups that import their commands late, names that may fail one by one, filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.completion import complete_names
from pycompose.cli.display.format import dumps, parse
from pycompose.cli.invocation import confirmed as agreed
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.machine.rows import PruneResult

names_argument = click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_names
)
name_argument = click.argument("name", shell_complete=complete_names)
force_option = click.option("-f", "--force", is_flag=True, help="Don't ask.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Only names or ids.")
no_trunc_option = click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")


def _checked(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Return a template that can be read; the command ends with 64 for another one, before it looks at anything."""
    if value not in ("", "json"):
        ctx.obj.command_codes = True
        parse(value)
    return value


def template_option_as(*names: str) -> Callable[[Any], Any]:
    """Declare `--format TEMPLATE` of one object under these names; the command gets it as `template`."""
    return click.option(
        *names, "template", default="", metavar="TEMPLATE", callback=_checked, help="Go template, or json."
    )


template_option = template_option_as("-f", "--format")
labels_option = click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label.")
options_option = click.option(
    "-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="For the driver."
)


# docker's other words.
ALIASES = {"list": "ls", "remove": "rm"}


class ManagementGroup(click.Group):
    """A management group, which knows docker's other words for its commands as well."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or of what it stands for."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, ALIASES.get(cmd_name, ""))


LOOKING = frozenset(
    {
        "df",
        "diff",
        "events",
        "history",
        "info",
        "inspect",
        "list",
        "logs",
        "ls",
        "port",
        "ps",
        "snapshots",
        "stats",
        "top",
        "wait",
    }
)


def refuse_dry_run(ctx: click.Context) -> None:
    """Raise PycomposeError for --dry-run before a command that changes something: it has no steps to show."""
    if ctx.obj.dry_run and ctx.invoked_subcommand not in LOOKING:
        raise PycomposeError(
            f"--dry-run: cannot be used with {ctx.command_path} {ctx.invoked_subcommand}",
            hint="nothing has been changed",
        )


def filter_option(known: str, *, short: bool = False) -> Callable[[Any], Any]:
    """Declare `--filter KEY=VALUE`, of which `known` are the keys; `short` offers -f too."""
    names = ("-f", "--filter") if short else ("--filter",)
    return click.option(*names, "filters", multiple=True, metavar="KEY=VALUE", help=known)


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Return KEY=VALUE texts as a mapping; a KEY alone has the value ""."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def show_each(names: Iterable[str], look: Callable[[str], list[dict[str, Any]]], template: str) -> None:
    """Print what `look` finds under each name, then raise what went wrong with the others."""
    documents: list[dict[str, Any]] = []
    failures: list[PycomposeError] = []
    for name in names:
        try:
            documents += look(name)
        except PycomposeError as exc:
            failures.append(exc)
    show_documents(documents, template)
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("some aren't there", failures)


def show_documents(documents: list[dict[str, Any]], template: str) -> None:
    """Print what `inspect` has found: indented JSON, or one line per object by a template."""
    if not template:
        click.echo(json.dumps(documents, indent=4, ensure_ascii=False))
    elif template == "json":
        click.echo(dumps(documents))
    else:
        parsed = parse(template)
        for document in documents:
            click.echo(parsed.render(document))


def confirmed(what: str, *, force: bool) -> bool:
    """Ask before removing, unless `force`."""
    return force or agreed(f"WARNING! This will remove {what}.\nAre you sure you want to continue?")


def prune_filters(filters: Iterable[str], *known: str) -> dict[str, tuple[str, ...]]:
    """Return the values of `--filter label=…`, `label!=…` and whatever is `known`, by key; raises PycomposeError."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(("label", "label!", *known), ())
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in found or not equals:
            raise PycomposeError(f"--filter {text}: cannot be used", hint=f"known: {', '.join(found)}")
        found[key] = (*found[key], value)
    return found


def label_filters(filters: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of `--filter label=…`, the only filter that prune knows. Raises PycomposeError."""
    labels = []
    for text in filters:
        key, equals, value = text.partition("=")
        if key != "label" or not equals:
            raise PycomposeError(f"--filter {text}: cannot be used", hint="use label=KEY or label=KEY=VALUE")
        labels.append(value)
    return tuple(labels)


def show_pruned(title: str, done: PruneResult) -> None:
    """Print the names that were removed, below a title, as docker does."""
    if done.names:
        click.echo(f"{title}:")
        click.echo("".join(f"{name}\n" for name in done.names))
