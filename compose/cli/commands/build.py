"""`pycompose build`: make the images of services from their Dockerfiles."""

from __future__ import annotations

from typing import Any

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import BytesType, dry_run_option, services_argument
from pycompose.client.options import BuildOptions, PushOptions


@click.command(help="Build or rebuild services.")
@services_argument()
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Set a build argument.")
@click.option("--builder", metavar="NAME", help="Accepted: there is one builder.")
@click.option("--check", is_flag=True, help="Check the Dockerfiles, build nothing.")
@click.option("-m", "--memory", "memory_bytes", type=BytesType(), help="Memory limit of each step.")
@click.option("--no-cache", is_flag=True, help="Do every step anew.")
@click.option("--print", "print_", is_flag=True, help="Print what would be built, as a bake file.")
@click.option("--provenance", metavar="TEXT", help="Accepted: builds make no attestations.")
@click.option("--pull", is_flag=True, help="Get newer versions of base images.")
@click.option("--push", is_flag=True, help="Push the images afterwards.")
@click.option("-q", "--quiet", is_flag=True, help="Without the steps' output.")
@click.option("--sbom", metavar="TEXT", help="Accepted: builds make no attestations.")
@click.option("--ssh", multiple=True, metavar="ID[=SOCKET]", help="Give an SSH agent to the steps.")
@click.option("--with-dependencies", is_flag=True, help="Also what the services depend on.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], **flags: Any) -> None:
    """Build, showing progress."""
    from pycompose.client import build, images  # noqa: PLC0415 - --help doesn't need it

    for name in ("check", "print_"):
        if flags[name]:
            raise click.UsageError(f"--{name.strip('_')} is not possible yet")
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
    )
    with invocation.showing("build", kind="quiet" if flags["quiet"] else None) as sink:
        context = invocation.context(sink)
        project = project_of(loaded)
        build.build(context, project, options)
        if options.push:
            push = PushOptions(
                services=services, include_deps=flags["with_dependencies"], dry_run=invocation.dry_run
            )
            images.push(context, project, push)


_NO_EFFECT = {
    "builder": "there is one builder",
    "provenance": "builds make no attestations",
    "sbom": "builds make no attestations",
}
