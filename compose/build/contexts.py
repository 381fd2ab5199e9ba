"""The contexts of one command: folders here, and what is fetched for as long as it takes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pycompose.engine.builder.contexts import OpenedContext, fetch_context, is_remote_context
from pycompose.engine.builder.fetching import Fetcher
from pycompose.engine.errors import BuildError, PycomposeError
from pycompose.engine.images.layout import ImageLayout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycompose.engine.builder.request import Secret
    from pycompose.engine.paths import StatePaths


class Contexts:
    """Use as a context manager: what was fetched into folders is gone at the end of the block."""

    def __init__(self, paths: StatePaths, environment: Mapping[str, str]) -> None:
        self._layout = ImageLayout(paths.images)
        self._stack = contextlib.ExitStack()
        self._opened: dict[tuple[str, bool], OpenedContext] = {}
        self.fetcher = Fetcher(paths.builder / "sources", environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.fetcher.close()

    def open(
        self,
        text: str,
        what: str,
        secrets: Mapping[str, Secret],
        agents: Mapping[str, str],
        *,
        keep_git_dir: bool = False,
    ) -> OpenedContext:
        """Return the context that `text` names; `what` begins messages. Raises BuildError.

        Repositories open for the secret GIT_AUTH_TOKEN and the agent `default`.
        """
        if os.path.isdir(text) or not is_remote_context(text):
            return OpenedContext(folder=local_folder(text, what))
        from pycompose.engine.builder.git import access  # noqa: PLC0415 - seldom

        key = (text, keep_git_dir)
        if key not in self._opened:
            place = self.folder()
            try:
                self._opened[key] = fetch_context(
                    text, place, self.fetcher, access(secrets, agents), keep_git_dir=keep_git_dir
                )
            except PycomposeError as exc:
                raise BuildError(f"{what}: {exc.message}", hint=exc.hint) from exc
            except OSError as exc:
                raise BuildError(f"{what}: context {text}: {exc.filename or ''}: {exc.strerror}") from exc
        return self._opened[key]

    def agent(self, keys: Sequence[str], what: str) -> str:
        """Return the socket of an agent with the keys in these files, there until the end of the block.

        Raises BuildError.
        """
        from pycompose.engine.builder.keyagent import key_agent  # noqa: PLC0415 - seldom

        place = self._stack.enter_context(self._layout.scratch("agent"))
        return self._stack.enter_context(key_agent(keys, place, what))

    def folder(self) -> Path:
        """Return a new empty folder that is there until the end of the block."""
        place = self._stack.enter_context(self._layout.scratch("context")) / "context"
        place.mkdir(mode=0o755)
        return place


def local_folder(text: str, what: str) -> Path:
    """Return the directory of a context; raises BuildError for one that is none."""
    path = Path(text)
    if not path.is_dir():
        reason = "is not a directory" if path.exists() else "path not found"
        raise BuildError(f"{what}: context {text}: {reason}")
    return path
