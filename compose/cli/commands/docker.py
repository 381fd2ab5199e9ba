"""`pycompose docker …`: docker's command line, for whoever or whatever types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from pycompose.cli.commands import docker_answers
from pycompose.cli.completion import COMPLETES
from pycompose.cli.invocation import Invocation
from pycompose.dockercli import plugin, words

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SAME = ", ".join(word for word, ours in words.WORDS.items() if ours == (word,))
_MEANINGS = {
    **{
        word: " ".join(ours) or "all that pycompose does"
        for word, ours in words.WORDS.items()
        if ours != (word,)
    },
    **{f"buildx {word}": " ".join(ours) for word, ours in words.BUILDX.items() if word != "b"},
    **{word: f"{', '.join(sorted(more))}: there is one" for word, more in words.OWN.items() if more},
}
_TABLE = "\n".join(f"{word:13} {meaning}" for word, meaning in _MEANINGS.items())
# ShellCompDirectiveNoFileComp of cobra (completions.go), which docker's command line is made with.
_NO_FILES = ":4"


def _words(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return docker's words, or those that may follow one that nothing else answers (dockercli/words.py: OWN)."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

    first = (ctx.params.get("arguments") or ("",))[0]
    more = words.OWN.get(first, frozenset()) | (words.BUILDX.keys() if first == "buildx" else frozenset())
    known = dict.fromkeys(more, "") if first else {**dict.fromkeys(words.WORDS, ""), **_MEANINGS}
    return [
        CompletionItem(word, help=what)
        for word, what in known.items()
        if word.startswith(incomplete) and " " not in word
    ]


@click.command(
    help=f"Take docker's words for what is done here.\n\nThe same in both: {_SAME}.\n\n\b\n{_TABLE}",
    short_help="Take docker's words for what is done here.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, metavar="[COMMAND]...", type=click.UNPROCESSED, shell_complete=_words)
@click.pass_context
def command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run what the words mean."""
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)  # noqa: S101 - it has this command
    if arguments[:1] == (plugin.COMPLETE,):
        _complete(root.command, list(arguments[1:]))
        return
    try:
        ours = words.translate(list(arguments))
    except words.UnknownWord as exc:
        raise click.UsageError(f"{exc}: nothing here does this") from None
    if ours == ["docker", "--version"]:
        click.echo(docker_answers.line())
    elif ours[0] == "docker" and ours[1] in words.OWN:
        docker_answers.answers.main(ours[1:], "docker", standalone_mode=False, obj=ctx.obj)
    else:
        root.command.main(ours, prog_name=root.info_name, standalone_mode=False, obj=ctx.obj)


def _complete(cli: click.Group, typed: list[str]) -> None:
    """Print what may follow, as cobra does: a word and what it means per line, then what the shell is to do."""
    from click.shell_completion import ShellComplete  # noqa: PLC0415 - only a shell that completes needs it
    from pycompose.cli import completing  # noqa: PLC0415 - as above

    *before, incomplete = typed or [""]
    completion = ShellComplete(cli, {"obj": Invocation()}, "pycompose", COMPLETES)
    for item in completion.get_completions(completing.ours(["docker", *before]), incomplete):
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help or ''}")
    click.echo(_NO_FILES)
