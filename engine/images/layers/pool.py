"""As many unpack processes as the machine has processors, fed by threads."""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

from pycompose.engine.images.layers.workers import GrowingBlob, Unpacked, Worker

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

MAX_WORKERS = 4


class UnpackPool:
    """Unpacks layers in parallel, in the order they are submitted.

    A context manager; starts processes as needed.
    """

    def __init__(self, workers: int | None = None) -> None:
        count = workers or min(MAX_WORKERS, len(os.sched_getaffinity(0)))
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"unpack-{n}", daemon=True) for n in range(count)
        ]
        self._started = 0
        self._lock = threading.Lock()

    def warm(self, count: int) -> None:
        """Start up to `count` of the processes now, while something else is waited for."""
        with self._lock:
            while self._started < min(count, len(self._threads)):
                self._threads[self._started].start()
                self._started += 1

    def submit(self, blob: int, compression: str, staging: Path, growing: GrowingBlob) -> Future[Unpacked]:
        """Unpack the file behind `blob` into `staging` as it grows, then close it.

        See Worker.unpack for what the future raises.
        """
        self.warm(self._started + 1)
        job = _Job(blob, compression, staging, growing)
        self._jobs.put(job)
        return job.future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _ in self._threads[: self._started]:
            self._jobs.put(None)
        for thread in self._threads[: self._started]:
            thread.join()

    def _run(self) -> None:
        worker: Worker | None = Worker()
        try:
            while (job := self._jobs.get()) is not None:
                worker = worker or Worker()
                try:
                    job.future.set_result(worker.unpack(job.blob, job.compression, job.staging, job.growing))
                except Exception as exc:  # noqa: BLE001 - handed on to whoever asks the future
                    job.future.set_exception(exc)
                    worker.close()
                    worker = None
        finally:
            if worker is not None:
                worker.close()


class _Job:
    def __init__(self, blob: int, compression: str, staging: Path, growing: GrowingBlob) -> None:
        self.blob = blob
        self.compression = compression
        self.staging = staging
        self.growing = growing
        self.future: Future[Unpacked] = Future()
