"""Cases of builds, and what an image looks like for a comparison.

A case stands in `corpus/TOPIC.txt`:

```
=== name, one line
--- path [mode] [uid:gid]         a file, its text on the lines below (the last newline belongs to it)
--- path -> target                a symbolic link
--- path == other                 a hard link
--- path/ [mode] [uid:gid]        a directory
--- setup                         a script for bash, run in the context when all of the above is there
--- compose                       a compose file for a build of its service x, in place of flags
--- wide                          only looked at with PYCOMPOSE_CORPUS=wide
```
The Dockerfile is the file of that name. `--- build KEY=VALUE …` gives flags: arg:NAME=VALUE, target=STAGE. What a
script has made is as old as every file of a context, unless it is a `setup times`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

CORPUS = Path(__file__).parent / "corpus"
ANSWERS = Path(__file__).parent / "answers.json"
DIFFERENCES = Path(__file__).parent / "differences.toml"
# What an engine puts into a container that it creates.
ENGINES_OWN = frozenset((
    ".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts", "etc/mtab",
    "etc/resolv.conf", "proc", "sys",
))  # fmt: skip
BUILDKIT = "buildkit.dockerfile.v0"
# "": without the cases of a wide look; "wide": all; else those, of all, whose keys contain it.
WANTED = os.environ.get("PYCOMPOSE_CORPUS", "")
_MADE_S = 1_000_000_000


@dataclass
class Case:
    """One context with a Dockerfile."""

    topic: str
    name: str
    entries: list[tuple[str, str]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    compose: str = ""
    setup: str = ""
    # Whether the times that the script has given stay.
    keeps_times: bool = False
    wide: bool = False

    @property
    def key(self) -> str:
        """What it is called among all cases."""
        return f"{self.topic}: {self.name}"

    def write(self, folder: Path) -> Path:
        """Make the context."""
        later: list[tuple[Path, str, str]] = []
        for head, text in self.entries:
            words = shlex.split(head)
            path = folder / words[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            if words[1:2] in (["->"], ["=="]):
                later.append((path, words[1], words[2]))
                continue
            if words[0].endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_text(text, encoding="utf-8")
            mode = 0o755 if words[0].endswith("/") else 0o644
            for word in words[1:]:
                if ":" in word:
                    uid, _, gid = word.partition(":")
                    os.chown(path, int(uid), int(gid))
                else:
                    mode = int(word, 8)
            path.chmod(mode)
            if not words[0].endswith("/"):
                os.utime(path, (_MADE_S, _MADE_S))
        for path, kind, target in later:
            if kind == "->":
                path.symlink_to(target)
            else:
                path.hardlink_to(folder / target)
        if self.setup:
            self._run(folder)
        return folder

    def _run(self, folder: Path) -> None:
        """Run the script."""
        script = ["bash", "-ec", f"umask 022\n{self.setup}"]
        subprocess.run(script, cwd=folder, check=True, capture_output=True)
        if not self.keeps_times:
            for path in (folder, *folder.rglob("*")):
                os.utime(path, (_MADE_S, _MADE_S), follow_symlinks=False)


def wanted_cases() -> list[Case]:
    """Return the cases that PYCOMPOSE_CORPUS asks for."""
    cases = load_cases()
    if WANTED in ("", "wide"):
        return [case for case in cases if WANTED or not case.wide]
    return [case for case in cases if WANTED in case.key]


def load_cases() -> list[Case]:
    """Return all cases, in the order of the files."""
    found: list[Case] = []
    for file in sorted(CORPUS.glob("*.txt")):
        for block in re.split(r"^=== ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, _, rest = block.partition("\n")
            case = Case(file.stem, name.strip())
            for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]:
                head, _, text = part.partition("\n")
                _add(case, head, text)
            found.append(case)
    assert len({case.key for case in found}) == len(found), "two cases have one name"
    return found


def _add(case: Case, head: str, text: str) -> None:
    if head.startswith("build "):
        case.flags += shlex.split(head.removeprefix("build "))
    elif head == "wide":
        case.wide = True
    elif head == "compose":
        case.compose = text
    elif head in ("setup", "setup times"):
        case.setup, case.keeps_times = text, head != "setup"
    else:
        case.entries.append((head, text.removesuffix("\n") + "\n" if text.strip("\n") else text))


def stored() -> dict[str, Any]:
    """Return the real builder's answers by case."""
    answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return answers


def tree(archive: IO[bytes], base: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return path → [type, mode, owner, size or target, digest, old mtime] of a tar of a whole root file system.

    Without what engines add; entries that are as in `base` are left out, and those of it that are gone are null.
    """
    found: dict[str, Any] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=archive, mode="r|*") as tar:
        for member in tar:
            name = member.name.removeprefix("./").strip("/")
            if not name or name in ENGINES_OWN or name.startswith(("dev/", "proc/", "sys/")):
                continue
            if member.islnk():
                links[name] = member.linkname.removeprefix("./").strip("/")
                continue
            digest = ""
            if member.isreg():
                data = tar.extractfile(member)
                assert data is not None
                digest = hashlib.sha256(data.read()).hexdigest()[:16]
            kind = {
                tarfile.DIRTYPE: "d",
                tarfile.SYMTYPE: "l",
                tarfile.REGTYPE: "f",
                tarfile.FIFOTYPE: "p",
            }.get(member.type, "?")
            where = member.linkname if member.issym() else (member.size if member.isreg() else 0)
            old = int(member.mtime) if member.mtime < 1_500_000_000 else 0
            # An engine exports no others.
            xattrs = sorted(key for key in member.pax_headers if key.startswith("SCHILY.xattr.security."))
            found[name] = [
                kind,
                f"{member.mode:04o}",
                f"{member.uid}:{member.gid}",
                where,
                digest,
                old,
                xattrs,
            ]
    for name, first in links.items():
        group = sorted([first, *(other for other, target in links.items() if target == first)])
        found[name] = [*found[first], group[0]]
    for group_first in set(links.values()):
        names = sorted([group_first, *(other for other, target in links.items() if target == group_first)])
        for name in names:
            found[name] = [*found[name][:7], names[0]]
    if base is None:
        return found
    changed = {name: entry for name, entry in found.items() if base.get(name) != entry}
    return changed | {name: None for name in base if name not in found}


def configuration(inspected: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is compared of an image's configuration: Docker's fields that have a value, and the history."""
    config = inspected["Config"] or {}
    kept = (
        "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Shell",
        "OnBuild", "Healthcheck", "ArgsEscaped",
    )  # fmt: skip
    found: dict[str, Any] = {key: config[key] for key in kept if config.get(key)}
    labels = {
        key: value
        for key, value in found.pop("Labels", {}).items()
        if not key.startswith("com.docker.compose.")
    }
    if labels:
        found["Labels"] = labels
    found["author"] = inspected.get("Author") or ""
    found["history"] = [
        [step.get("created_by", ""), bool(step.get("empty_layer"))]
        for step in history
        if step.get("comment") == BUILDKIT
    ]
    return found
