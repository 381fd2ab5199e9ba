"""`pycompose image build`: an image out of a Dockerfile, apart from any project, with docker's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import BytesType, GoCommand

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.build.steplog import StepRow

_NO_EFFECT = {
    "attest": "builds make no attestations",
    "builder": "there is one builder",
    "load": "the image is always kept here",
    "provenance": "builds make no attestations",
    "sbom": "builds make no attestations",
}
# What docker's builder took before BuildKit, which takes it without effect.
_LEGACY_SWITCHES = ("--rm", "--force-rm", "--compress", "--squash")
_LEGACY_VALUES = (
    "--cpu-period", "--cpu-quota", "--cpu-shares", "--cpuset-cpus", "--cpuset-mems", "--isolation", "--memory-swap",
    "--security-opt",
)  # fmt: skip


def _legacy_options(function: Callable[..., None]) -> Callable[..., None]:
    """Declare the flags that scripts still have."""

    def say(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value and isinstance(ctx.obj, Invocation):
            ctx.obj.warn(f"{param.opts[-1]} has no effect: it is a flag of docker's builder before BuildKit")

    for name in _LEGACY_SWITCHES:
        function = click.option(name, is_flag=True, hidden=True, expose_value=False, callback=say)(function)
    for name in _LEGACY_VALUES:
        names = ("-c", name) if name == "--cpu-shares" else (name,)
        function = click.option(*names, hidden=True, expose_value=False, callback=say)(function)
    return function


@click.command(
    cls=GoCommand,
    help="Build an image from a Dockerfile. PATH may be - for a Dockerfile or a tar of the context on stdin.",
)
@click.argument("path")
@click.option(
    "-f", "--file", "dockerfile", metavar="FILE", help="Dockerfile (default: PATH/Dockerfile; - is stdin)."
)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name of the image.")
@click.option("--target", metavar="STAGE", help="Stage to build.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Set a build argument.")
@click.option(
    "--build-context", "contexts", multiple=True, metavar="NAME=SOURCE", help="Further context or image."
)
@click.option("--secret", "secrets", multiple=True, metavar="id=ID,src=FILE", help="Secret for RUN --mount.")
@click.option(
    "--ssh", multiple=True, metavar="ID[=SOCKET|KEY]", help="Give an SSH agent, or a key, to the steps."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the image.")
@click.option("--platform", metavar="OS/ARCH", help="Platform (default: this machine's).")
@click.option("--network", default="default", metavar="MODE", help="default, none or host.")
@click.option("--add-host", "hosts", multiple=True, metavar="NAME:IP", help="Add to /etc/hosts of the steps.")
@click.option("--shm-size", "shm_bytes", type=BytesType(), help="Size of /dev/shm of the steps.")
@click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="Limit of the steps.")
@click.option("-m", "--memory", "memory_bytes", type=BytesType(), help="Memory limit of each step.")
@click.option("--cgroup-parent", default="", metavar="PATH", help="Control group above the steps'.")
@click.option("--no-cache", is_flag=True, help="Do every step anew.")
@click.option("--no-cache-filter", multiple=True, metavar="STAGE", help="Do these stages anew.")
@click.option("--pull", is_flag=True, help="Get newer versions of base images.")
@click.option("--debug-shell", is_flag=True, help="On a failure, a shell in the place of the failed step.")
@click.option("--explain", is_flag=True, help="Say for each step that is made why it isn't in the cache.")
@click.option("-v", "--verbose", is_flag=True, help="Show a table of all steps at the end.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's id only.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]),
    help="How to show progress.",
)
@click.option("--push", is_flag=True, help="Push the image's names afterwards.")
@click.option("--iidfile", metavar="FILE", help="Write the image's id to a file.")
@click.option("--metadata-file", metavar="FILE", help="Write what was built to a file, as JSON.")
@click.option(
    "-o",
    "--output",
    metavar="type=TYPE,dest=PATH",
    help="local, tar, oci, docker, registry or image (default).",
)
@click.option(
    "--cache-from",
    multiple=True,
    metavar="type=TYPE,…",
    help="Cache from elsewhere: local, registry, an image.",
)
@click.option(
    "--cache-to", multiple=True, metavar="type=TYPE,…", help="Cache to elsewhere: local, registry, inline."
)
@click.option(
    "--annotation", "annotations", multiple=True, metavar="[TYPE:]KEY=VALUE", help="Annotate the manifest."
)
@click.option("--allow", multiple=True, metavar="ENTITLEMENT", help="security.insecure.")
@click.option("--check", is_flag=True, help="Check the Dockerfile, build nothing: --call check.")
@click.option(
    "--call", metavar="METHOD", default="build", help="build, check, outline or targets; METHOD,format=json."
)
@click.option("--attest", metavar="TEXT", hidden=True)
@click.option("--builder", metavar="NAME", hidden=True)
@click.option("--provenance", metavar="TEXT", hidden=True)
@click.option("--sbom", metavar="TEXT", hidden=True)
@click.option("--load", is_flag=True, hidden=True)
@_legacy_options
@click.pass_obj
def command(invocation: Invocation, /, **flags: Any) -> None:
    """Build, showing progress; the id goes to standard output with -q."""
    from pycompose.cli.debug_shell import debug_shell  # noqa: PLC0415 - as below
    from pycompose.cli.display.steps import show_steps  # noqa: PLC0415 - --help doesn't need it
    from pycompose.machine import image_build  # noqa: PLC0415 - as above

    for name, reason in _NO_EFFECT.items():
        if flags[name] not in (None, False, "false", "default"):
            invocation.warn(f"--{name} has no effect: {reason}")
    options = image_build.ImageBuildOptions(
        path=flags["path"],
        dockerfile=flags["dockerfile"],
        tags=flags["tags"],
        target=flags["target"] or "",
        build_args=flags["build_args"],
        contexts=flags["contexts"],
        secrets=flags["secrets"],
        ssh=flags["ssh"],
        labels=flags["labels"],
        platform=flags["platform"] or "",
        network=flags["network"],
        hosts=flags["hosts"],
        shm_bytes=flags["shm_bytes"],
        ulimits=flags["ulimits"],
        memory_bytes=flags["memory_bytes"],
        cgroup_parent=flags["cgroup_parent"],
        no_cache=flags["no_cache"],
        no_cache_filter=flags["no_cache_filter"],
        pull=flags["pull"],
        quiet=flags["quiet"],
        push=flags["push"],
        output=flags["output"] or "",
        allow=flags["allow"],
        annotations=flags["annotations"],
        cache_from=flags["cache_from"],
        cache_to=flags["cache_to"],
    )
    if flags["check"] or flags["call"] != "build":
        from pycompose.cli.image_calls import CHECK, Call, answer, parse_call  # noqa: PLC0415 - few ask

        call = Call(CHECK) if flags["check"] else parse_call(flags["call"])
        if call.method != "build":
            answer(invocation.context(), options, call)
            return
    kind = "quiet" if flags["quiet"] else flags["progress"]
    rows: list[StepRow] = []
    try:
        with invocation.showing("build", kind=kind) as sink:
            context = invocation.context(sink)
            if flags["debug_shell"]:
                context.on_failure = debug_shell(sink)
            built = image_build.build_image(context, options, rows)
    finally:
        show_steps(rows, explain=flags["explain"], verbose=flags["verbose"])
    if flags["quiet"]:
        click.echo(built.id)
    if flags["iidfile"]:
        image_build.write_text(flags["iidfile"], built.id)
    if flags["metadata_file"]:
        image_build.write_metadata(flags["metadata_file"], built, flags["tags"])
