"""Container output on the screen: `web-1  | GET /`, aligned, coloured by first appearance.

Output goes through as the bytes it is: people want their programs' colours. Only the prefix is ours.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterable
from typing import IO

from pycompose.cli.display import style
from pycompose.cli.display.humanize import exit_sentence, moment
from pycompose.client.views import ContainerLogLine, Exited, Recreated

FLUSH_BYTES = 1 << 16
HELD_BYTES = 1 << 20
_BESIDE = re.compile(r"[0-9a-f]{12}_")


def short_name(container: str, project: str, service: str, number: int) -> str:
    """Return the container's name without the project, or as it is when the service chose its own name.

    One that runs beside what it is about to replace is already called as it will be.
    """
    container = _BESIDE.sub("", container)
    for separator in ("-", "_"):
        if container == f"{project}{separator}{service}{separator}{number}":
            return container[len(project) + 1 :]
    return container


class LogPrinter:
    """Writes lines of many containers to two byte streams; may be called from several threads.

    `live` flushes after every line (someone is watching), else a single thread writes by blocks. `footer` is
    drawn below the last line of a terminal and taken away before the next one (the menu of `up`).
    """

    def __init__(  # noqa: PLR0913 - all of it is how to print
        self,
        stdout: IO[bytes],
        stderr: IO[bytes],
        *,
        project: str,
        colour: bool = False,
        prefix: bool = True,
        timestamps: bool = False,
        live: bool = True,
    ) -> None:
        self._streams = {"stdout": stdout, "stderr": stderr}
        block = bytearray()  # one for both keeps the order of what goes to the same place
        self._blocks = {"stdout": block, "stderr": block if stderr is stdout else bytearray()}
        self._project = project
        self._colour = colour
        self._prefix = prefix
        self._timestamps = timestamps
        self._live = live
        self._width = 0
        self._colours: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._heads: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._footer = b""
        self._held: list[tuple[str, bytes]] | None = None
        self._held_bytes = 0
        self._elsewhere: dict[str, list[list[int]]] = {}

    def expect(self, names: Iterable[str]) -> None:
        """Make the prefix wide enough for these (short) names from the start."""
        with self._lock:
            for name in names:
                self._grow(name)

    def line(self, line: ContainerLogLine) -> None:
        """Write one line of output, unless the user has seen it while the screen was handed to the container."""
        if self._elsewhere:
            spans = self._elsewhere.get(line.container, ())
            if any(first <= line.stamp_ns <= last for first, last in spans):
                return
        head = self._heads.get(line.container)
        if head is None:
            head = self._head(line)
        if self._timestamps:
            head += moment(line.stamp_ns).encode() + b" "
        self._write(line.stream, head + line.data + b"\n")

    def lines(self, lines: Iterable[ContainerLogLine]) -> None:
        """Write many lines."""
        if self._live:
            for line in lines:
                self.line(line)
            return
        heads, blocks = self._heads, self._blocks
        for line in lines:
            head = heads.get(line.container)
            if head is None:
                head = self._head(line)
            if self._timestamps:
                head += moment(line.stamp_ns).encode() + b" "
            blocks[line.stream] += b"%b%b\n" % (head, line.data)
        if any(len(block) >= FLUSH_BYTES for block in blocks.values()):
            self.flush()

    def hook(self, source: str, text: str) -> None:
        """Write a line that a hook has printed; `source` says whose (`web-1 ->`)."""
        self.line(ContainerLogLine(source, "", text.encode(), stamp_ns=time.time_ns()))

    def status(self, container: str, service: str, number: int, sentence: str) -> None:
        """Write a line about a container, in its colour; `{}` in `sentence` becomes its name."""
        name = short_name(container, self._project, service, number)
        with self._lock:
            self._grow(name)
        text = style.paint(sentence.format(name), self._colours[name], on=self._colour)
        self._write("stdout", text.encode() + b"\n")

    def ended(self, item: Exited) -> None:
        """Write that a container has ended, and how."""
        sentence = exit_sentence("{}", item.exit_code, known=item.exit_code_known, restarting=item.restarting)
        self.status(item.container, item.service, item.number, sentence)

    def recreated(self, item: Recreated) -> None:
        """Write that a container has been replaced."""
        self.status(item.container, item.service, item.number, "{} has been recreated")

    def text(self, text: str, *, stream: str = "stdout") -> None:
        """Write a line of our own."""
        self._write(stream, text.encode() + b"\n")

    def footer(self, text: str) -> None:
        """Show `text` below the output from now on, "" takes it away. Only for terminals."""
        with self._lock:
            stream = self._streams["stdout"]
            if self._held is not None:
                self._footer = text.encode()
                return
            if self._footer:
                stream.write(b"\r\x1b[K")
            self._footer = text.encode()
            stream.write(self._footer)
            stream.flush()

    def hold(self, container: str, text: str) -> None:
        """Write `text`, then nothing until `release`: the screen belongs to `container`.

        Output waits: 1 MiB in memory, then whoever wants to write. What the container itself writes meanwhile
        isn't shown a second time.
        """
        with self._lock:
            self._put("stdout", text.encode() + b"\n", footer=b"")
            self._streams["stdout"].flush()
            self._held, self._held_bytes = [], 0
            self._elsewhere.setdefault(container, []).append([time.time_ns(), sys.maxsize])

    def release(self) -> None:
        """Write what has waited, and go on."""
        with self._lock:
            now_ns = time.time_ns()
            for spans in self._elsewhere.values():
                spans[-1][1] = min(spans[-1][1], now_ns)
            held, self._held = self._held or [], None
            self._streams["stdout"].write(b"\r\n")
            for which, data in held:
                self._put(which, data, footer=b"")
            self._streams["stdout"].write(self._footer)
            self._flush()
            self._room.notify_all()

    def flush(self) -> None:
        """Let everything out."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        for which, stream in self._streams.items():
            block = self._blocks[which]
            if block:
                stream.write(block)
                block.clear()
            stream.flush()

    def _write(self, which: str, data: bytes) -> None:
        if not self._live:
            block = self._blocks[which]
            block += data
            if len(block) >= FLUSH_BYTES:
                self.flush()
            return
        with self._lock:
            self._room.wait_for(lambda: self._held is None or self._held_bytes < HELD_BYTES)
            if self._held is None:
                self._put(which, data, footer=self._footer)
            else:
                self._held.append((which, data))
                self._held_bytes += len(data)

    def _put(self, which: str, data: bytes, *, footer: bytes) -> None:
        """Write to a stream, above the footer; `footer` is what is to be below it afterwards."""
        stream, menu = self._streams[which], self._streams["stdout"]
        if self._footer:
            menu.write(b"\r\x1b[K")
            if stream is not menu:
                menu.flush()
        stream.write(data)
        if footer:
            if stream is not menu:
                stream.flush()
            menu.write(footer)
            menu.flush()
        else:
            stream.flush()

    def _head(self, line: ContainerLogLine) -> bytes:
        """Return what comes before a line, and remember it until another name asks for more room."""
        head = b""
        if self._prefix:
            name = self._names.get(line.container)
            if name is None:
                name = short_name(line.container, self._project, line.service, line.number)
                self._names[line.container] = name
            with self._lock:
                self._grow(name)
                text = style.paint(f"{name:<{self._width}}  | ", self._colours[name], on=self._colour)
                head = text.encode()
        self._heads[line.container] = head
        return head

    def _grow(self, name: str) -> None:
        if name not in self._colours:
            self._colours[name] = style.LOG_COLOURS[len(self._colours) % len(style.LOG_COLOURS)]
        if len(name) > self._width:
            self._width = len(name)
            self._heads.clear()
