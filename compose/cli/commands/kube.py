"""`pycompose kube …`: the project on Kubernetes, through the user's kubectl."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pycompose import privileges
from pycompose.cli import groups
from pycompose.cli.display import style
from pycompose.cli.display.format import dumps
from pycompose.cli.display.table import render
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import complete_services
from pycompose.engine.errors import PycomposeError
from pycompose.errors import unknown_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.config.load import Loaded
    from pycompose.kube.convert import Conversion
    from pycompose.kube.documents import File
    from pycompose.kube.kubectl import Kubectl
    from pycompose.kube.remarks import Remark

STDOUT = "-"
GITIGNORE = ".gitignore"
DIFF_FAILED = 2  # as kubectl diff: 1 is "there are differences"
_COLOURS = {"error": style.RED, "warning": style.YELLOW, "note": style.CYAN}


# Those that rehearse what they change, and those that change nothing; `generate` has no steps to show.
_REHEARSED = frozenset({"apply", "down", "diff", "status", "logs"})


@click.group(cls=groups.ManagementGroup, help="Run the project on Kubernetes.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    if ctx.invoked_subcommand not in _REHEARSED:
        groups.refuse_dry_run(ctx)


def _options(*, applies: bool) -> Callable[[Any], Any]:
    """Declare what all commands that convert the project share."""

    def declare(function: Any) -> Any:
        options = [
            click.option(
                "-n", "--namespace", default="", metavar="NAME", help="The namespace of all objects."
            ),
            click.option(
                "--set",
                "assignments",
                multiple=True,
                metavar="SERVICE.KEY=VALUE",
                help="A key of x-kube: web.expose=LoadBalancer.",
            ),
            click.option("--strict", is_flag=True, help="Take warnings for errors."),
            click.option("--resolve-digests", is_flag=True, help="Name images by the digests of their tags."),
            click.option(
                "--binds",
                type=click.Choice(("refuse", "hostpath")),
                default="refuse",
                help="hostpath mounts directories of the node.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Without notes."),
        ]
        if applies:
            options.append(
                click.option("--context", default="", metavar="NAME", help="The context of kubectl.")
            )
        for option in reversed(options):
            function = option(function)
        return function

    return declare


@command.command("generate", help="Write the objects as YAML.")
@_options(applies=False)
@click.option("-o", "--output", default=STDOUT, metavar="DIR", help="A directory, or - for standard output.")
@click.option(
    "--for",
    "layout",
    type=click.Choice(("kustomize", "plain")),
    default="kustomize",
    help="With a kustomization.yaml, or without.",
)
@click.option("--show-secrets", is_flag=True, help="Print Secrets on standard output as well.")
@click.option("--format", "how", type=click.Choice(("yaml", "json")), default="yaml", help="What is printed.")
@click.pass_obj
def generate(
    invocation: Invocation, /, *, output: str, layout: str, show_secrets: bool, how: str, **args: Any
) -> None:
    """Convert, and write; with an error nothing is written."""
    from pycompose.kube.documents import files_of, to_yaml

    conversion = _convert(invocation, invocation.load(elsewhere=True), args)
    if output == STDOUT:
        shown = [item for item in conversion.objects if show_secrets or item["kind"] != "Secret"]
        hidden = len(conversion.objects) - len(shown)
        click.echo(dumps(shown) + "\n" if how == "json" else to_yaml(shown), nl=False)
        if hidden:
            invocation.warn(
                f"{hidden} Secret{'s' if hidden > 1 else ''} left out: --show-secrets prints them, -o DIR writes them"
            )
        return
    # Plain files name their namespace themselves; a kustomization does it for all.
    written = files_of(conversion.parts, kustomize=layout == "kustomize", namespace=args["namespace"])
    _write(invocation, Path(output), written)


def _write(invocation: Invocation, directory: Path, files: list[File]) -> None:
    from pycompose.kube.documents import write_files

    for name in write_files(directory, files):
        print(f"{directory / name}: removed, it is of an earlier run", file=sys.stderr)
    for file in files:
        print(directory / file.name)
    private = [file.name for file in files if file.private]
    ignored = directory / GITIGNORE
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.is_file() else []
    if missing := [name for name in private if name not in lines and f"/{name}" not in lines]:
        invocation.warn(
            f"{', '.join(missing)}: holds secrets: keep it out of git: echo {missing[0]} >> {ignored}"
        )


@command.command("diff", help="Show what apply would change; the exit code is 1 then, 2 on errors.")
@_options(applies=True)
@click.pass_context
def diff(ctx: click.Context, /, **args: Any) -> None:
    """Have kubectl compare."""
    from pycompose.kube.documents import to_yaml

    invocation: Invocation = ctx.obj
    invocation.failure_code = DIFF_FAILED
    conversion = _convert(invocation, invocation.load(elsewhere=True), args)
    ctx.exit(_kubectl(invocation, args).diff(to_yaml(conversion.objects)))


@command.command("apply", help="Bring the project to the cluster, and remove there what it no longer has.")
@_options(applies=True)
@click.option("--wait", is_flag=True, help="Wait until everything is ready.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1),
    default=300,
    metavar="SECONDS",
    help="For each wait (300).",
)
@click.option("--dry-run", is_flag=True, help="Have the cluster check it, and change nothing.")
@click.option(
    "--push", "registry", default="", metavar="REGISTRY", help="Build, and push there, what has a build:."
)
@click.pass_obj
def apply_(
    invocation: Invocation, /, *, wait: bool, timeout_s: int, dry_run: bool, registry: str, **args: Any
) -> None:
    """Apply in the order of what needs what."""
    from pycompose.kube.apply import Wanted, apply

    loaded = invocation.load(elsewhere=True)
    kubectl = _kubectl(invocation, args)
    wanted = Wanted(wait=wait, dry_run=dry_run or invocation.dry_run, timeout_s=timeout_s)
    images: dict[str, str] = {}
    if registry:
        from pycompose.client.cluster_images import push_names

        images = push_names(project_of(loaded), registry)
        if not wanted.dry_run:
            # What can't be on a cluster is said before anything is built and pushed for it.
            _converted(invocation, loaded, args, images, rehearsal=True)
            images = _pushed(invocation, loaded, images)
    conversion = _convert(invocation, loaded, args, images)
    apply(kubectl, loaded.name, conversion, wanted, sys.stdout)


@command.command("status", help="Show how the project's workloads are.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Where they are.")
@click.option("--context", default="", metavar="NAME", help="The context of kubectl.")
@click.option(
    "--format", "how", type=click.Choice(("table", "json")), default="table", help="How it is printed."
)
@click.pass_obj
def status(invocation: Invocation, /, *, how: str, **args: Any) -> None:
    """List workloads with the news of their pods."""
    from pycompose.kube.status import status as rows_of

    rows = rows_of(_kubectl(invocation, args), invocation.name())
    keys = ("service", "kind", "ready", "restarts", "image", "reason")
    if how == "json":
        click.echo(dumps([{key: getattr(row, key) for key in keys} for row in rows]))
        return
    cells = [[str(getattr(row, key)) for key in keys] for row in rows]
    click.echo(render([[key.upper() for key in keys], *cells]), nl=False)


@command.command("logs", help="Show what the pods of a service print.")
@click.argument("service", shell_complete=complete_services)
@click.option("-n", "--namespace", default="", metavar="NAME", help="Where it is.")
@click.option("--context", default="", metavar="NAME", help="The context of kubectl.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--tail", type=int, default=-1, metavar="N", help="Only the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--previous", is_flag=True, help="Of the container before its restart.")
@click.pass_obj
def logs(
    invocation: Invocation,
    /,
    service: str,
    *,
    follow: bool,
    tail: int,
    timestamps: bool,
    previous: bool,
    **args: Any,
) -> None:
    """Become kubectl."""
    from pycompose.kube.apply import selector
    from pycompose.kube.names import label
    from pycompose.kube.scope import NAME

    loaded = invocation.load(elsewhere=True)
    if service not in project_of(loaded).services:
        raise unknown_service(service, project_of(loaded).services)
    kubectl = _kubectl(invocation, args)
    words = [
        "logs",
        f"--selector={selector(loaded.name)},{NAME}={label(service)}",
        "--all-containers",
        "--prefix",
        f"--tail={tail}",
    ]
    words += [
        word
        for word, on in (("--follow", follow), ("--timestamps", timestamps), ("--previous", previous))
        if on
    ]
    if follow:
        words.append("--max-log-requests=100")
    sys.stdout.flush()
    os.execv(kubectl.program, kubectl.argv(*words))  # noqa: S606 - kubectl takes our place


@command.command("down", help="Remove the project from the cluster; volumes stay.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Where it is.")
@click.option("--context", default="", metavar="NAME", help="The context of kubectl.")
@click.option("-v", "--volumes", is_flag=True, help="Also the volumes, with their data.")
@click.pass_obj
def down(invocation: Invocation, /, *, volumes: bool, **args: Any) -> None:
    """Delete by label."""
    from pycompose.kube.apply import down as remove

    kubectl = _kubectl(invocation, args)
    remove(kubectl, invocation.name(), sys.stdout, volumes=volumes, dry_run=invocation.dry_run)


def _kubectl(invocation: Invocation, args: dict[str, Any]) -> Kubectl:
    from pycompose.kube.kubectl import Kubectl

    return Kubectl.find(args["context"], args["namespace"], invocation.environment.get("PATH"))


def _convert(
    invocation: Invocation, loaded: Loaded, args: dict[str, Any], images: dict[str, str] | None = None
) -> Conversion:
    """Convert the project and print what is found; raises PycomposeError when nothing can be made of it."""
    return _converted(invocation, loaded, args, images or {}, rehearsal=False)


def _converted(
    invocation: Invocation, loaded: Loaded, args: dict[str, Any], images: dict[str, str], *, rehearsal: bool
) -> Conversion:
    """Convert; a `rehearsal` asks no registry, and prints only what ends it."""
    from pycompose.kube.convert import convert
    from pycompose.kube.remarks import Severity
    from pycompose.kube.scope import Options

    project = project_of(loaded)
    named = dict(images)
    if args["resolve_digests"] and not rehearsal:
        named |= _resolved(project.services.values(), named, invocation)
    options = Options(
        namespace=args["namespace"],
        overrides=_overrides(args["assignments"], project.services),
        images=named,
        host_binds=args["binds"] == "hostpath",
    )
    conversion = convert(project, loaded.tree, _known(invocation, loaded), options)
    errors = len(conversion.of(Severity.ERROR))
    if args["strict"]:
        errors += len(conversion.of(Severity.WARNING))
    if errors or not rehearsal:
        _print(invocation, conversion.remarks, quiet=args["quiet"])
    if errors:
        raise PycomposeError(
            f"project {loaded.name}: can't be on a cluster as it is: {errors} of the lines above; nothing was written"
        )
    return conversion


def _print(invocation: Invocation, remarks: Iterable[Remark], *, quiet: bool) -> None:
    colour = invocation.colour(sys.stderr)
    for remark in remarks:
        word = remark.severity.value
        if word != "note" or not quiet:
            print(
                f"{style.paint(word, _COLOURS[word], on=colour)} {style.clean(str(remark))}", file=sys.stderr
            )


def _overrides(assignments: Iterable[str], services: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return `--set SERVICE.KEY=VALUE` by service and key; names of services may have dots."""
    found: dict[tuple[str, str], str] = {}
    for text in assignments:
        left, equals, value = text.partition("=")
        service, dot, key = left.rpartition(".")
        if not (equals and dot):
            raise PycomposeError(
                f"--set {text}: cannot be read", hint="write SERVICE.KEY=VALUE, as web.expose=LoadBalancer"
            )
        if service not in services:
            raise unknown_service(service, services)
        found[service, key] = value
    return found


def _known(invocation: Invocation, loaded: Loaded) -> dict[str, Any]:
    """Return what is known of the images that are here, which is nothing for those who may not look."""
    if not privileges.can_run_containers():
        return {}
    from pycompose.client.cluster_images import known_images
    from pycompose.engine.paths import StatePaths

    return known_images(StatePaths.from_environment(invocation.environment), project_of(loaded))


def _resolved(services: Iterable[Any], named: dict[str, str], invocation: Invocation) -> dict[str, str]:
    from pycompose.client.digests import pinned

    wanted = {
        service.name: service.image for service in services if service.image and service.name not in named
    }
    digests = pinned(wanted.values(), invocation.environment)
    return {name: digests[image] for name, image in wanted.items()}


def _pushed(invocation: Invocation, loaded: Loaded, targets: dict[str, str]) -> dict[str, str]:
    from pycompose.client.cluster_images import push_built

    with invocation.showing("kube") as sink:
        return push_built(invocation.context(sink), project_of(loaded), targets)
