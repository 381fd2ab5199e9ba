"""Why a step was made anew: what its key is made of now, beside what it was made of last time. Pure.

Of the last build of a Dockerfile is kept, for each stage, its steps in order: title, key, ingredients (stepkeys.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pycompose.engine.builder.listing import changes
from pycompose.engine.builder.request import NEVER
from pycompose.engine.dataclass import dataclass

NO_CACHE = "the cache is off"
_SHOWN = 60
_SHORT = 12
# Keys of the ingredients that need no more than both values, and what they are called.
_PLAIN = {
    "user": "user", "cwd": "working directory", "network": "network", "insecure": "security", "to": "destination",
    "chown": "--chown", "chmod": "--chmod", "parents": "--parents", "unpack": "--unpack", "link": "--link",
    "epoch": "SOURCE_DATE_EPOCH", "path": "directory", "checksum": "--checksum",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A step that has to be made. `before` are the titles of those before it that were made anew in this build.

    `base` says what the stage starts from, `arguments` are names that come from ARG. `listing(digest)` returns what
    the files of a digest were, b"" when nobody knows.
    """

    title: str
    index: int
    key: str
    parts: Mapping[str, Any]
    titles: Sequence[str]
    before: Sequence[str]
    base: str
    arguments: frozenset[str]
    listing: Callable[[str], bytes]


def reason(made: Made, last: Mapping[str, Any], stage: str) -> str:
    """Return why the step was not in the cache, judged by the `last` build of its Dockerfile ({} if there was none)."""
    if not last:
        return NEVER
    steps = (last.get("stages") or {}).get(stage)
    if steps is None:
        return "the stage is new"
    old = _same(made, steps)
    if old is None:
        return _edited(made, steps)
    if old["key"] == made.key:
        return "it failed last time" if old.get("failed") else "its layer is not in the cache any more"
    found = _differences(old["parts"], made)
    if old["parts"].get("on") != made.parts.get("on"):
        found.insert(0, _below(made, old))
    return "; ".join(found) or "what it is made of has changed"


def _same(made: Made, steps: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the step of last time that is this one: of those with its title the one in the same order."""
    number = list(made.titles[: made.index]).count(made.title)
    found = [step for step in steps if step["title"] == made.title]
    return found[min(number, len(found) - 1)] if found else None


def _edited(made: Made, steps: Sequence[Mapping[str, Any]]) -> str:
    if made.index < len(steps) and steps[made.index]["title"] not in made.titles:
        return f"the instruction changed, it was: {_shown(steps[made.index]['title'])}"
    return "the instruction is new"


def _below(made: Made, old: Mapping[str, Any]) -> str:
    if made.before:
        return f"follows {_shown(made.before[-1])}, which was made anew"
    if made.index == 0:
        was, now = (str(parts.get("on")) for parts in (old["parts"], made.parts))
        return f"{made.base} changed ({_digest(was)} -> {_digest(now)})"
    return "the steps before it are others than last time"


def _differences(old: Mapping[str, Any], made: Made) -> list[str]:
    new = made.parts
    found = []
    if _plain(old.get("args")) != _plain(new.get("args")):
        found.append(f"the command changed, it was: {_shown(' '.join(old.get('args') or ()))}")
    if "env" in new:
        found += _variables(old.get("env") or (), new["env"], made.arguments)
    for name, what in _PLAIN.items():
        if old.get(name) != new.get(name):
            found.append(f"{what} changed ({_shown(old.get(name))} -> {_shown(new.get(name))})")
    if _plain(old.get("scripts")) != _plain(new.get("scripts")) or _plain(old.get("documents")) != _plain(
        new.get("documents")
    ):
        found.append("the here-document changed")
    if "files" in new:
        found += _files(old, made)
    if "mounts" in new:
        found += _mounts(old.get("mounts") or (), made)
    return found


def _variables(old: Sequence[str], new: Sequence[str], arguments: frozenset[str]) -> list[str]:
    before = dict(item.partition("=")[::2] for item in old)
    after = dict(item.partition("=")[::2] for item in new)
    found = []
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            continue
        what = "ARG" if name in arguments else "ENV"
        if name not in after:
            found.append(f"{what} {name} is gone")
        elif name not in before:
            found.append(f"{what} {name} is new ({_shown(after[name])})")
        else:
            found.append(f"{what} {name} changed ({_shown(before[name])} -> {_shown(after[name])})")
    return found


def _files(old: Mapping[str, Any], made: Made) -> list[str]:
    if _plain(old.get("files")) == _plain(made.parts["files"]):
        return []
    was, now = old.get("listing"), made.parts.get("listing")
    texts = [made.listing(digest) if digest else b"" for digest in (was, now)]
    return (changes(texts[0], texts[1]) if all(texts) else []) or ["the files are others"]


def _mounts(old: Sequence[Mapping[str, Any]], made: Made) -> list[str]:
    before = {mount["target"]: mount for mount in old}
    found = []
    for mount in made.parts["mounts"]:
        was = before.pop(mount["target"], None)
        where = f"the mount at {mount['target']}"
        if was is None:
            found.append(f"{where} is new")
        elif was.get("content") != mount.get("content"):
            texts = [made.listing(str(one.get("content"))) for one in (was, mount)]
            named = changes(texts[0], texts[1]) if all(texts) else []
            found.append(f"{where}: {', '.join(named) or 'its content changed'}")
        elif _plain(was) != _plain(mount):
            found.append(f"{where} has other options")
    return [*found, *(f"the mount at {target} is gone" for target in before)]


def _plain(value: Any) -> Any:
    """Return `value` as JSON would bring it back: tuples are lists."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value] or None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _shown(value: object) -> str:
    text = str(value).replace("\n", " ") if value not in (None, "") else "nothing"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _digest(text: str) -> str:
    return text.removeprefix("sha256:")[:_SHORT]
