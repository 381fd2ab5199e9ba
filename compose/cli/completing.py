"""Answers to a shell that completes: click's, for words of docker's in front, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class
from pycompose.dockercli import words

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem, ShellComplete


def ours(typed: list[str]) -> list[str]:
    """Return our words for what has been typed after the program's name: `docker rm` is `container rm`."""
    if typed[:1] == ["compose"]:
        return typed[1:]
    if typed[:1] != ["docker"]:
        return typed
    _flags, rest = words.split(typed[1:])
    if rest[:1] == ["buildx"] and rest[1:] and rest[1] in words.BUILDX:
        return [*words.BUILDX[rest[1]], *rest[2:]]
    return [*words.WORDS[rest[0]], *rest[1:]] if rest and rest[0] in words.WORDS else ["docker", *rest]


def joined(typed: list[str], incomplete: str) -> tuple[list[str], str]:
    """Return words that bash has taken to pieces at colons (COMP_WORDBREAKS) whole, as in `image rm app:1`."""
    words_ = list(typed)
    while words_ and (incomplete.startswith(":") or words_[-1] == ":"):
        incomplete = words_.pop() + incomplete
    return words_, incomplete


class _Bash(BashComplete):
    cut = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        typed, incomplete = joined(*super().get_completion_args())
        self.cut = incomplete[: incomplete.rfind(":") + 1]
        return ours(typed), incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return what takes the place of the last piece: bash keeps what is in front of it."""
        item.value = str(item.value).removeprefix(self.cut)
        return super().format_completion(item)


class _Zsh(ZshComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        typed, incomplete = super().get_completion_args()
        return ours(typed), incomplete


class _Fish(FishComplete):
    # A description may have commas of its own.
    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')

    def get_completion_args(self) -> tuple[list[str], str]:
        typed, incomplete = super().get_completion_args()
        return ours(typed), incomplete


CLASSES: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Have click answer by these."""
    for name, kind in CLASSES.items():
        add_completion_class(kind, name)
