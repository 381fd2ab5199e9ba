"""What engines of containers are to be checked for, and the test that does it, or why none does.

CHECKS are what the tests of the OCI tools, runc, crun and moby look for in a container. FAULTS are the kinds of
vulnerabilities that such engines have had. tests/unit/test_checklist.py looks whether the tests exist.
"""

from __future__ import annotations

from dataclasses import dataclass

JAIL = "tests/linux/engine/test_jail.py"
BINDS = "tests/linux/engine/test_binds.py"
EXEC = "tests/linux/engine/test_exec.py"
LIFECYCLE = "tests/linux/engine/test_lifecycle.py"
KEEPER = "tests/linux/engine/test_keeper.py"
CGROUPS = "tests/linux/engine/test_cgroups.py"
CRASHES = "tests/linux/engine/test_crashes.py"
SECCOMP = "tests/linux/engine/test_seccomp.py"
MODES = "tests/linux/security/test_modes.py"
WALLS = "tests/linux/security/test_cgroup_walls.py"
PRIVILEGES = "tests/linux/security/test_privileges.py"
MOUNT_ATTACKS = "tests/linux/security/test_cve_mounts.py"
PROCESS_ATTACKS = "tests/linux/security/test_cve_processes.py"
IMAGE_ATTACKS = "tests/e2e/test_cve_images.py"
BUILD_ATTACKS = "tests/e2e/test_cve_builds.py"
NETWORK_ATTACKS = "tests/e2e/test_cve_network.py"
ETC_FILES = "tests/unit/networking/test_etc_files.py"
DNS = "tests/linux/networking/test_dns.py"
MATRIX = "tests/linux/networking/test_firewall_matrix.py"
FRAMES = "tests/linux/networking/test_crafted_frames.py"
NETWORKING = "tests/linux/networking/test_networking.py"
RESERVED = "tests/linux/networking/test_ports.py"
COPY_UP = "tests/linux/volumes/test_copyup.py"
NETWORKS = "tests/e2e/scenarios/test_networks.py"
PORTS = "tests/e2e/test_ports.py"
PEERS = "tests/e2e/test_real_peers.py"
RESTORED = "tests/e2e/test_restored_network.py"
ROWS = "tests/e2e/test_network_rows.py"
COPIES = "tests/e2e/test_copy.py"
INSIDE = "tests/e2e/scenarios/test_inside.py::TestInside::test_row"
ROOTLESS = "tests/e2e/test_rootless.py"
ROOTLESS_BINDS = "tests/e2e/test_rootless_binds.py"
# An ordinary user's containers are in the user namespace of his private host, where all of them are.
USER_NAMESPACES = "no container has a user namespace of its own: there is no userns-remap"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is checked; its tests as node ids without parameters; what of it isn't checked, and why."""

    what: str
    tests: tuple[str, ...] = ()
    but: str = ""


def check(what: str, *tests: str, but: str = "") -> Check:
    """Return a row."""
    return Check(what=what, tests=tests, but=but)


CHECKS = {
    1: check(
        "default mounts with exact type and flags",
        f"{JAIL}::test_default_mounts_have_their_types_and_flags",
        "tests/e2e/test_security_table.py::test_no_row_is_looser_than_dockers",
    ),
    2: check("nested mounts, parents first", f"{JAIL}::test_mounts_are_ordered_parents_first"),
    3: check(
        "options of mounts take effect",
        f"{BINDS}::test_options_take_effect",
        f"{BINDS}::test_the_time_of_reading",
        f"{BINDS}::test_an_unknown_option_is_refused",
        f"{JAIL}::test_bind_mounts_of_all_kinds",
        f"{JAIL}::test_read_only_reaches_submounts",
    ),
    4: check("a read-only bind reaches what is mounted below", f"{JAIL}::test_read_only_reaches_submounts"),
    5: check(
        "binds of files, FIFOs, sockets, links, links that lead nowhere",
        f"{JAIL}::test_bind_mounts_of_all_kinds",
        f"{BINDS}::test_sources_that_are_links",
    ),
    6: check(
        "a bind through a link of the image stays inside",
        f"{JAIL}::test_a_mount_through_an_image_symlink_stays_inside",
    ),
    7: check(
        "images with links for /proc, /sys, /dev",
        f"{JAIL}::test_an_image_with_a_symlink_for_a_system_directory_is_refused",
        f"{MOUNT_ATTACKS}::test_cve_2023_27561_cve_2019_19921_an_image_whose_proc_is_a_link",
    ),
    8: check(
        "/dev of the image fills nothing outside",
        f"{MOUNT_ATTACKS}::test_cve_2026_41579_cve_2026_47766_an_image_whose_dev_is_a_link",
    ),
    9: check(
        "masks share one file system, which is empty and read-only",
        f"{JAIL}::test_masked_directories_share_one_filesystem",
        but="a path twice: the list is ours, no key adds to it",
    ),
    10: check("masks with a read-only root", f"{JAIL}::test_masks_hold_with_a_read_only_rootfs"),
    11: check(
        "masked paths read as empty, read-only ones refuse writes",
        f"{JAIL}::test_masked_paths_are_empty_and_read_only",
        f"{JAIL}::test_read_only_paths_refuse_writes",
    ),
    12: check(
        "no mount on / or below /proc, but for lxcfs's files",
        f"{JAIL}::test_mounts_on_root_and_below_proc_are_refused",
        "tests/unit/engine/test_rootfs.py::test_files_of_lxcfs_are_allowed",
    ),
    13: check(
        "mode and size of a tmpfs",
        f"{JAIL}::test_tmpfs_options",
        f"{JAIL}::test_shm_size_is_a_limit",
        INSIDE,
        but=f"in a user namespace of the container's own: {USER_NAMESPACES}",
    ),
    14: check(
        "locked flags in a user namespace", f"{ROOTLESS_BINDS}::test_a_bind_keeps_what_the_machine_forbids"
    ),
    15: check(
        "propagation",
        f"{JAIL}::test_mounts_of_the_container_stay_inside",
        f"{JAIL}::test_a_tmpfs_with_a_propagation",
        f"{BINDS}::test_what_a_container_mounts_is_shared_only_when_asked",
    ),
    16: check("a root that is shared", but="no key of a compose file asks for it; the root is private"),
    17: check(
        "control groups are read-only, and the container's own is /",
        f"{JAIL}::test_cgroup_view_is_rooted_in_the_container",
        f"{WALLS}::test_no_group_of_the_machine_is_seen",
    ),
    18: check(
        "the working directory is made, cleaned, and entered as root or as the user",
        f"{JAIL}::test_working_directory_is_made_and_normal",
        f"{MODES}::test_a_working_directory_by_the_containers_own_links",
        f"{PRIVILEGES}::test_directories_that_only_one_of_them_may_enter",
    ),
    19: check(
        "no working directory out of descriptors",
        f"{JAIL}::test_a_working_directory_out_of_descriptors_is_refused",
        f"{EXEC}::test_exec_cannot_start_in_a_magic_directory",
    ),
    20: check("host and domain names", f"{JAIL}::test_names_are_the_containers_own"),
    21: check(
        "namespaces are new, joined ones the target's",
        f"{JAIL}::test_namespaces_are_new",
        f"{JAIL}::test_joined_namespaces_are_the_others",
    ),
    22: check(
        "joining another's network, ipc, pid",
        f"{JAIL}::test_joined_namespaces_are_the_others",
        f"{MODES}::test_ipc_is_joined_only_with_consent",
        but=f"of another user namespace: {USER_NAMESPACES}",
    ),
    23: check(
        "ipc none, private, shareable, host",
        f"{JAIL}::test_ipc_none_has_no_shared_memory",
        f"{JAIL}::test_joined_namespaces_are_the_others",
        f"{MODES}::test_whoever_has_joined_cannot_share_further",
        f"{MODES}::test_an_unknown_ipc_mode_shows_no_shared_memory_of_the_host",
    ),
    24: check(
        "with the machine's processes in sight, only ours are killed",
        f"{LIFECYCLE}::test_kill_takes_everything",
        f"{LIFECYCLE}::test_pid_one_of_a_shared_namespace_takes_its_children_along",
    ),
    25: check(
        "capabilities: the five sets, add, drop, ALL, unknown ones",
        f"{JAIL}::test_capabilities_of_pid_one",
        f"{JAIL}::test_unknown_capability_is_an_error",
        "tests/unit/engine/test_spawn.py::test_capability_names",
        INSIDE,
    ),
    26: check("capabilities of an ordinary user", f"{JAIL}::test_capabilities_of_pid_one"),
    27: check(
        "capabilities of an exec",
        f"{EXEC}::test_exec_caps_equal_those_asked_for_and_nothing_is_inheritable",
        f"{EXEC}::test_exec_in_a_privileged_container_may_have_everything",
    ),
    28: check(
        "no-new-privileges, of an exec too",
        f"{JAIL}::test_no_new_privileges",
        f"{PRIVILEGES}::test_a_setuid_program",
    ),
    29: check(
        "seccomp: EPERM, ENOSYS, own errno, KILL, arguments, architectures, LOG",
        f"{SECCOMP}::test_every_call_is_decided_as_docker_decides_it",
        f"{SECCOMP}::test_a_profile_of_the_users",
        f"{SECCOMP}::test_a_profile_that_kills",
        f"{SECCOMP}::test_other_ways_in_are_closed_where_a_profile_doesnt_name_them",
    ),
    30: check(
        "calls that lead out fail by default",
        f"{SECCOMP}::test_what_a_default_container_is_refused",
        "tests/e2e/test_security_table.py::test_no_row_is_looser_than_dockers",
    ),
    31: check(
        "the filter holds for execs and health checks",
        f"{SECCOMP}::test_an_exec_with_all_capabilities_keeps_the_containers_filter",
        "tests/e2e/test_seccomp.py::test_a_profile_is_read_when_a_container_is_made_and_filters_all_that_runs_in_it",
    ),
    32: check(
        "ulimits: equal, above, below, unknown, of an exec",
        f"{JAIL}::test_rlimits_are_explicit",
        f"{PRIVILEGES}::test_an_exec_has_the_limits_it_is_given",
        INSIDE,
    ),
    33: check("the OOM score", f"{JAIL}::test_oom_score_is_the_containers"),
    34: check(
        "sysctls, the machine's unchanged",
        f"{JAIL}::test_sysctls_are_set_inside_only",
        f"{MODES}::test_a_sysctl_of_the_machine_is_not_reached_by_dots",
    ),
    35: check(
        "nodes with mode and owner, further ones",
        f"{JAIL}::test_default_devices_are_exact",
        f"{JAIL}::test_a_device_is_passed_and_others_are_not",
        f"{JAIL}::test_a_device_outside_dev_is_there_in_every_run",
        f"{JAIL}::test_a_device_that_is_none_is_an_error",
    ),
    36: check(
        "devices are denied but for those asked for, in an exec too",
        f"{CGROUPS}::test_devices_are_filtered",
        f"{PRIVILEGES}::test_an_exec_cannot_open_what_its_container_cannot",
    ),
    37: check(
        "terminals: name, owner, size, SIGWINCH",
        f"{KEEPER}::test_a_terminal_is_the_containers_own",
        f"{EXEC}::test_exec_terminal_belongs_to_the_caller",
        "tests/e2e/test_sessions.py::test_run_on_a_terminal",
    ),
    38: check(
        "standard input at its end, or kept open; /dev/null stays root's",
        f"{KEEPER}::test_closed_input_is_empty",
        f"{KEEPER}::test_input_is_kept_open_until_it_is_closed",
        f"{JAIL}::test_stdout_can_be_opened_again_by_an_ordinary_user",
    ),
    39: check(
        "an ordinary user writes to /dev/stdout",
        f"{JAIL}::test_stdout_can_be_opened_again_by_an_ordinary_user",
    ),
    40: check(
        "users and groups by name and number, HOME",
        "tests/unit/engine/test_users.py::test_who_a_user_is",
        "tests/unit/engine/test_users.py::test_unknown_and_impossible_users_are_refused",
        f"{JAIL}::test_groups_are_exactly_those_of_the_user",
        f"{PROCESS_ATTACKS}::test_cve_2024_40635_an_id_that_wraps_around",
        INSIDE,
    ),
    41: check(
        "umask",
        f"{JAIL}::test_signals_session_and_umask_are_clean",
        f"{EXEC}::test_exec_has_clean_signals_and_umask",
        but="another one: no key of a compose file asks for it",
    ),
    42: check(
        "the environment",
        f"{JAIL}::test_environment_has_the_defaults_and_the_last_word",
        f"{JAIL}::test_path_of_the_container_finds_the_program",
        "tests/unit/engine/test_spawn.py::test_environment_order",
        "tests/unit/engine/test_spawn.py::test_bad_environment",
    ),
    43: check(
        "what can't be executed: 126, 127",
        f"{LIFECYCLE}::test_what_cannot_execute_is_told_apart",
        f"{EXEC}::test_exec_of_what_cannot_execute",
        "tests/unit/engine/test_spawn.py::test_program_lookup",
    ),
    44: check(
        "exit codes",
        f"{LIFECYCLE}::test_exit_codes_pass_through",
        f"{LIFECYCLE}::test_death_by_signal_is_128_plus_n",
    ),
    45: check(
        "no descriptor but the three",
        f"{JAIL}::test_no_descriptor_leaks",
        f"{EXEC}::test_exec_leaks_no_descriptor",
        "tests/e2e/test_descriptors.py::test_what_the_caller_has_open_stays_his",
    ),
    46: check(
        "signals are neither ignored nor blocked",
        f"{JAIL}::test_signals_session_and_umask_are_clean",
        f"{EXEC}::test_exec_has_clean_signals_and_umask",
    ),
    47: check(
        "process 1 leads its session, without a terminal",
        f"{JAIL}::test_signals_session_and_umask_are_clean",
        INSIDE,
    ),
    48: check(
        "what is asked in the wrong state",
        f"{LIFECYCLE}::test_requests_for_the_wrong_state_are_refused",
        f"{LIFECYCLE}::test_discard_removes_and_can_be_repeated",
        f"{KEEPER}::test_a_container_that_isnt_there_can_neither_start_nor_execute",
    ),
    49: check(
        "signals by name and number, those of real time",
        f"{PRIVILEGES}::test_signals_arrive",
        f"{PRIVILEGES}::test_signals_that_there_are_not",
        "tests/unit/supervisor/test_container_config.py::test_signals",
    ),
    50: check(
        "kill in the machine's pid namespace, when the first process is gone",
        f"{LIFECYCLE}::test_pid_one_of_a_shared_namespace_takes_its_children_along",
    ),
    51: check(
        "pause, exec then refused, kill of what is paused",
        f"{LIFECYCLE}::test_pause_stops_and_unpause_goes_on",
        f"{CGROUPS}::test_kill_reaches_the_frozen",
    ),
    52: check(
        "limits changed while it runs",
        f"{CGROUPS}::test_update_in_any_order",
        f"{WALLS}::test_an_update_reaches_a_limited_container",
        "tests/e2e/test_containers.py::test_update",
    ),
    53: check(
        "memory: limit, OOMKilled, a child alone",
        f"{CGROUPS}::test_the_memory_limit_kills_and_is_counted",
        f"{CRASHES}::test_running_out_of_memory_is_told",
        f"{PRIVILEGES}::test_a_child_that_runs_out_of_memory_is_killed_alone",
    ),
    54: check(
        "pids: none, n",
        f"{CGROUPS}::test_the_pids_limit_holds",
        f"{WALLS}::test_an_exec_enters_a_full_container",
        INSIDE,
    ),
    55: check(
        "processor shares and quotas; cpusets",
        "tests/unit/engine/test_limits.py::test_cpu_weight",
        "tests/unit/engine/test_limits.py::test_v2_files",
        f"{CGROUPS}::test_the_cpu_limit_throttles",
        f"{WALLS}::test_limits_are_not_lifted",
    ),
    56: check(
        "weights and rates of block devices",
        "tests/unit/engine/test_limits.py::test_bfq_has_files_of_its_own",
        f"{CGROUPS}::test_block_weight",
        f"{CGROUPS}::test_block_rates",
    ),
    57: check(
        "control groups that are there already, or have inner ones",
        f"{CGROUPS}::test_what_an_earlier_run_left_is_replaced",
        f"{CGROUPS}::test_remove_takes_what_the_container_made",
    ),
    58: check(
        "an exec where init has moved to an inner group",
        f"{CGROUPS}::test_an_exec_works_beside_an_init_system",
        f"{CGROUPS}::test_an_exec_is_killed_alone",
    ),
    59: check(
        "v1, hybrid, v2: the same tests",
        f"{WALLS}::test_limits_are_not_lifted",
        f"{CGROUPS}::test_limits_are_written",
    ),
    60: check(
        "without rights to control groups",
        f"{CGROUPS}::test_a_machine_without_cgroups",
        f"{ROOTLESS}::test_limits_that_do_not_hold_are_said_once",
        f"{ROOTLESS}::test_a_control_group_that_is_the_users",
    ),
    61: check(
        "maps of user ids",
        "tests/unit/rootless/test_maps.py::test_root_inside_is_the_user_and_the_ranges_follow",
        f"{ROOTLESS}::test_who_owns_what",
    ),
    62: check(
        "binds below what a rootless user can't enter",
        f"{ROOTLESS_BINDS}::test_a_bind_of_what_the_user_cannot_enter",
    ),
    63: check(
        "hooks: order, environment, failure",
        "tests/linux/engine/test_hooks.py::test_hooks_run_in_order_and_at_every_start",
        "tests/linux/engine/test_hooks.py::test_a_hook_that_fails_is_the_error",
        "tests/e2e/scenarios/test_restarts.py::test_post_start_and_pre_stop",
        "tests/e2e/scenarios/test_restarts.py::test_post_start_that_fails",
    ),
    64: check(
        "the state after a kill at any step",
        f"{CRASHES}::test_a_keeper_killed_while_it_starts_containers_leaves_truth",
        "tests/e2e/test_kill.py::test_kill",
    ),
    65: check(
        "nothing is left: after many rounds, after a kill (and after every test of tests/e2e)",
        f"{CRASHES}::test_many_rounds_leave_no_descriptor_behind",
        "tests/e2e/test_kill.py::test_kill",
        "tests/e2e/test_leftovers.py::test_prune_takes_it",
    ),
    66: check(
        "a read-only root",
        f"{JAIL}::test_read_only_rootfs_leaves_what_must_be_writable",
        INSIDE,
    ),
    67: check(
        "init: zombies, signals, exit code",
        "tests/linux/engine/test_init.py::test_orphans_are_reaped",
        "tests/linux/engine/test_init.py::test_signals_reach_the_command",
        "tests/linux/engine/test_init.py::test_exit_codes",
    ),
    68: check("privileged", f"{JAIL}::test_privileged_has_everything", INSIDE),
    69: check("the size of /dev/shm", f"{JAIL}::test_shm_size_is_a_limit", INSIDE),
    70: check(
        "/etc/hosts: own addresses, extra hosts, host-gateway, IPv6 or none, the same inode",
        f"{ETC_FILES}::test_hosts_are_in_dockers_order",
        f"{ETC_FILES}::test_without_ipv6_there_is_no_ipv6_loopback",
        f"{ETC_FILES}::test_host_gateway_becomes_the_gateway",
        f"{ETC_FILES}::test_files_keep_their_inode",
        f"{NETWORKS}::TestNames::test_hosts_file",
    ),
    71: check(
        "/etc/resolv.conf, and a server on the machine's loopback",
        f"{ETC_FILES}::test_the_embedded_server_is_named_and_asks_the_machines",
        f"{ETC_FILES}::test_a_services_own_settings_go_before",
        f"{DNS}::test_a_server_on_the_machines_loopback_is_asked_from_the_machine",
    ),
    72: check(
        "an internal network: no way out by addresses or names, its own names",
        f"{MATRIX}::test_an_internal_network_is_closed_both_ways",
        f"{DNS}::test_internal_networks_ask_nobody",
        f"{NETWORK_ATTACKS}::test_cve_2024_29018_names_of_an_internal_network",
    ),
    73: check(
        "networks are apart, IPv4 and IPv6, both ways, but for published ports",
        f"{MATRIX}::test_another_network_is_out_of_reach_but_for_published_ports",
        f"{MATRIX}::test_networks_are_apart_over_ipv6_too",
    ),
    74: check(
        "a published port from all sides, TCP and UDP",
        f"{PORTS}::test_a_port_is_reached_from_all_sides",
        f"{PORTS}::test_udp_comes_and_goes",
        f"{MATRIX}::test_the_machine_reaches_published_ports_on_loopback",
        f"{MATRIX}::test_the_world_reaches_published_ports_and_is_seen_as_it_is",
        f"{MATRIX}::test_a_container_reaches_itself_and_its_neighbour_through_a_published_port",
        f"{MATRIX}::test_udp_is_published_too",
        f"{PEERS}::test_iperf_gets_through_everywhere",
    ),
    75: check(
        "crafted frames: to a port on loopback, and whatever else a wire can carry",
        f"{MATRIX}::test_a_forged_frame_to_loopback_gets_no_answer",
        f"{FRAMES}::test_a_router_advertisement",
        f"{FRAMES}::test_a_neighbour_that_claims_the_gateways_address",
        f"{FRAMES}::test_a_neighbour_that_has_anothers_hardware_address",
        f"{FRAMES}::test_sources_that_arent_the_containers",
        f"{FRAMES}::test_tags_broadcasts_and_offers",
    ),
    76: check(
        "no way to a container's address by a route, nor to ports that aren't published",
        f"{MATRIX}::test_routing_to_container_addresses_leads_nowhere",
        f"{NETWORK_ATTACKS}::test_moby_41872_moby_45610_cve_2025_54388_cve_2020_8558_a_port_on_loopback",
    ),
    77: check(
        "taken ports, ranges, one number for both families",
        f"{RESERVED}::test_a_taken_port_is_named_with_its_owner",
        f"{RESERVED}::test_a_range_gives_its_first_free_port_until_it_is_full",
        f"{RESERVED}::test_any_port_has_one_number_for_both_families",
        f"{PORTS}::test_a_taken_port_names_who_has_it",
    ),
    78: check(
        "IPv6 to IPv4, and a port with connections that have just ended",
        f"{RESERVED}::test_the_relay_brings_ipv6_to_a_container_without_it",
        f"{RESERVED}::test_connections_in_time_wait_do_not_hold_a_port",
        f"{PORTS}::test_a_network_with_ipv6_only_publishes",
    ),
    79: check(
        "fixed addresses, those outside the subnet, hardware addresses kept and random",
        f"{NETWORKING}::test_fixed_addresses",
        f"{NETWORKING}::test_addresses_stay_with_the_service_and_not_with_the_container",
        "tests/unit/networking/test_ipam.py::test_random_macs_are_local_and_unicast",
        "tests/e2e/scenarios/test_oneoff.py::test_a_fixed_address",
    ),
    80: check(
        "gw_priority, and the way out as networks come and go",
        "tests/unit/networking/test_interfaces.py::test_gateways",
        f"{ROWS}::test_the_way_out_changes_with_the_networks",
    ),
    81: check(
        "no IPv6 where none is wanted",
        f"{NETWORK_ATTACKS}::test_cve_2024_32473_no_ipv6_where_none_was_asked_for",
    ),
    82: check(
        "names of interfaces",
        "tests/unit/networking/test_interfaces.py::test_names",
        f"{NETWORKING}::test_interface_names_must_be_possible_and_different",
        "tests/linux/networking/test_gateway_modes.py::test_sysctls_of_an_interface",
    ),
    83: check(
        "an address that has another owner is announced",
        f"{NETWORKING}::test_a_new_owner_of_an_address_announces_itself",
        f"{NETWORKING}::test_a_new_owner_of_an_ipv6_address_announces_itself",
    ),
    84: check("enable_icc false", f"{NETWORKING}::test_driver_options_are_obeyed"),
    85: check(
        "pools that run out; no subnet over a route",
        f"{NETWORKING}::test_small_pools_of_ones_own_run_out_with_a_hint",
        f"{NETWORKING}::test_a_subnet_avoids_routes_and_other_networks",
    ),
    86: check(
        "rules come back after a flush, none are left after down (and after every test of tests/e2e)",
        f"{RESTORED}::test_a_flushed_rule_set",
        f"{RESTORED}::test_a_part_of_the_rules",
        "tests/e2e/test_beside_docker.py::test_both_work_side_by_side",
    ),
    87: check("port 80 and ping for everybody", f"{ROWS}::test_everybody_has_port_80_and_ping"),
    88: check(
        "names: services, aliases, replicas, reverse, types, spelling, transports, sizes, the next server",
        f"{DNS}::test_names_of_shared_networks_are_answered",
        f"{DNS}::test_other_types_of_a_known_name_are_empty_not_forwarded",
        f"{DNS}::test_many_replicas_send_a_small_client_to_tcp",
        f"{DNS}::test_other_names_are_asked_from_the_containers_own_namespace",
        f"{DNS}::test_the_next_server_is_asked_when_the_first_fails",
        f"{DNS}::test_an_answer_is_as_new_as_the_table",
        f"{PEERS}::test_dig_is_answered_as_it_asks",
        f"{PEERS}::test_a_dns_server_has_port_53_and_asks_ours",
        f"{PEERS}::test_nginx_follows_an_upstream_that_moves",
    ),
    89: check(
        "volumes: filled once, with owners and modes, nocopy, subpath, by replicas at once",
        f"{COPY_UP}::test_content_owner_mode_links_and_symlinks_arrive",
        f"{COPY_UP}::test_a_used_volume_is_left_alone",
        f"{COPY_UP}::test_replicas_at_once_fill_it_once",
        "tests/unit/supervisor/test_mounts.py::test_a_volume_may_not_be_filled",
        f"{PEERS}::test_redis_loses_nothing_that_it_has_acknowledged",
        f"{PEERS}::test_postgres_loses_nothing_that_it_has_acknowledged",
        INSIDE,
    ),
    90: check(
        "cp: links on the way, volumes, read-only places, streams, hostile archives",
        f"{COPIES}::test_links_of_a_container_never_lead_to_the_host",
        f"{COPIES}::test_into_a_container",
        f"{COPIES}::test_what_cannot_go_in",
        f"{COPIES}::test_a_mounted_file_is_written_in_place",
        f"{COPIES}::test_streams",
        f"{COPIES}::test_a_hostile_archive_on_standard_input",
    ),
    91: check(
        "the kernel warns of nothing", f"{ROWS}::test_the_kernel_has_nothing_to_say_about_our_overlays"
    ),
}

FAULTS = {
    "overwriting the engine's program": check(
        "CVE-2019-5736",
        f"{PROCESS_ATTACKS}::test_cve_2019_5736_the_engines_program_as_an_interpreter",
        f"{PROCESS_ATTACKS}::test_cve_2019_5736_cve_2016_9962_hunting_for_what_enters",
    ),
    "code loaded from the container": check(
        "CVE-2019-14271 CVE-2026-41567",
        f"{PROCESS_ATTACKS}::test_cve_2019_14271_libraries_and_tools_of_the_image",
        f"{BUILD_ATTACKS}::test_cve_2019_14271_cve_2026_41567_programs_of_the_container",
    ),
    "racing mount targets": check(
        "CVE-2021-30465 CVE-2024-45310 CVE-2025-31133 CVE-2025-52565 CVE-2026-41579 CVE-2026-47766"
        " CVE-2026-41568 CVE-2026-42306",
        f"{MOUNT_ATTACKS}::test_cve_2021_30465_cve_2024_45310_a_racing_symlink_swapper",
        f"{MOUNT_ATTACKS}::test_cve_2025_31133_a_null_device_that_becomes_a_link",
        f"{MOUNT_ATTACKS}::test_cve_2025_52565_a_console_that_is_a_link",
        f"{MOUNT_ATTACKS}::test_cve_2026_41579_cve_2026_47766_an_image_whose_dev_is_a_link",
        f"{BUILD_ATTACKS}"
        "::test_cve_2018_15664_cve_2026_41568_cve_2026_42306_moby_52948_cp_against_a_racing_container",
    ),
    "fake procfs": check(
        "CVE-2019-16884 CVE-2019-19921 CVE-2023-27561 CVE-2025-52881",
        f"{MOUNT_ATTACKS}::test_cve_2019_16884_cve_2019_19921_a_volume_over_proc",
        f"{MOUNT_ATTACKS}::test_cve_2023_27561_cve_2019_19921_an_image_whose_proc_is_a_link",
        f"{MOUNT_ATTACKS}::test_cve_2025_52881_a_parameter_goes_to_the_kernel_only",
    ),
    "descriptors that leak": check(
        "CVE-2016-9962 CVE-2024-21626",
        f"{PROCESS_ATTACKS}::test_cve_2024_21626_cve_2016_9962_a_working_directory_of_the_engines",
        f"{PROCESS_ATTACKS}::test_cve_2019_5736_cve_2016_9962_hunting_for_what_enters",
    ),
    "release_agent": check("CVE-2022-0492", f"{PROCESS_ATTACKS}::test_cve_2022_0492_a_release_agent"),
    "inherited capabilities": check(
        "CVE-2022-24769 CVE-2022-27650 CVE-2022-29162",
        f"{PROCESS_ATTACKS}::test_cve_2022_24769_cve_2022_27650_cve_2022_29162_inheritable_files",
    ),
    "groups": check(
        "CVE-2022-36109 CVE-2022-2989 CVE-2022-2990 CVE-2023-25173",
        f"{PROCESS_ATTACKS}"
        "::test_cve_2022_36109_cve_2022_2989_cve_2022_2990_cve_2023_25173_a_group_that_is_denied",
    ),
    "ids that overflow": check(
        "CVE-2024-40635", f"{PROCESS_ATTACKS}::test_cve_2024_40635_an_id_that_wraps_around"
    ),
    "users that are read wrongly": check(
        "CVE-2026-30892", f"{PROCESS_ATTACKS}::test_cve_2026_30892_a_user_that_is_read_wrongly"
    ),
    "parsers that are exhausted": check(
        "CVE-2026-47262",
        f"{PROCESS_ATTACKS}::test_cve_2026_47262_a_huge_or_endless_file_of_users",
        f"{IMAGE_ATTACKS}::test_cve_2026_47262_documents_that_exhaust_their_reader",
    ),
    "images that command": check(
        "CVE-2022-23648 CVE-2026-53488",
        f"{IMAGE_ATTACKS}::test_cve_2022_23648_a_volume_that_leads_out",
        f"{IMAGE_ATTACKS}::test_cve_2026_53488_labels_of_an_image_command_nobody",
    ),
    "mounts of a build step": check(
        "CVE-2024-23651", f"{BUILD_ATTACKS}::test_cve_2024_23651_a_mount_whose_source_is_a_link"
    ),
    "mount points of a build step": check(
        "CVE-2024-23652", f"{BUILD_ATTACKS}::test_cve_2024_23652_a_mount_point_that_becomes_a_link"
    ),
    "frontends and privileges of builds": check(
        "CVE-2024-23653 CVE-2026-33747 CVE-2026-33748 GHSA-7236-3392-c5c6",
        f"{BUILD_ATTACKS}::test_cve_2024_23653_cve_2026_33747_cve_2026_33748_ghsa_7236_3392_c5c6_privileges",
    ),
    "poisoned caches": check("CVE-2024-24557", f"{BUILD_ATTACKS}::test_cve_2024_24557_a_poisoned_cache"),
    "archives": check(
        "CVE-2007-4559 CVE-2014-9357 CVE-2018-15664 CVE-2019-13139 CVE-2021-32760 CVE-2025-4517",
        f"{IMAGE_ATTACKS}"
        "::test_cve_2007_4559_cve_2014_9357_cve_2018_15664_cve_2019_13139_cve_2021_32760_cve_2025_4517_archives",
        "tests/linux/engine/images/test_unpack.py::test_hostile_entries_are_refused_and_nothing_lands_outside",
    ),
    "ids that are paths": check(
        "CVE-2014-9358", f"{IMAGE_ATTACKS}::test_cve_2014_9358_ids_of_images_that_are_paths"
    ),
    "cp": check(
        "CVE-2018-15664",
        f"{BUILD_ATTACKS}"
        "::test_cve_2018_15664_cve_2026_41568_cve_2026_42306_moby_52948_cp_against_a_racing_container",
    ),
    "credentials for registries": check(
        "CVE-2020-15157",
        "tests/linux/engine/images/test_pull.py::test_cve_2020_15157_credentials_do_not_follow_to_another_origin",
        f"{BUILD_ATTACKS}::test_cve_2020_15157_a_token_for_a_repository_stays_with_its_host",
    ),
    "documents of two kinds": check(
        "CVE-2021-41190", f"{IMAGE_ATTACKS}::test_cve_2021_41190_a_document_of_two_kinds"
    ),
    "names as a way out": check(
        "CVE-2024-29018", f"{NETWORK_ATTACKS}::test_cve_2024_29018_names_of_an_internal_network"
    ),
    "names that lead to the engine": check(
        "DNS rebinding", f"{NETWORK_ATTACKS}::test_dns_rebinding_finds_no_engine"
    ),
    "published ports and loopback": check(
        "CVE-2025-54388 CVE-2020-8558",
        f"{NETWORK_ATTACKS}::test_moby_41872_moby_45610_cve_2025_54388_cve_2020_8558_a_port_on_loopback",
        f"{NETWORK_ATTACKS}::test_cve_2020_8558_the_machines_loopback_from_a_container",
    ),
    "IPv6 that nobody asked for": check(
        "CVE-2024-32473", f"{NETWORK_ATTACKS}::test_cve_2024_32473_no_ipv6_where_none_was_asked_for"
    ),
    "the engine's sockets": check(
        "CVE-2020-15257",
        f"{NETWORK_ATTACKS}::test_cve_2020_15257_sockets_of_the_engine_from_the_machines_network",
    ),
    "the state directory": check(
        "CVE-2021-41091 CVE-2021-41089 CVE-2024-25621",
        "tests/e2e/test_other_users.py"
        "::test_cve_2021_41091_cve_2021_41089_cve_2024_25621_no_file_or_socket_of_the_state_can_be_reached",
    ),
    "compose files from elsewhere": check(
        "CVE-2025-62725", f"{IMAGE_ATTACKS}::test_cve_2025_62725_a_compose_file_from_elsewhere"
    ),
    "addresses that are options": check(
        "CVE-2019-13139 GHSA-hw3h-2gp9-cxpv",
        f"{IMAGE_ATTACKS}::test_cve_2019_13139_ghsa_hw3h_2gp9_cxpv_a_context_that_is_an_option",
    ),
    "control characters": check(
        "terminal injection", f"{IMAGE_ATTACKS}::test_terminal_injection_by_output_and_names"
    ),
    "annotations of archives": check(
        "CVE-2026-53489 CVE-2026-53492 CVE-2026-50195",
        f"{IMAGE_ATTACKS}::test_cve_2026_53489_cve_2026_53492_cve_2026_50195_annotations_are_data",
    ),
}
