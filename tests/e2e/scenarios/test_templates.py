"""`--format` with Go templates: what is shown of containers, networks, volumes and images, as docker shows it."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.scene import Scene

LABELS = ("-l", "x=1", "-l", "com.x/y=a<b", "-l", "z=")
# Template → what it must print of the container below; None is an error.
INSPECTED: tuple[tuple[str, str | None], ...] = (
    ("{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{len $v.NetworkID}}{{end}}", "bridge 64"),
    ("{{with .NetworkSettings}}{{eq .IPAddress .Networks.bridge.IPAddress}}{{end}}", "true"),
    ("{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}", "volume /data true"),
    ('{{index .Config.Labels "x"}}|{{index .Config.Labels "nope"}}|{{.Config.Labels.nope}}|', "1||<no value>|"),
    ("{{.Config.Labels}}", "map[com.x/y:a<b x:1 z:]"),
    ("{{json .Config.Labels}}", '{"com.x/y":"a<b","x":"1","z":""}'),
    ("{{if .State.Running}}runs{{else if .State.Paused}}paused{{else}}ended{{end}}", "runs"),
    ("{{if and .State.Running (eq .State.ExitCode 0)}}ok{{end}}", "ok"),
    ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
    ("{{.State.Health}} {{.Config.Entrypoint}} {{json .Config.Entrypoint}}", "<nil> [] null"),
    ("{{range $p, $c := .NetworkSettings.Ports}}{{$p}} {{(index $c 0).HostPort}}{{end}}", "80/tcp 47321"),
    ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "47321"),
    ("{{len .Mounts}} {{len .Config.Labels}} {{.HostConfig.Memory}}", "1 3 67108864"),
    ('{{join .Config.Cmd " "}} {{.Config.Cmd}}', "sleep 1000 [sleep 1000]"),
    ('{{printf "%-4s|%5.1f|%q" .State.Status 2.5 .Config.Image}}', 'running|  2.5|"busybox"'),
    ("{{slice .Id 0 12 | len}} {{truncate .Id 4 | len}}", "12 4"),
    ("{{.ID | len}}", "64"),
    ("{{range .Config.Env}}{{if eq (index (split . `=`) 0) `A`}}{{println .}}{{end}}{{end}}", "A=two words\n"),
    ("{{- /* nothing */ -}} {{with $s := .State}} {{- $s.Status}}{{end}}\\t", "running\\t"),
    ("{{.HostConfig.RestartPolicy.Name}} {{json .HostConfig.RestartPolicy}}",
     'no {"Name":"no","MaximumRetryCount":0}'),
    ("{{.Nope}}", None),
    ("{{.State.Health.Status}}", None),
    ("{{index .Mounts 7}}", None),
    ("{{upper 3}}", None),
)  # fmt: skip
UNREADABLE = (
    "{{.Name",
    "{{nope .Name}}",
    "{{if .Name}}",
    "{{end}}",
    "{{$x}}",
    "{{}}",
    '{{"a}}',
    "{{.Name@}}",
)
LISTED = (
    ("{{.Names}} {{.Image}} {{.State}}", "NAME busybox running\n"),
    ('{{.Names}}\\t{{.Label "x"}}{{.Label "nope"}}', "NAME\t1\n"),
    ("table {{.Image}}\\t{{.State | upper}}", "IMAGE     STATE\nbusybox   RUNNING\n"),
    ('table {{.Image}}\\t{{.Label "x"}}', "IMAGE     x\nbusybox   1\n"),
    ("table {{if .Image}}{{.Image}}{{end}} {{truncate .State 3}}", "IMAGE STATE\nbusybox run\n"),
    ('  {{if eq .State "running"}}{{upper .Image}}{{end}}', "BUSYBOX\n"),
    ("{{range split .Labels `,`}}{{println .}}{{end}}", None),
)


def test_inspect(scene: Scene) -> None:
    """What is asked of a container must be what docker answers; what isn't there must be 1."""
    name = scene.named("asked")
    flags = ("--name", name, "-m", "64m", "-v", "/data", "-p", "127.0.0.1:47321:80", "-e", "A=two words")
    scene.container("run", "-d", *flags, *LABELS, "busybox", "sleep", "1000")
    for template, text in INSPECTED:
        result = scene.container("inspect", "-f", template, name, code=1 if text is None else 0)
        assert result.stdout.strip("\n") == (text or "").strip("\n"), template
        assert (text is None) == ("template parsing error" in result.stderr)
    scene.container("rm", "-fv", name)


def test_unreadable(scene: Scene) -> None:
    """A template that cannot be read must be 64, and looked at first; in a list it must be 1."""
    name = scene.named("never-made")
    for template in UNREADABLE:
        assert scene.container("inspect", "-f", template, name, code=64).stdout == ""
        assert scene.container("ls", "--format", template, code=1).stdout == ""
    assert scene.compose("system", "info", "-f", "{{.Nam", code=64).stdout == ""
    assert scene.compose("image", "inspect", "-f", "{{.Nam", "busybox", code=64).stdout == ""


def test_lists(scene: Scene) -> None:
    """Rows must be filled in, with a header after `table`."""
    name = scene.named("listed")
    scene.container("run", "-d", "--name", name, *LABELS, "busybox", "sleep", "1000")
    for template, text in LISTED:
        shown = scene.container("ls", "-f", f"name={name}", "--format", template).stdout
        if text is None:
            assert sorted(shown.split()) == ["com.x/y=a<b", "x=1", "z="]
        else:
            assert shown == text.replace("NAME", name), template
    scene.container("ls", "-f", f"name={name}", "--format", "{{.Nope}}", code=1)
    row = json.loads(scene.container("ls", "-f", f"name={name}", "--format", "{{json .}}").stdout)
    assert (row["Names"], row["State"]) == (name, "running")


@pytest.mark.parametrize(
    ("arguments", "text"),
    (
        (("network", "ls", "-f", "name=P_default", "--format", "{{.Name}} {{.Driver}} {{.Internal}} {{.IPv6}}"),
         "P_default bridge false false"),
        (("network", "inspect", "-f", "{{range .IPAM.Config}}{{len .Subnet | lt 8}}{{end}} {{len .Containers}}",
          "P_default"), "true 0"),
        (("volume", "ls", "-f", "name=P_data", "--format", "{{.Name}}\\t{{.Driver}}"), "P_data\tlocal"),
        (("volume", "inspect", "-f", '{{.Name}} {{index .Labels "a"}}{{.Labels.nope}}', "P_data"),
         "P_data b<no value>"),
        (("image", "inspect", "-f", "{{json .Config.Cmd}} {{.Os}} {{len .RepoTags | lt 0}}", "busybox"),
         '["sh"] linux true'),
        (("image", "ls", "--format", "{{if eq .Tag `latest`}}{{.Repository}}{{end}}", "busybox:latest"),
         "busybox"),
        (("system", "info", "-f", "{{.OSType}} {{if gt .NCPU 0}}some{{end}}"), "linux some"),
    ),
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_others(scene: Scene, arguments: tuple[str, ...], text: str) -> None:
    """Networks, volumes, images and the machine must be shown the same way."""
    scene.up(
        "services: {web: {image: busybox, command: 'true', volumes: [data:/d]}}\nvolumes: {data: {labels: {a: b}}}"
    )
    scene.eventually(lambda: scene.one("web").state == "exited")
    given = [word.replace("P_", f"{scene.project}_") for word in arguments]
    shown = scene.compose(*given).stdout.strip("\n")
    assert shown == text.replace("P_", f"{scene.project}_")


def test_events(scene: Scene) -> None:
    """Events must be shown by a template; what an event doesn't have must be 64."""
    name = scene.named("seen")
    scene.container("create", "--name", name, "busybox", "true")
    soon = str(int(time.time()) + 2)  # docker's clock for it has whole seconds
    events = ("system", "events", "--since", "1h", "--until", soon, "-f", f"container={name}", "--format")
    assert scene.compose(*events, "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}").stdout == (
        f"container create {name}\n"
    )
    scene.compose(*events, "{{.Nope}}", code=64)
    scene.compose(*events, "{{.Type", code=64)
