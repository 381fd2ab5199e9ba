"""Docker's words for what our commands do: `docker ps` is `container ls`, `docker images` is `image ls`."""

from __future__ import annotations

# docker's commands at its top level, and ours. Those not listed have the same name in both.
WORDS: dict[str, tuple[str, ...]] = {
    "compose": (),
    **{
        word: ("container", word)
        for word in (
            "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "rename",
            "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
        )
    },
    "ps": ("container", "ls"),
    "images": ("image", "ls"),
    "rmi": ("image", "rm"),
    **{
        word: ("image", word)
        for word in ("build", "history", "import", "load", "pull", "push", "save", "tag")
    },
    **{word: ("system", word) for word in ("events", "info")},
    **{word: (word,) for word in ("builder", "container", "image", "inspect", "login", "logout", "network", "system",
                                  "volume")},
}  # fmt: skip
BUILDX = {
    "build": ("image", "build"),
    "b": ("image", "build"),
    "du": ("builder", "du"),
    "prune": ("builder", "prune"),
}
# What docker tells of itself, and the words that may follow: cli/commands/docker_answers.py has the commands.
OWN: dict[str, frozenset[str]] = {
    "version": frozenset(),
    "context": frozenset(("inspect", "list", "ls", "show", "use")),
    "buildx": frozenset(("inspect", "ls", "use", "version")),
}
# docker's flags before the command that have a meaning here; those of the second list take a value. `--log-level` is
# for what docker's client says beside its output: here that are errors only.
_FLAGS = frozenset(("-D", "--debug"))
_WITH_VALUE = frozenset(("-c", "--context", "-H", "--host", "-l", "--log-level", "--config"))
# Where docker's own socket is: this machine, whatever its name.
_HERE = frozenset(("unix:///var/run/docker.sock", "unix:///run/docker.sock"))
_VERSION = frozenset(("-v", "--version"))
_HELP = frozenset(("-h", "--help"))


class UnknownWord(Exception):  # noqa: N818 - as those of engine/errors.py
    """What docker's command line knows and nothing here does the work of; the text says which."""


def split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return docker's flags before the command, each with its value ("" for a switch), and the rest."""
    flags: dict[str, str] = {}
    at = 0
    while at < len(arguments):
        name, equals, value = arguments[at].partition("=")
        if name in _WITH_VALUE and not equals:
            flags[name] = arguments[at + 1] if at + 1 < len(arguments) else ""
            at += 2
        elif name in _WITH_VALUE or name in _FLAGS:
            flags[name] = value
            at += 1
        else:
            break
    return flags, arguments[at:]


def translate(arguments: list[str]) -> list[str]:
    """Return our command line for one of docker's, both without the program's name. Raises UnknownWord."""
    flags, rest = split(arguments)
    _check(flags)
    debugs = {"-D", "--debug"} & flags.keys() or "debug" in (flags.get("-l"), flags.get("--log-level"))
    ours = ["--debug"] if debugs else []
    if not rest or rest[0] in _HELP:
        return [*ours, "docker", "--help"]
    word, *rest = rest
    if word in _VERSION:
        return [*ours, "docker", "--version"]
    if word == "help":
        return [*ours, "help", *(translate(rest) if rest else ["docker"])]
    if word == "buildx" and rest and rest[0] in BUILDX:
        return [*ours, *BUILDX[rest[0]], *rest[1:]]
    if word in OWN:
        if OWN[word] and rest and rest[0] not in OWN[word] and rest[0] not in _HELP:
            raise UnknownWord(f"docker {word} {rest[0]}")
        return [*ours, "docker", word, *rest]
    if word not in WORDS:
        raise UnknownWord(f"docker {word}")
    return [*ours, *WORDS[word], *rest]


def configuration(arguments: list[str]) -> str:
    """Return docker's folder of credentials and settings as `--config` names it, "" where it doesn't."""
    return split(arguments)[0].get("--config", "")


def _check(flags: dict[str, str]) -> None:
    """Refuse what would mean another machine: there is only this one. Raises UnknownWord."""
    context = flags.get("-c", flags.get("--context", "default"))
    if context != "default":
        raise UnknownWord(f"docker --context {context}")
    for name in ("-H", "--host"):
        if name in flags and flags[name] not in _HERE:
            raise UnknownWord(f"docker {name} {flags[name]}")
