"""What `config` prints and nothing can be made of: refused with its place, before anything exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycompose.config.logging_options import OPTIONS
from pycompose.errors import ConfigError

from tests.unit.config import ours
from tests.unit.config.projects import load_text

B = "\n  b: {image: x, ipc: shareable}\n  c: {image: x}"
DEVICES = "deploy: {resources: {reservations: {devices: [%s]}}}"
REFUSED = (
    ("ipc: Private", "ipc", 'invalid IPC mode "Private"', 'did you mean "private"?'),
    ("ipc: foo", "ipc", 'invalid IPC mode "foo"', "known: host, private, shareable, none, service:NAME"),
    ("ipc: 'container:'", "ipc", 'invalid IPC mode "container:"', "container:NAME"),
    ("ipc: 'service:c'", "ipc", "service c doesn't share its IPC namespace", "write ipc: shareable in c"),
    ("pid: private", "pid", 'invalid PID mode "private"', "known: host, service:NAME"),
    ("pid: hots", "pid", 'invalid PID mode "hots"', 'did you mean "host"?'),
    ("uts: private", "uts", 'invalid UTS mode "private"', "known: host"),
    ("uts: 'service:b'", "uts", 'invalid UTS mode "service:b"', "known: host"),
    ("uts: 'container:x'", "uts", 'invalid UTS mode "container:x"', "known: host"),
    ("network_mode: Host", "network_mode", 'invalid network mode "Host"', 'did you mean "host"?'),
    (
        "network_mode: mine",
        "network_mode",
        'invalid network mode "mine"',
        "known: host, none, bridge, default",
    ),
    ("uts: host, hostname: h", "hostname", "conflicting options: hostname and uts: host", ""),
    ("uts: host, domainname: h", "domainname", "conflicting options: domainname and uts: host", ""),
    ("network_mode: host, links: [b]", "links", "conflicting options: links and network_mode: host", ""),
    ("runtime: runsc", "runtime", 'unknown or invalid runtime name: "runsc"', "pycompose"),
    ("isolation: hyperv", "isolation", 'invalid isolation: "hyperv"', "default"),
    ("security_opt: [no-new-privileges:yes]", "security_opt[0]", '"yes" is not a boolean', "true or false"),
    ("security_opt: ['no-new-privileges=']", "security_opt[0]", '"" is not a boolean', "true or false"),
    ("security_opt: [label=x, foo]", "security_opt[1]", 'invalid security_opt "foo"', "known: apparmor"),
    ("security_opt: [secomp=x]", "security_opt[0]", 'invalid security_opt "secomp=x"', '"seccomp"'),
    ("security_opt: [seccomp]", "security_opt[0]", 'invalid security_opt "seccomp"', "seccomp"),
    (
        "security_opt: [systempaths:unconfined]",
        "security_opt[0]",
        "invalid security_opt",
        "systempaths=unconfined",
    ),
    ("storage_opt: {size: 1G}", "storage_opt.size", "can't be limited", "tmpfs"),
    ("storage_opt: {siez: 1G}", "storage_opt.siez", 'unknown option "siez"', ""),
    ("gpus: all", "gpus[0]", 'device driver "" with capabilities: [[gpu]]', "nvidia-ctk cdi generate"),
    (
        DEVICES % "{capabilities: [gpu], driver: nvidia}",
        DEVICES[:6],
        'driver "nvidia" with capabilities: [[gpu]]',
        "",
    ),
    ("healthcheck: {interval: -1s}", "healthcheck.interval", "-1s is less than 1ms", ""),
    ("healthcheck: {timeout: 500us}", "healthcheck.timeout", "500µs is less than 1ms", ""),
    ("healthcheck: {start_period: 1ns}", "healthcheck.start_period", "1ns is less than 1ms", ""),
    ("healthcheck: {start_interval: 1s}", "healthcheck.start_interval", "requires start_period", ""),
    ("restart: alwasy", "restart", 'unknown policy "alwasy"', 'did you mean "always"?'),
    ("restart: 'always:3'", "restart", "only be given to on-failure", ""),
    ("restart: 'on-failure:-1'", "restart", "negative: -1", ""),
    ("deploy: {restart_policy: {condition: ayn}}", "deploy.restart_policy.condition", '"ayn"', 'mean "any"'),
    ("dns: [1.1.1.1, dns.example]", "dns[1]", 'bad nameserver address "dns.example"', "IP address"),
    ("dns: ['1.1.1.1:53']", "dns[0]", 'bad nameserver address "1.1.1.1:53"', "without a port"),
    ("extra_hosts: [db=nope]", "extra_hosts", 'invalid IP address of db: "nope"', "host-gateway"),
    (
        "logging: {driver: gelf}",
        "logging.driver",
        'no log driver "gelf"',
        "json-file, local, none, journald, syslog",
    ),
    ("logging: {options: {max-size: abc}}", "logging.options.max-size", "invalid size: 'abc'", ""),
    ("logging: {options: {max-size: 0}}", "logging.options.max-size", "not a size above 0", ""),
    ("logging: {options: {max-file: 0}}", "logging.options.max-file", "at least 1", ""),
    ("logging: {options: {compress: maybe}}", "logging.options.compress", "not a boolean", ""),
    (
        "logging: {options: {compress: 'true', max-size: 1m}}",
        "logging.options.compress",
        "compress needs",
        "",
    ),
    ("logging: {options: {mode: fast}}", "logging.options.mode", "one of blocking, non-blocking", ""),
    (
        "logging: {options: {max-buffer-size: 1m}}",
        "logging.options.max-buffer-size",
        "mode: non-blocking",
        "",
    ),
    (
        "logging: {options: {labels-regex: '('}}",
        "logging.options.labels-regex",
        "not a regular expression",
        "",
    ),
    ("logging: {options: {mx-size: 1m}}", "logging.options.mx-size", 'unknown log opt "mx-size"', "max-size"),
    (
        "logging: {driver: local, options: {tag: x}}",
        "logging.options.tag",
        "for local log driver",
        "max-file",
    ),
    (
        "logging: {driver: journald, options: {max-size: 1m}}",
        "logging.options.max-size",
        "journald log driver",
        "",
    ),
    (
        "logging: {driver: syslog, options: {syslog-address: 'nope://x'}}",
        "logging.options.syslog-address",
        "udp://",
        "",
    ),
)


@pytest.mark.parametrize(("text", "path", "reason", "hint"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_docker_refuses_is_refused(tmp_path: Path, text: str, path: str, reason: str, hint: str) -> None:
    """The model is whole and is printed; whoever makes containers of it is told where it is wrong."""
    loaded = load_text(tmp_path, f"services:\n  a: {{image: x, {text}}}{B}")

    assert loaded.project.services["a"].image == "x"
    with pytest.raises(ConfigError) as caught:
        _ = loaded.runnable
    assert caught.value.location.path.startswith(f"services.a.{path}")
    assert (caught.value.location.file, caught.value.location.line) == ("0.yaml", 2)
    assert reason in caught.value.reason
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "key", ("hostname: h", "ports: ['80']", "expose: ['80']", "dns: [1.1.1.1]", "links: [b]")
)
@pytest.mark.parametrize("mode", ("service:b", "container:other"))
def test_a_network_of_somebody_else(tmp_path: Path, key: str, mode: str) -> None:
    """What belongs to a network of one's own can't be said of another's."""
    loaded = load_text(tmp_path, f"services:\n  a: {{image: x, network_mode: '{mode}', {key}}}{B}")

    with pytest.raises(ConfigError, match=f"conflicting options: .* and network_mode: {mode}"):
        _ = loaded.runnable


@pytest.mark.parametrize(
    "text",
    (
        "ipc: host, pid: host, uts: host, network_mode: host",
        "ipc: 'service:b', pid: 'service:b', network_mode: 'service:b', uts: host",
        "ipc: 'container:x', pid: 'container:x', network_mode: 'container:x'",
        "ipc: shareable, network_mode: bridge",
        "ipc: none, network_mode: none, hostname: h, links: [b], dns: [1.1.1.1]",
        "ipc: '', pid: '', uts: '', network_mode: ''",
        "runtime: runc, isolation: Default",
        "security_opt: [no-new-privileges, 'no-new-privileges:1', no-new-privileges=T, no-new-privileges=False]",
        "security_opt: [seccomp=unconfined, 'apparmor:x', label=disable, systempaths=unconfined, 'seccomp:builtin']",
        "storage_opt: {}",
        "gpus: []",
        "healthcheck: {test: 'true', interval: 0s, timeout: 1ms, start_period: 0s, start_interval: 1s}",
        "restart: 'on-failure:x'",
        "restart: unless-stopped, deploy: {restart_policy: {condition: none}}",
        "dns: ['::1', 'fe80::1%eth0'], extra_hosts: ['a=host-gateway', 'b=::1']",
        "logging: {driver: none, options: {anything: goes}}",
        "logging: {driver: local, options: {max-size: 0, compress: 'true'}}",
        "logging: {options: {max-size: 10m, max-file: 3, compress: 'true', mode: non-blocking, max-buffer-size: 1m}}",
        "logging: {driver: syslog, options: {syslog-address: 'udp://10.0.0.1:514', syslog-format: rfc5424, tag: t}}",
    ),
)  # fmt: skip
def test_what_docker_runs_is_runnable(tmp_path: Path, text: str) -> None:
    """No word that it takes is refused."""
    assert load_text(tmp_path, f"services:\n  a: {{image: x, {text}}}{B}").runnable.services["a"].image == "x"


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    """Also of several services."""
    loaded = load_text(tmp_path, "services: {a: {image: x, ipc: y, pid: y}, b: {image: x, runtime: y}}")

    with pytest.raises(ConfigError) as caught:
        _ = loaded.runnable
    found = [error for error in ours.errors(caught.value) if isinstance(error, ConfigError)]
    assert [error.location.path for error in found] == [
        "services.a.ipc",
        "services.a.pid",
        "services.b.runtime",
    ]


def test_services_that_are_not_asked_for_need_not_run(tmp_path: Path) -> None:
    """As Docker finds out with the container."""
    text = "services: {a: {image: x, gpus: all}, b: {image: x}}"

    assert list(load_text(tmp_path, text, services=("b",)).runnable.services) == ["b"]


@pytest.mark.parametrize("driver", OPTIONS)
def test_options_of_logs_without_effect_are_remarked_upon(tmp_path: Path, driver: str) -> None:
    """What a driver of Docker's knows and ours does nothing with."""
    text = (
        f"services: {{a: {{image: x, logging: {{driver: {driver}, options: {{tag: t, mode: blocking}}}}}}}}"
    )
    texts = [warning.text for warning in load_text(tmp_path, text).warnings]
    idle = {
        "json-file": ["tag, mode"],
        "journald": ["mode"],
        "local": ["mode"],
        "syslog": ["mode"],
        "none": [],
    }

    assert texts == [f"logging: {names} without effect: this log has none of it" for names in idle[driver]]
