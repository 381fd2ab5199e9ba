"""The language of the scenarios: files, commands, and what has to be true of the state afterwards.

A scenario is a test whose docstring is an intent ("a changed image must replace the container"). It gets a `scene`:

    scene.file("compose.yaml", TEXT)
    scene.compose("up", "-d")                      # a command; exit code 0 unless `code=` says otherwise
    scene.expect({"web-1": "running"})             # state of the containers, sooner or later
    with scene.replaces("web-1"):                  # a new container for web-1, the old ones for all others
        scene.compose("up", "-d")

What Docker Compose and pycompose do differently on purpose stands in scenarios/differences.toml; `scene.differs`
is the only way to expect different things of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.support.scenario import Result, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.engines import Container, Engine
    from tests.support.terminal import Running

T = TypeVar("T")
DIFFERENCES = Path(__file__).parents[1] / "e2e/scenarios/differences.toml"
ENOUGH_S = 30.0
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Scene:
    """One project of a name of its own, on one engine."""

    engine: Engine
    project: str = field(default_factory=lambda: f"s{os.getpid()}n{next(_numbers)}")
    folder: Path = field(init=False)
    _running: list[Running] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make the folder of the project."""
        self.folder = self.engine.folder / self.project
        self.folder.mkdir()
        self.engine.give(self.folder)

    # -- files

    def file(self, name: str, text: str) -> Path:
        """Write a file of the project; PROJECT in it is the project's name, FOLDER its folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            text.replace("PROJECT", self.project).replace("FOLDER", str(self.folder)), encoding="utf-8"
        )
        for made in (path, *path.relative_to(self.folder).parents):
            self.engine.give(self.folder / made)
        return path

    def read(self, name: str) -> str:
        """Return what is in a file of the project, "" when it doesn't exist yet."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def volume(self, name: str, path: str = "") -> Path:
        """Return where the test sees the data of the project's volume `name`."""
        return self.engine.volume(f"{self.project}_{name}") / path

    # -- commands

    def compose(
        self,
        *arguments: str,
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = 60.0,
        cwd: str = ".",
    ) -> Result:
        """Run the compose command; with `code=None` any exit code will do."""
        result = self.engine.run(*arguments, cwd=self.folder / cwd, env=env, stdin=stdin, timeout_s=timeout_s)
        return result if code is None else result.exited(code)

    def named(self, name: str) -> str:
        """Return a name for a container outside any project; `close` removes it."""
        full = f"{self.project}-{name}"
        self._named.add(full)
        return full

    def container(
        self, *arguments: str, code: int | None = 0, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Result:
        """Run `pycompose container …` or `docker container …`."""
        return self.compose("container", *arguments, code=code, stdin=stdin, env=env)

    def up(self, text: str, *arguments: str, code: int | None = 0) -> Result:
        """Write `text` as the compose file, and bring it up in the background."""
        self.file("compose.yaml", text)
        return self.compose("up", "-d", *arguments, code=code)

    def spawn(self, *arguments: str, tty: bool = False, env: Mapping[str, str] | None = None) -> Running:
        """Start the compose command and go on."""
        running = self.engine.spawn(*arguments, cwd=self.folder, tty=tty, env=env)
        self._running.append(running)
        return running

    def image(self, name: str, like: str) -> None:
        """Let `name` mean the image that `like` means."""
        self.engine.make_image(name, like)

    def has_image(self, name: str) -> bool:
        """Tell whether there is an image of this name."""
        return self.engine.run("image", "inspect", name, cwd=self.folder).code == 0

    def remove_image(self, name: str) -> None:
        """Remove an image."""
        self.engine.remove_image(name)

    def needs(self, *commands: str) -> None:
        """Skip the test when the engine doesn't have all of these commands."""
        if missing := [command for command in commands if command not in self.engine.commands]:
            pytest.skip(f"{self.engine.name} has no command {', '.join(missing)} yet")

    # -- state

    def containers(self, service: str = "") -> list[Container]:
        """Return the services' containers, without those that `run` made."""
        found = [item for item in self.engine.containers(self.project) if not item.oneoff]
        return [item for item in found if not service or item.service == service]

    def oneoffs(self) -> list[Container]:
        """Return what `run` made."""
        return [item for item in self.engine.containers(self.project) if item.oneoff]

    def one(self, service: str, number: int = 1) -> Container:
        """Return a container that has to be there."""
        found = [item for item in self.containers(service) if item.number == number]
        assert len(found) == 1, f"{service}-{number}: {found}"
        return found[0]

    def ids(self) -> dict[str, str]:
        """Return the ids by service and number: `{"web-1": "3f…"}`."""
        return {f"{item.service}-{item.number}": item.id for item in self.containers()}

    def states(self) -> dict[str, str]:
        """Return the states in the same form."""
        return {f"{item.service}-{item.number}": item.state for item in self.containers()}

    def networks(self) -> set[str]:
        """Return the project's networks by key."""
        return self._own(self.engine.networks())

    def volumes(self) -> set[str]:
        """Return the project's volumes by key."""
        return self._own(self.engine.volumes())

    def logs(self, *arguments: str) -> str:
        """Return what `logs` prints without prefix."""
        return self.compose("logs", "--no-log-prefix", "--no-color", *arguments).stdout

    # -- checks

    def eventually(self, check: Callable[[], T]) -> T:
        """Return the first true value of `check`."""
        return eventually(check, ENOUGH_S)

    def expect(self, states: Mapping[str, str]) -> None:
        """Wait until there are exactly these containers, in these states."""

        def check() -> bool:
            assert self.states() == dict(states)
            return True

        eventually(check, ENOUGH_S)

    def expect_exit(self, service: str, code: int, number: int = 1) -> None:
        """Wait until the container has exited, and check its code."""
        self.eventually(lambda: self.one(service, number).state == "exited")
        assert self.one(service, number).exit_code == code

    def expect_health(self, service: str, health: str) -> None:
        """Wait until the container's health is so."""
        self.eventually(lambda: self.one(service).health == health)

    def expect_text(self, name: str, text: str) -> None:
        """Wait until a file of the project has exactly this text."""

        def check() -> bool:
            assert self.read(name) == text
            return True

        eventually(check, ENOUGH_S)

    @contextlib.contextmanager
    def replaces(self, *names: str) -> Iterator[None]:
        """Check that the block makes new containers for `names`, and for nobody else."""
        before = self.ids()
        yield
        after = self.ids()
        assert set(after) == set(before)
        assert {name for name in after if after[name] != before[name]} == set(names)

    @contextlib.contextmanager
    def adds(self, *names: str) -> Iterator[None]:
        """Check that the block makes containers of `names`, and keeps all others."""
        before = self.ids()
        yield
        after = self.ids()
        assert {name: after.get(name) for name in before} == before
        assert set(after) - set(before) == set(names)

    @contextlib.contextmanager
    def restarts(self, *names: str) -> Iterator[None]:
        """Check that the block starts the same containers of `names` once more, and nobody else."""
        before = {f"{item.service}-{item.number}": item for item in self.containers()}
        yield
        after = {f"{item.service}-{item.number}": item for item in self.containers()}
        assert {name: item.id for name, item in after.items()} == {n: i.id for n, i in before.items()}
        assert {name for name in after if after[name].started != before[name].started} == set(names)

    def differs(self, difference: str, *, docker: T, pycompose: T) -> T:
        """Return what to expect of this engine; the difference has to be on the list."""
        assert difference in differences(), f"{difference!r} isn't in {DIFFERENCES.name}"
        ours = (
            ("pycompose",)
            if differences()[difference].get("made_by") != "engine"
            else ("pycompose", "socket")
        )
        return pycompose if self.engine.name in ours else docker

    def close(self) -> None:
        """End what was started and remove what is left of the project."""
        for running in self._running:
            running.kill()
        if self._named:
            self.engine.run("container", "rm", "-f", "-v", *sorted(self._named), cwd=self.folder)
        if not (self.engine.containers(self.project) or self.networks() or self.volumes()):
            return
        arguments = ["-p", self.project, "down", "-v", "-t", "0", "--remove-orphans"]
        if self.volumes():  # only a compose file says which volumes belong to the project
            names = sorted(self.volumes())
            text = "services: {none: {image: busybox}}\nvolumes:\n" + "".join(f"  {n}:\n" for n in names)
            text += "networks:\n  default:\n" + "".join(
                f"  {n}:\n" for n in sorted(self.networks() - {"default"})
            )
            (self.folder / ".close.yaml").write_text(text, encoding="utf-8")
            arguments = ["-f", ".close.yaml", "--all-resources", *arguments]
        self.engine.run(*arguments, cwd=self.folder)

    def _own(self, names: set[str]) -> set[str]:
        start = f"{self.project}_"
        return {name.removeprefix(start) for name in names if name.startswith(start)}


@cache
def differences() -> dict[str, dict[str, str]]:
    """Return the list of differences on purpose, by id."""
    entries = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["difference"]
    return {entry["id"]: entry for entry in entries}
