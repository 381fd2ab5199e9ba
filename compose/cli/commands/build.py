"""`pycompose build`: make the images of services from their Dockerfiles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display import style
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import (
    PROGRESS,
    BytesType,
    GoCommand,
    dry_run_option,
    retired_option,
    services_argument,
)
from pycompose.client.options import BuildOptions, PushOptions

if TYPE_CHECKING:
    from pycompose.build.checks import CheckReport
    from pycompose.build.steplog import StepRow


def _progress(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Take the global flag here, too: Compose says that it would rather have it there."""
    if value and isinstance(ctx.obj, Invocation):
        ctx.obj.progress = value


@click.command(cls=GoCommand, help="Build or rebuild services.")
@services_argument()
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Set a build argument.")
@click.option("--builder", metavar="NAME", help="Accepted: there is one builder.")
@click.option("--check", is_flag=True, help="Check the Dockerfiles, build nothing.")
@click.option("--debug-shell", is_flag=True, help="On a failure, a shell in the place of the failed step.")
@click.option("--explain", is_flag=True, help="Say for each step that is made why it isn't in the cache.")
@click.option("-m", "--memory", "memory_bytes", type=BytesType(), help="Memory limit of each step.")
@click.option("--no-cache", is_flag=True, help="Do every step anew.")
@click.option("--print", "print_", is_flag=True, help="Print what would be built, as a bake file.")
@click.option("--provenance", metavar="TEXT", help="Accepted: builds make no attestations.")
@click.option("--pull", is_flag=True, help="Get newer versions of base images.")
@click.option("--push", is_flag=True, help="Push the images afterwards.")
@click.option("-q", "--quiet", is_flag=True, help="Without the steps' output.")
@click.option("--sbom", metavar="TEXT", help="Accepted: builds make no attestations.")
@click.option(
    "--ssh", multiple=True, metavar="ID[=SOCKET|KEY]", help="Give an SSH agent, or a key, to the steps."
)
@click.option("-v", "--verbose", is_flag=True, help="Show a table of all steps at the end.")
@click.option("--with-dependencies", is_flag=True, help="Also what the services depend on.")
@click.option("--progress", type=click.Choice(PROGRESS), hidden=True, expose_value=False, callback=_progress)
@retired_option("--compress")
@retired_option("--force-rm")
@retired_option("--no-rm")
@retired_option("--parallel")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], **flags: Any) -> None:
    """Build, showing progress."""
    from pycompose.cli.debug_shell import debug_shell  # noqa: PLC0415 - as below
    from pycompose.cli.display.steps import show_steps  # noqa: PLC0415 - --help doesn't need it
    from pycompose.client import build, images  # noqa: PLC0415 - as above

    loaded = invocation.load()
    for name in ("builder", "provenance", "sbom"):
        if flags[name] is not None and flags[name] not in ("false", "default"):
            invocation.warn(f"--{name} has no effect: " + _NO_EFFECT[name])
    options = BuildOptions(
        services=services,
        build_args=flags["build_args"],
        no_cache=flags["no_cache"],
        pull=flags["pull"],
        memory_bytes=flags["memory_bytes"],
        push=flags["push"],
        quiet=flags["quiet"],
        ssh=flags["ssh"],
        with_dependencies=flags["with_dependencies"],
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
        check=flags["check"],
    )
    if flags["print_"]:
        click.echo(build.print_bake(invocation.context(), project_of(loaded), options), nl=False)
        return
    if flags["check"]:
        show_check(build.check_services(invocation.context(), project_of(loaded), options))
        return
    kind = "quiet" if flags["quiet"] else None
    project = project_of(loaded)
    rows: list[StepRow] = []
    try:
        with invocation.showing("build", kind=kind, steps=sys.stdout) as sink:
            context = invocation.context(sink)
            if flags["debug_shell"]:
                context.on_failure = debug_shell(sink)
            build.build(context, project, options, rows)
    finally:
        show_steps(rows, explain=flags["explain"], verbose=flags["verbose"])
    if options.push:
        push = PushOptions(
            services=services, include_deps=flags["with_dependencies"], dry_run=invocation.dry_run
        )
        with invocation.showing("push", kind=kind) as sink:
            images.push(invocation.context(sink), project, push)


def show_check(report: CheckReport) -> None:
    """Print what `--check` has found; ends with code 1 when it is something. Raises DockerfileError."""
    for line in report.text.splitlines():
        click.echo(style.clean(line))
    if report.error is not None:
        raise report.error
    if report.found:
        raise click.exceptions.Exit(1)


_NO_EFFECT = {
    "builder": "there is one builder",
    "provenance": "builds make no attestations",
    "sbom": "builds make no attestations",
}
