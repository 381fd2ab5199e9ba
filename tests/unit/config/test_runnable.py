"""What `config` prints and nothing can be made of: refused with its place, before anything exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycompose.config.logging_options import OPTIONS
from pycompose.engine.machine import has_apparmor
from pycompose.errors import ConfigError, ConfigErrors

from tests.unit.config import ours
from tests.unit.config.projects import load_text

B = (
    "\n  b: {image: x, ipc: shareable}\n  c: {image: x}"
    "\nnetworks: {m: {}, s: {ipam: {config: [{subnet: 10.1.0.0/24, gateway: 10.1.0.9, aux_addresses: {r: 10.1.0.8}}]}},"
    " six: {enable_ipv6: true}, out: {external: true}}"
)
BIND = "volumes: [{type: bind, source: /a, target: /b, bind: {%s}}]"
API = "volumes: ['/var/run/docker.sock:/s'], x-socket: %s"
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
        "network_mode: 'mine:x'",
        "network_mode",
        'invalid network mode "mine:x"',
        "known: host, none, bridge, default, service:NAME, container:NAME, the name of a network",
    ),
    (
        "ports: ['18000:80', '18000:80/sctp']",
        "ports[1]",
        "port 80/sctp: protocol is not supported",
        "tcp and udp",
    ),
    ("uts: host, hostname: h", "hostname", "conflicting options: hostname and uts: host", ""),
    ("uts: host, domainname: h", "domainname", "conflicting options: domainname and uts: host", ""),
    ("network_mode: host, links: [b]", "links", "conflicting options: links and network_mode: host", ""),
    ("runtime: runsc", "runtime", 'unknown or invalid runtime name: "runsc"', "pycompose"),
    ("isolation: hyperv", "isolation", 'invalid isolation: "hyperv"', "default"),
    ("security_opt: [no-new-privileges:yes]", "security_opt[0]", '"yes" is not a boolean', "true or false"),
    ("security_opt: ['no-new-privileges=']", "security_opt[0]", '"" is not a boolean', "true or false"),
    ("security_opt: ['label=type:x']", "security_opt[0]", '"label=type:x" can\'t be had: ', "label=disable"),
    (
        "security_opt: ['label:disable', foo]",
        "security_opt[1]",
        'invalid security_opt "foo"',
        "known: apparmor",
    ),
    ("security_opt: [secomp=x]", "security_opt[0]", 'invalid security_opt "secomp=x"', '"seccomp"'),
    ("security_opt: [seccomp]", "security_opt[0]", 'invalid security_opt "seccomp"', '"seccomp=VALUE"'),
    ("security_opt: [apparmor]", "security_opt[0]", 'invalid security_opt "apparmor"', '"apparmor=VALUE"'),
    (BIND % "recursive: readonly", "volumes[0].bind.recursive", "readonly without read_only: true", "below"),
    (BIND % "recursive: writable", "volumes[0].bind.recursive", "writable without read_only: true", "below"),
    (
        "logging: {driver: syslog, options: {syslog-facility: bogus}}",
        "logging.options.syslog-facility",
        '"bogus" is not a facility',
        "",
    ),
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
    ("x-stop-wait: 'no'", "x-stop-wait", "must be true or false, not 'no'", ""),
    (API % "true", "x-socket", "must be a mapping", "{allow: [containers, events]}"),
    (API % "{alow: []}", "x-socket.alow", "unknown key", 'did you mean "allow"?'),
    (API % "{allow: containers}", "x-socket.allow", "must be a list", ""),
    (
        API % "{allow: [container]}",
        "x-socket.allow[0]",
        "there is no 'container'",
        'did you mean "containers"?',
    ),
    (API % "{projects: mine}", "x-socket.projects", "must be own or all, not 'mine'", ""),
    ("x-socket: {projects: own}", "x-socket", "doesn't mount Docker's socket", "/var/run/docker.sock"),
    (
        "volumes: [{type: bind, source: /d, target: /d, x-idmap: '1000'}]",
        "volumes[0].x-idmap",
        "'1000' is not HOST:CONTAINER",
        "1000:33",
    ),
    (
        "volumes: [{type: tmpfs, target: /d, x-idmap: '1000:33'}]",
        "volumes[0].x-idmap",
        "only binds and volumes have ids of the machine",
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
    ("mac_address: zz", "mac_address", 'invalid MAC address "zz"', "six pairs"),
    (
        "networks: {m: {mac_address: '01:02'}}",
        "networks.m.mac_address",
        'invalid MAC address "01:02"',
        "six pairs",
    ),
    ("networks: {m: {ipv4_address: nope}}", "networks.m.ipv4_address", 'invalid IPv4 address "nope"', ""),
    (
        "networks: {m: {ipv4_address: 'fd00::1'}}",
        "networks.m.ipv4_address",
        'invalid IPv4 address "fd00::1"',
        "",
    ),
    ("networks: {m: {ipv6_address: '::g'}}", "networks.m.ipv6_address", 'invalid IPv6 address "::g"', ""),
    (
        "networks: {m: {link_local_ips: [169.254.8.8, foo]}}",
        "networks.m.link_local_ips[1]",
        'address "foo"',
        "fe80",
    ),
    (
        "networks: {m: {link_local_ips: [10.0.0.1]}}",
        "networks.m.link_local_ips[0]",
        'address "10.0.0.1"',
        "fe80",
    ),
    (
        "networks: {m: {ipv4_address: 10.0.0.1}}",
        "networks.m.ipv4_address",
        "10.0.0.1: an address can only",
        "ipam",
    ),
    (
        "networks: {s: {ipv4_address: 10.2.0.1}}",
        "networks.s.ipv4_address",
        "contains the IP address 10.2.0.1",
        "ipam",
    ),
    (
        "networks: {six: {ipv6_address: 'fd00::1'}}",
        "networks.six.ipv6_address",
        "fd00::1: an address can only",
        "ipam",
    ),
    (
        "networks: {s: {ipv4_address: 10.1.0.9}}",
        "networks.s.ipv4_address",
        "10.1.0.9 is the address of the gateway",
        "another address of the subnet",
    ),
    (
        "networks: {s: {ipv4_address: 10.1.0.8}}",
        "networks.s.ipv4_address",
        "10.1.0.8 is the address of r",
        "another address of the subnet",
    ),
    (
        "networks: {m: {driver_opts: {com.docker.network.endpoint.sysctls: net.ipv4.ip_forward=1}}}",
        "networks.m.driver_opts.com.docker.network.endpoint.sysctls",
        "'net.ipv4.ip_forward=1' is not net.X.Y.IFNAME.Z=VALUE",
        "",
    ),
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
    ("cap_add: [NET_ADMIN, FOO]", "cap_add[1]", 'unknown capability "FOO"', "capabilities(7)"),
    ("cap_drop: [cap_net_amin]", "cap_drop[0]", 'unknown capability "cap_net_amin"', '"NET_ADMIN"'),
    ("ulimits: {nofoo: 3}", "ulimits.nofoo", 'unknown limit "nofoo"', "nofile"),
    ("ulimits: {nofile: {soft: 30, hard: 20}}", "ulimits.nofile.soft", "30 is above the hard limit 20", ""),
    ("ulimits: {core: {soft: -1, hard: 0}}", "ulimits.core.soft", "-1 is above the hard limit 0", ""),
    ("mem_limit: -1", "mem_limit", "the least is 6291456 bytes (6 MiB)", "leave it out"),
    ("mem_limit: 1m", "mem_limit", "the least is 6291456 bytes (6 MiB)", ""),
    ("deploy: {resources: {limits: {memory: 1m}}}", "deploy.resources.limits.memory", "the least is", ""),
    ("memswap_limit: 50m", "memswap_limit", "mem_limit is not set", "set both"),
    ("mem_limit: 100m, memswap_limit: 50m", "memswap_limit", "below mem_limit 104857600", ""),
    ("mem_limit: 100m, mem_reservation: 200m", "mem_reservation", "above mem_limit 104857600", ""),
    ("mem_swappiness: 101", "mem_swappiness", "not in 0..100", ""),
    ("cpus: -1", "cpus", "range of CPUs is from 0.01", ""),
    ("cpus: 0.5, cpu_quota: 5000", "cpus", "conflicts with cpu_quota 5000", "not both"),
    ("cpus: 100000", "cpus", "range of CPUs is from 0.01", ""),
    ("cpuset: 0-9999", "cpuset", "no processor ", ""),
    ("cpu_quota: 5", "cpu_quota", "the least is 1000", "unlimited"),
    ("cpuset: foo", "cpuset", "cannot set foo", "0-2,4"),
    ("blkio_config: {weight: 5}", "blkio_config.weight", "not in 10..1000", ""),
    ("sysctls: {kernel.foo: 1}", "sysctls.kernel.foo", "not the container's own", "net.*"),
    ("network_mode: host, sysctls: {net.core.somaxconn: 1}", "sysctls.net", "not the container's own", ""),
    ("device_cgroup_rules: [x 1:2 r]", "device_cgroup_rules[0]", '"x 1:2 r"', "c 189"),
    ("user: '99999999999'", "user", "uids and gids must be in range 0-2147483647", ""),
    ("user: '0:-1'", "user", "uids and gids must be in range 0-2147483647", ""),
    ("working_dir: rel", "working_dir", '"rel" is not absolute', "slash"),
    ("shm_size: -1", "shm_size", "can't be less than 0", ""),
    ("volumes: ['v:rel']", "volumes[0]", 'mount path "v:rel" is not absolute', "two letters"),
    ("volumes: [{type: tmpfs, target: rel}]", "volumes[0].target", 'mount path "rel" is not absolute', ""),
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


@pytest.mark.skipif(has_apparmor(), reason="needs a kernel without AppArmor")
@pytest.mark.parametrize("option", ("apparmor=mine", "apparmor:docker-default"))
def test_a_profile_that_no_kernel_enters_is_refused(tmp_path: Path, option: str) -> None:
    """Docker runs the container without; who names a profile takes it for a wall."""
    loaded = load_text(tmp_path, f"services:\n  a: {{image: x, security_opt: ['{option}']}}")

    with pytest.raises(ConfigError) as caught:
        _ = loaded.runnable
    assert caught.value.location.path == "services.a.security_opt[0]"
    assert caught.value.reason == f'"{option}" can\'t be had: this kernel has no AppArmor'
    assert caught.value.hint == "take it away, or write apparmor=unconfined"


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
        "security_opt: [seccomp=unconfined, label=disable, systempaths=unconfined, 'seccomp:builtin']",
        "security_opt: ['apparmor:unconfined', 'label:disable']",
        "storage_opt: {}",
        "gpus: []",
        "healthcheck: {test: 'true', interval: 0s, timeout: 1ms, start_period: 0s, start_interval: 1s}",
        "restart: 'on-failure:x'",
        "restart: unless-stopped, deploy: {restart_policy: {condition: none}}",
        "cap_add: [all, cap_net_admin, chown], cap_drop: [ALL]",
        "ulimits: {NOFILE: 100, core: -1, nproc: {soft: 1, hard: -1}, rlimit_cpu: {soft: -1, hard: -1}}",
        "mem_limit: 100m, memswap_limit: -1, mem_reservation: -1, mem_swappiness: -1, pids_limit: -1, cpu_quota: -1",
        "cpus: 0.5, cpuset: '0', deploy: {resources: {reservations: {memory: 10m}}}",
        "sysctls: {net.core.somaxconn: 1, kernel.domainname: x, kernel/shmmax: 1}, user: 0:2147483647, shm_size: 0",
        "networks: {s: {ipv4_address: 10.1.0.7, mac_address: 02-42-AC-11-00-02, link_local_ips: ['fe80::8']}}",
        "networks: {out: {ipv4_address: 10.1.2.3, ipv6_address: 'fd00::1'}}, mac_address: ''",
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
        "json-file": ["mode"],
        "journald": ["mode"],
        "local": ["mode"],
        "syslog": ["mode"],
        "none": [],
    }

    assert texts == [f"logging: {names} without effect: this log has none of it" for names in idle[driver]]


WRONG_NETWORKS = """
services:
  a: {image: x, networks: [n, m, theirs]}
networks:
  n:
    driver_opts:
      com.docker.network.driver.mtu: "9"
    ipam:
      config:
        - subnet: 10.0.0.5/24
  m: {driver: overlay}
  theirs: {external: true, driver_opts: {com.docker.network.driver.mtu: "9"}}
  unused: {driver: overlay}
"""


def test_networks_that_cannot_be_made(tmp_path: Path) -> None:
    """All are found before anything is made, each with its place; others' and unused ones don't matter."""
    with pytest.raises(ConfigErrors) as caught:
        _ = load_text(tmp_path, WRONG_NETWORKS).runnable

    found = [(e.location.line, e.location.column, e.location.path, e.reason) for e in caught.value.errors]
    mtu = "com.docker.network.driver.mtu"
    assert found == [
        (7, 38, f"networks.n.driver_opts.{mtu}", "'9' is not a number from 68 to 65535"),
        (10, 19, "networks.n.ipam.config[0].subnet", "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24"),
        (11, 15, "networks.m.driver", "driver 'overlay' is not supported"),
    ]


REFUSED_NETWORKS = """
services:
  a:
    image: x
    networks:
      n: {ipv4_address: 10.5.0.1}
      m: {ipv4_address: 10.6.0.0, mac_address: '01:00:5e:00:00:01'}
      k: {ipv6_address: 'fd00::5', interface_name: averyveryverylongname}
    ports: ['80:8', '127.0.0.1:80:9', '81:8', '81:8', '82:8', '82:8/udp', '[::1]:83:1', '127.0.0.1:83:2', '84-85:84-85']
networks:
  n: {ipam: {config: [{subnet: 10.5.0.0/24}]}}
  m: {name: a b, ipam: {config: [{subnet: 10.6.0.0/24}]}}
  k: {name: '', ipam: {config: [{subnet: 10.6.0.128/25}]}}
"""


def test_what_can_be_known_of_networks_and_ports_is_refused_with_its_place(tmp_path: Path) -> None:
    """Docker finds most of it when the container is made or started."""
    with pytest.raises(ConfigErrors) as caught:
        _ = load_text(tmp_path, REFUSED_NETWORKS).runnable
    found = sorted((e.location.line, e.reason) for e in caught.value.errors)

    assert found == sorted(
        [
            (6, "10.5.0.1 is the address of the gateway"),
            (7, "10.6.0.0 is not a host address of 10.6.0.0/24"),
            (7, "01:00:5e:00:00:01 is a multicast address"),
            (8, "fd00::5: an address can only be asked for on a network with a subnet of its own"),
            (
                8,
                "'averyveryverylongname' is not an interface name: 15 characters at most, without '/', ':' and blanks",
            ),
            (9, "host port 80/tcp is published twice, for 8 and 9"),
            (12, "'a b' is not a valid name"),
            (13, "subnet 10.6.0.128/25 overlaps 10.6.0.0/24 of network m"),
            (13, "'' is not a valid name"),
        ]
    )


REFUSED_MOUNTS = """
services:
  a:
    image: x
    tmpfs: ['e:size=1m', /e]
    volumes:
      - one:d
      - one:/
      - {type: volume, source: two, target: /a, volume: {subpath: ../..}}
      - {type: bind, source: /tmp, target: /b, bind: {propagation: foo}}
      - {type: tmpfs, source: one, target: /c}
      - {type: volume, source: three, target: /t}
      - {type: volume, source: four, target: /f}
      - {type: volume, source: five, target: /g}
volumes:
  one: {name: a/b}
  two: {name: ''}
  three: {driver: rexray}
  four: {driver_opts: {type: tmpfs}}
  five: {driver_opts: {type: none, o: bind, device: /x, foo: bar}}
  unused: {driver: other}
"""


def test_what_can_be_known_of_mounts_and_volumes_is_refused_with_its_place(tmp_path: Path) -> None:
    """Docker finds it when it makes the volume or the container."""
    with pytest.raises(ConfigErrors) as caught:
        _ = load_text(tmp_path, REFUSED_MOUNTS).runnable
    found = sorted((e.location.line, e.reason) for e in caught.value.errors)

    assert found == [
        (5, 'mount path "e" is not absolute'),
        (7, 'mount path "d" is not absolute'),
        (8, 'destination can\'t be "/"'),
        (9, "subpath ../.. must be a relative path within the volume"),
        (10, "invalid propagation mode: foo"),
        (11, "a tmpfs has no source"),
        (16, "'a/b' is not a valid name"),
        (17, "'' is not a valid name"),
        (18, "unknown driver 'rexray'"),
        (19, 'missing required option: "device"'),
        (20, 'invalid option: "foo"'),
    ]


def test_ipv6_addresses_without_ipv6(tmp_path: Path) -> None:
    """Docker takes no notice of them; we say so."""
    text = """
services: {a: {image: x, networks: {n: {ipv6_address: 'fd00::5'}}}}
networks: {n: {ipam: {config: [{subnet: 'fd00::/64'}]}}}
"""
    loaded = load_text(tmp_path, text)
    project = loaded.runnable

    assert not project.networks["n"].enable_ipv6
    assert [warning.text for warning in loaded.warnings] == [
        "subnet fd00::/64 has no effect without enable_ipv6: true",
        "ipv6_address has no effect: network n is without enable_ipv6: true",
    ]


def test_networks_beside_a_network_mode_are_one_mistake(tmp_path: Path) -> None:
    """That nobody has declared them says nothing more: they can't be there at all."""
    with pytest.raises(ConfigError, match="network_mode and networks exclude each other") as caught:
        load_text(tmp_path, "services: {a: {image: x, network_mode: host, networks: [nowhere]}}")

    assert not isinstance(caught.value, ConfigErrors)
