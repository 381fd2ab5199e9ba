"""Every key for resources, and the tests of its effect; then the machines whose control groups differ.

tests/unit/test_checklist.py looks whether the tests exist. What is in tests/linux runs on v1, on v1 beside cgroup2, and
on cgroup2 alone in a guest.
"""

from __future__ import annotations

from tests.support.checklist import CGROUPS, JAIL, PRIVILEGES, WALLS, check

RESOURCES = "tests/linux/engine/test_resources.py"
FORMULAS = (
    "tests/unit/engine/test_limits.py::test_v2_files",
    "tests/unit/engine/test_limits.py::test_v1_files",
)
SHOWN = (f"{RESOURCES}::test_a_container_sees_its_limits", f"{RESOURCES}::test_an_update_is_seen")
REFUSED = "tests/unit/engine/test_limits.py::test_impossible_limits_are_refused"
INSIDE = "tests/e2e/scenarios/test_inside.py::TestInside::test_row"
CORPUS = "tests/unit/config/test_corpus.py::test_a_case_is_answered_as_by_the_oracle"
PLACES = "tests/unit/engine/test_cgroup_hosts.py"

KEYS = {
    "mem_limit": check(
        "the kernel kills who wants more, which is told",
        *FORMULAS, *SHOWN, INSIDE, REFUSED,
        f"{RESOURCES}::test_memory_that_is_used_up_kills",
        f"{CGROUPS}::test_update_in_any_order",
        f"{CGROUPS}::test_update_does_not_kill",
        "tests/e2e/test_containers.py::test_update",
    ),
    "memswap_limit": check("memory and swap together", *FORMULAS, *SHOWN, REFUSED, but="no machine of ours has swap"),
    "mem_reservation": check("what is kept when memory is short", *FORMULAS, *SHOWN, REFUSED),
    "mem_swappiness": check("v1; a warning on v2", *FORMULAS, *SHOWN, REFUSED),
    "oom_kill_disable": check(
        "v1: a container waits for memory; a warning on v2",
        *FORMULAS, *SHOWN, f"{RESOURCES}::test_without_the_killer_a_container_waits",
    ),
    "oom_score_adj": check("whom the kernel prefers", INSIDE, f"{JAIL}::test_oom_score_is_the_containers"),
    "memory.oom.group": check("one process is killed, not all, as in Docker", *SHOWN),
    "cpus": check(
        "a ration per period",
        *FORMULAS, *SHOWN, INSIDE, REFUSED,
        f"{RESOURCES}::test_processor_time_is_rationed",
        f"{CGROUPS}::test_the_cpu_limit_throttles",
    ),
    "cpu_quota, cpu_period": check("the same in the kernel's terms", *FORMULAS, *SHOWN, REFUSED),
    "cpu_shares": check("shares among those who want more", *FORMULAS, *SHOWN, f"{RESOURCES}::test_shares_are_kept"),
    "cpu_rt_runtime, cpu_rt_period": check(
        "v1 where the kernel has it", *FORMULAS, f"{CGROUPS}::test_real_time_budgets",
        but="neither kernel of ours has CONFIG_RT_GROUP_SCHED: nothing runs in real time",
    ),
    "cpuset": check(
        "these processors only, whatever the caller's shell was bound to",
        *FORMULAS, *SHOWN, INSIDE, REFUSED,
        f"{RESOURCES}::test_processors_are_those_named",
        f"{CGROUPS}::test_a_parent_that_nobody_has_filled_is_filled",
    ),
    "pids_limit": check(
        "more processes are refused",
        *FORMULAS, *SHOWN, INSIDE,
        f"{RESOURCES}::test_more_processes_are_refused",
        f"{WALLS}::test_an_exec_enters_a_full_container",
    ),
    "blkio_config.weight": check("shares of a disk", *FORMULAS, f"{CGROUPS}::test_block_weight"),
    "blkio_config.weight_device": check(
        "shares of one disk; a warning where its scheduler knows none", *FORMULAS,
        "tests/linux/security/test_modes.py::test_a_weight_for_a_device_is_a_wish",
    ),
    "blkio_config.device_*": check(
        "bytes and operations per second",
        *FORMULAS, f"{CGROUPS}::test_block_rates", f"{RESOURCES}::test_a_disk_is_read_as_fast_as_allowed",
    ),
    "ulimits": check(
        "prlimit(2), for exec too",
        INSIDE, f"{JAIL}::test_rlimits_are_explicit", f"{PRIVILEGES}::test_an_exec_has_the_limits_it_is_given",
    ),
    "shm_size": check("the size of /dev/shm", INSIDE, f"{JAIL}::test_shm_size_is_a_limit"),
    "storage_opt.size": check("refused", "tests/unit/config/test_runnable.py::test_what_docker_refuses_is_refused"),
    "deploy.resources.limits": check("the same limits; two that differ are an error", INSIDE, CORPUS),
    "deploy.resources.reservations.cpus": check("without effect, as in Docker", CORPUS),
    "deploy.resources.reservations.devices": check("devices by name", "tests/e2e/test_cdi.py::test_gpus"),
    "cgroup_parent": check(
        "where the group goes",
        f"{PLACES}::test_where_a_group_goes",
        f"{PLACES}::test_a_parent_outside_is_refused",
        f"{PLACES}::test_slices_are_where_systemd_has_them",
        f"{CGROUPS}::test_an_absolute_parent",
        f"{CGROUPS}::test_the_parents_live_as_long_as_their_last_container",
    ),
}  # fmt: skip

MACHINES = {
    "v2 without systemd": check("controllers are enabled from above", f"{CGROUPS}::test_limits_are_written"),
    "v2 in a container": check("processes make room first", f"{CGROUPS}::test_groups_can_be_made_inside_a_container"),
    "v2 with systemd": check(
        "our own root, beside systemd's slices; a slice by name has to be started",
        f"{PLACES}::test_slices_are_where_systemd_has_them",
        but="no machine of ours runs systemd: nothing asks it for a scope",
    ),
    "v1 and hybrid": check(
        "a group in every hierarchy, no release agent", f"{WALLS}::test_no_group_of_the_machine_is_seen",
        f"{WALLS}::test_every_hierarchy_is_left_clean",
    ),
    "none, or not to be written": check(
        "no limits, and an error for who asks for any", f"{CGROUPS}::test_a_machine_without_cgroups"
    ),
    "threaded, or in use": check(
        "a group that can't hold a container is refused", f"{CGROUPS}::test_what_an_earlier_run_left_is_replaced"
    ),
}  # fmt: skip
