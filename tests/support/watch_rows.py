"""What `develop.watch` is and how it is to behave, a row each, with the tests that see it, or why none does.

By section: the keys of a rule; its actions; which paths a rule takes; how changes are found and put together; the
commands; what the library that wakes the watcher does and doesn't, and the ways into a container; what is promised
beyond all that; what goes wrong.
tests/unit/test_checklist.py looks whether the tests exist.
"""

from __future__ import annotations

from tests.support.checklist import Check, check

RULES = "tests/unit/watch/test_rules.py"
MATCHING = "tests/unit/watch/test_matching.py"
MANIFEST = "tests/unit/watch/test_manifest.py"
VIEW = "tests/unit/watch/test_view.py"
MIRROR = "tests/unit/watch/test_mirror.py"
WRITER = "tests/unit/watch/test_writer.py"
TREES = "tests/unit/watch/test_truth.py"
WAKEUP = "tests/unit/watch/test_wakeup.py"
LIMITS = "tests/unit/watch/test_limits.py"
ERRANDS = "tests/unit/watch/test_errands.py"
LOOP = "tests/unit/watch/test_watcher.py"
STARTS = "tests/unit/watch/test_start.py"
SILENCE = "tests/unit/watch/test_silence.py::test_silence"
BATCH = "tests/unit/watch/test_reports.py::test_a_large_batch_is_one_line"
MENU = "tests/unit/cli/test_menu.py"
USED = "tests/e2e/test_watch.py"
BEYOND = "tests/e2e/test_watch_beyond.py"
STALE = "tests/e2e/test_watch_truth.py"
BACKGROUND = "tests/e2e/test_watch_background.py"
CONTAINERS = "tests/e2e/test_watch_containers.py"
INFER = "tests/unit/watch/test_infer.py"
EXAMPLES = "tests/e2e/test_examples.py"
CHOSEN = "tests/e2e/test_keys.py::test_what_is_watched"
LEFT = "tests/e2e/test_flags.py::test_what_watching_leaves"
HASH = "tests/e2e/scenarios/test_hash.py::TestChanges::test_change"
RESTARTS = "tests/e2e/scenarios/test_restarts.py"
DEPENDANTS = "tests/e2e/scenarios/test_commands.py::TestHandling::test_restart_and_dependants"
CORPUS = "tests/unit/config/test_corpus.py::test_a_case_is_answered_as_by_the_oracle"
INVALID = "tests/unit/config/test_invalid.py::test_the_error_says_what_is_wrong_and_where"
NUMBERS = "tests/benchmarks/watch.py measures it, beside Docker Compose; a bound in a test would depend on the machine"

KEYS = {
    "path": check(
        "a file or a directory, from the project's or the extended file's directory, which may come later",
        CORPUS,
        f"{RULES}::test_places",
        f"{RULES}::test_single_file",
        f"{TREES}::test_a_tree_that_comes_later",
    ),
    "action": check(
        "one of five, and no other word",
        INVALID,
        f"{RULES}::test_refused",
        f"{USED}::test_refused",
    ),
    "target": check(
        "needed for a sync; the path below the rule's is the path below it; for one file it is that",
        INVALID,
        f"{RULES}::test_places",
        f"{RULES}::test_refused",
        f"{RULES}::test_single_file",
        f"{RULES}::test_the_whole_root_is_a_target",
    ),
    "relative target": check(
        "`config` lets it pass, who follows the rule doesn't",
        f"{RULES}::test_a_relative_target_is_refused_by_who_follows_it",
        f"{USED}::test_refused",
    ),
    "ignore": check(
        "a pattern or a list of Docker's, from the rule's path",
        f"{MATCHING}::test_ignore",
        f"{RULES}::test_old_spelling",
        CHOSEN,
    ),
    "include": check(
        "only what fits, unless it is ignored; without, everything",
        f"{MATCHING}::test_include",
        CHOSEN,
    ),
    "initial_sync": check(
        "for all syncing actions, and unless it is false; its old spelling is read and warned of",
        f"{RULES}::test_initial_sync",
        f"{RULES}::test_remarks",
        CHOSEN,
        f"{USED}::test_sync",
        f"{USED}::test_actions",
    ),
    "exec": check(
        "command, user, privileged, working_dir, environment; needed for sync+exec, said to be in vain elsewhere",
        f"{ERRANDS}::test_a_command_is_run_as_its_rule_says",
        f"{RULES}::test_refused",
        f"{RULES}::test_remarks",
        f"{USED}::test_actions",
    ),
    "x-develop": check("the old name of it all", f"{RULES}::test_old_spelling"),
    "hash": check("a changed rule makes the container anew at the next `up`", HASH),
    "owner": check(
        "of the directory that there is, or who is named: not the user outside, nor the container's",
        f"{BEYOND}::test_owner",
        f"{WRITER}::test_setuid_stays_outside",
    ),
    "link to a directory": check(
        "copied as a link, not followed",
        f"{TREES}::test_links",
        f"{WRITER}::test_kinds",
    ),
    "exit codes": check(
        "130 for SIGINT and SIGTERM, 129 for SIGHUP; 130 and stopped containers from `up`",
        f"{USED}::test_sync",
        f"{USED}::test_only_one_watcher",
        f"{USED}::test_attached_up",
    ),
    "second watcher": check("1, and who is the first", f"{USED}::test_only_one_watcher"),
    "deaf process 1": check(
        "a restart doesn't wait for one that can't hear SIGTERM",
        f"{USED}::test_actions",
        f"{RESTARTS}::test_no_handler",
        f"{RESTARTS}::test_ignored_signal",
    ),
    "times": check("of a save, of 1,000 and of 20,000 files", but=NUMBERS),
}

ACTIONS = {
    "sync": check(
        "what is there goes into every replica with its mode, what has gone goes, running or not; not into one-offs",
        f"{USED}::test_sync",
        f"{STALE}::test_random_changes",
        f"{STALE}::test_changes_while_nothing_runs",
        f"{WRITER}::test_file",
        f"{WRITER}::test_remove",
    ),
    "sync that fails": check(
        "no program and no right of the container is needed; what can't be written is said, and tried again",
        f"{WRITER}::test_remove",
        f"{BEYOND}::test_any_image",
        f"{BEYOND}::test_no_way_in",
    ),
    "rebuild": check(
        "those whose rules fit, without dependencies, with their anonymous volumes; nameless images go",
        f"{LOOP}::test_builds_are_one_for_all",
        f"{ERRANDS}::test_a_build_replaces_those_that_asked_for_it",
        f"{USED}::test_rebuild",
        LEFT,
    ),
    "rebuild that fails": check(
        "it is said, the old container runs on",
        f"{ERRANDS}::test_a_build_that_fails_replaces_nothing",
        f"{USED}::test_rebuild",
    ),
    "rebuild that can't be": check(
        "without `build:`, and with --no-build",
        f"{RULES}::test_refused",
        f"{RULES}::test_refused_builds",
        f"{USED}::test_refused",
    ),
    "restart": check(
        "as the command does it, with dependants and hooks",
        f"{ERRANDS}::test_one_restart_and_then_the_commands",
        f"{USED}::test_actions",
        DEPENDANTS,
    ),
    "sync+restart": check(
        "the files first; one restart for all of a batch",
        f"{LOOP}::test_every_rule_that_fits_is_followed",
        f"{ERRANDS}::test_one_restart_and_then_the_commands",
        f"{USED}::test_actions",
        f"{USED}::test_a_save_in_place_is_one_change",
    ),
    "sync+exec": check(
        "once for each rule in every replica at once; what it prints and how it fails is said, and no more",
        f"{ERRANDS}::test_a_command_is_run_in_every_replica_at_once",
        f"{ERRANDS}::test_a_command_is_run_as_its_rule_says",
        f"{ERRANDS}::test_a_code_that_is_not_0_is_said_and_no_more",
        f"{USED}::test_actions",
    ),
    "order": check(
        "syncs, restarts, commands; a build comes in place of its service's sync, which is made up for afterwards",
        f"{LOOP}::test_a_build_takes_the_place_of_its_services_sync",
        f"{LOOP}::test_every_rule_that_fits_is_followed",
        f"{ERRANDS}::test_one_restart_and_then_the_commands",
        f"{USED}::test_rebuild",
    ),
    "all rules": check(
        "each that fits is followed; of two for one place the last one wins",
        f"{LOOP}::test_every_rule_that_fits_is_followed",
        f"{VIEW}::test_two_rules_for_one_place",
    ),
    "first error": check(
        "ends nothing: other services get what is theirs",
        f"{USED}::test_rebuild",
        f"{LOOP}::test_a_build_takes_the_place_of_its_services_sync",
    ),
}

PIPELINE = {
    "below the path": check("the rule's path or what is below it", f"{RULES}::test_places"),
    "include": check(
        "if given, fits", f"{MATCHING}::test_include", f"{MATCHING}::test_a_list_has_no_comments"
    ),
    "dropped": check(
        "by the build's list (the Dockerfile's own first; only with a build), by the built-in one, .git, or the rule",
        f"{RULES}::test_what_a_build_leaves_out",
        f"{MATCHING}::test_docker_ignore",
        f"{MATCHING}::test_what_editors_leave",
        f"{MATCHING}::test_ignore",
    ),
    "editors": check(
        "what they leave beside a file, and nothing that only looks like it",
        f"{MATCHING}::test_what_editors_leave",
        f"{MATCHING}::test_what_only_looks_like_it",
    ),
    "bind mounts": check(
        "a rule over one is said once, and not followed",
        f"{RULES}::test_remarks",
        f"{BEYOND}::test_bind_mount",
    ),
    "a bare star": check("is a pattern as any other", f"{MATCHING}::test_a_bare_star"),
    "patterns at the start": check(
        "are those of later, over the whole path",
        f"{RULES}::test_patterns_count_from_the_first_copy_on",
    ),
    "deletions at the start": check(
        "what has gone while nobody watched goes",
        f"{MIRROR}::test_another_watcher",
        f"{STALE}::test_killed",
    ),
}

WATCHER = {
    "directories": check(
        "each has its watch; a new one is looked through; links aren't followed; what is closed is said; a path that"
        " isn't there is waited for from above",
        f"{MANIFEST}::test_look",
        f"{MANIFEST}::test_nearest",
        f"{MANIFEST}::test_what_cannot_be_looked_at",
        f"{TREES}::test_deep_trees_at_once",
        f"{TREES}::test_links",
        f"{TREES}::test_a_tree_that_comes_later",
    ),
    "silence": check(
        "a sync waits for none; what follows waits for a short one, and not for ever",
        SILENCE,
        f"{WAKEUP}::test_a_save_is_told_of_at_once",
        f"{WAKEUP}::test_who_never_pauses_is_told_of",
        f"{WAKEUP}::test_a_burst_of_events_does_not_wake_for_each",
    ),
    "large batches": check("one line", BATCH, f"{STALE}::test_checkout"),
    "lost events": check(
        "are made up for",
        f"{LOOP}::test_what_no_event_has_named",
        f"{WAKEUP}::test_after_a_silence_everything_is_compared",
        f"{MANIFEST}::test_recheck_finds_what_no_event_told",
        f"{STALE}::test_checkout",
    ),
    "ignored trees": check(
        "cost no watch",
        f"{LOOP}::test_what_no_rule_is_about_is_not_watched",
        f"{MANIFEST}::test_what_nobody_wants_is_not_read",
        f"{MATCHING}::test_pruning",
    ),
    "other starts": check(
        "recreated, restarted, or crashed: a container starts with the current files",
        f"{USED}::test_files_are_there_before_the_entrypoint",
        f"{USED}::test_a_container_that_crashes",
        f"{BACKGROUND}::test_stopped_and_started",
    ),
    "compose file": check("is watched; told of, or done", f"{BEYOND}::test_compose_file"),
}

COMMANDS = {
    "watch": check(
        "one per project; services, or all that have rules; brought up before, or not; output of builds, or not;"
        " nameless images go, or stay; no output of services; an error where nobody has a rule",
        f"{RULES}::test_selected_services",
        f"{STARTS}::test_what_has_a_rebuild_rule_is_built_first",
        f"{USED}::test_only_one_watcher",
        f"{USED}::test_refused",
        f"{USED}::test_files_are_there_before_the_entrypoint",
        LEFT,
        but="dependencies that never change: those whose definition has changed are made anew, as by `up`",
    ),
    "up --watch": check(
        "the same beside the output, not with -d; `w` begins, pauses, goes on, where there is something to watch",
        f"{USED}::test_attached_up",
        f"{USED}::test_key",
        f"{USED}::test_refused",
        f"{MENU}::test_keys",
        f"{MENU}::test_the_line_names_the_keys_that_do_something",
    ),
    "start": check(
        "who has a rebuild rule is built, whatever image there is",
        f"{STARTS}::test_what_has_a_rebuild_rule_is_built_first",
    ),
    "messages": check(
        "are Compose's: of a sync, a restart, a build, its end, its failure; with a mark in `up`",
        f"{USED}::test_sync",
        f"{USED}::test_actions",
        f"{USED}::test_rebuild",
        f"{USED}::test_attached_up",
    ),
}

LIBRARY = {
    "latency by default": check("isn't ours", f"{WAKEUP}::test_a_save_is_told_of_at_once"),
    "latency by step": check("is that of a small one", f"{WAKEUP}::test_a_save_is_told_of_at_once"),
    "idle time": check("of the processor, by step", but=NUMBERS),
    "grouping": check("has an upper bound", f"{WAKEUP}::test_who_never_pauses_is_told_of"),
    "deep trees": check(
        "a directory is told of, and not what was put into it before its watch was there",
        f"{TREES}::test_deep_trees_at_once",
        f"{MANIFEST}::test_look",
        f"{MANIFEST}::test_an_event_below_an_unknown_directory",
    ),
    "overflow": check(
        "is passed over in silence: after many events, and after a silence, everything is compared",
        f"{LOOP}::test_what_no_event_has_named",
        f"{WAKEUP}::test_after_a_silence_everything_is_compared",
        f"{STALE}::test_checkout",
    ),
    "names that are no text": check(
        "end it: it is made anew",
        f"{TREES}::test_names_that_are_no_text",
        f"{MANIFEST}::test_names_that_are_no_text",
    ),
    "links to directories": check("are followed by it, not by us", f"{TREES}::test_links"),
    "one file": check("is lost when it is replaced", f"{TREES}::test_one_file_that_is_replaced"),
    "missing paths": check(
        "are errors",
        f"{TREES}::test_a_tree_that_comes_later",
        f"{MANIFEST}::test_roots_that_are_files_or_missing",
    ),
    "many directories": check(
        "take a watch each, as far as there are some: those that nobody wants have none, the rest is looked at",
        f"{MANIFEST}::test_what_nobody_wants_is_not_read",
        f"{LIMITS}::test_watches",
        f"{LIMITS}::test_instances",
    ),
    "its own filter": check("isn't used", f"{WAKEUP}::test_no_name_is_left_out"),
    "atomic saves": check("are several events, of which none is believed", f"{TREES}::test_how_editors_save"),
    "through the container's root": check(
        "is what the container sees, volumes and mounts included",
        f"{BEYOND}::test_any_image",
        f"{BEYOND}::test_no_way_in",
    ),
    "beside, then moved": check(
        "who reads has one or the other whole, who watches is told",
        f"{WRITER}::test_whoever_watches_or_reads_it",
        f"{WRITER}::test_what_changes_meanwhile",
    ),
    "a second mount of the overlay": check(
        "would be under what is mounted in the container: files come to a tmpfs and to a file that is mounted",
        f"{BEYOND}::test_no_way_in",
        f"{BEYOND}::test_any_image",
    ),
    "the overlay's upper directory": check(
        "would tell nobody",
        but="nothing writes there: running containers are written to through their root (the rows above)",
    ),
    "absolute links": check(
        "of the container lead to its own root, not to ours",
        f"{WRITER}::test_links_in_the_container_lead_nowhere_else",
    ),
    "stopped containers": check(
        "get files, too, and the entrypoint waits for them",
        f"{STALE}::test_changes_while_nothing_runs",
        f"{USED}::test_files_are_there_before_the_entrypoint",
    ),
}

PROMISES = {
    "two homes": check(
        "attached, and in the background: with the project, shown, and there again when it is killed",
        f"{BACKGROUND}::test_background",
        f"{BACKGROUND}::test_stop",
        f"{BACKGROUND}::test_killed",
    ),
    "dry run": check("shows what would be done before, and the rules", f"{BEYOND}::test_infer"),
    "as data": check("a JSON object per line", f"{USED}::test_json"),
    "any image": check(
        "without a shell, tar or rm, as any user",
        f"{CONTAINERS}::test_an_image_without_programs",
        f"{BEYOND}::test_any_image",
    ),
    "kinds of files": check(
        "directories, links, empty files, files of gigabytes, with holes, and names of any bytes",
        f"{WRITER}::test_kinds",
        f"{WRITER}::test_more_than_two_gigabytes",
        f"{WRITER}::test_holes",
        f"{TREES}::test_names_that_are_no_text",
        f"{TREES}::test_trees_deeper_than_a_path",
    ),
    "modes": check(
        "are kept, but for setuid and setgid", f"{WRITER}::test_file", f"{WRITER}::test_setuid_stays_outside"
    ),
    "a file that is being written": check(
        "is copied when it is whole, and holds up nobody",
        f"{WRITER}::test_what_changes_meanwhile",
        f"{WRITER}::test_a_copy_ends_as_soon_as_its_source_changes",
        f"{MIRROR}::test_a_large_file_that_is_being_written",
    ),
    "created containers": check(
        "have the files before their first start",
        f"{CONTAINERS}::test_a_container_that_was_only_created",
        f"{USED}::test_files_are_there_before_the_entrypoint",
    ),
    "never stale": check(
        "after a full queue, a pause, a checkout, kills, and everything that can be done to a tree",
        f"{STALE}::test_a_queue_that_runs_over",
        f"{USED}::test_key",
        f"{STALE}::test_checkout",
        f"{STALE}::test_killed",
        f"{STALE}::test_random_changes",
    ),
    "links that are turned": check(
        "lead the rule elsewhere",
        f"{LOOP}::test_a_link_that_is_turned",
        f"{LOOP}::test_links_on_the_way",
        f"{LOOP}::test_a_file_behind_links",
        f"{LOOP}::test_what_was_left_alone_stays_so",
        f"{STALE}::test_a_link_that_is_turned",
    ),
    "during a build": check(
        "other services get their files, its own come after it",
        f"{LOOP}::test_a_build_takes_the_place_of_its_services_sync",
        f"{USED}::test_rebuild",
    ),
    "x-signal, x-trigger": check(
        "a signal for what is named", f"{BEYOND}::test_signal", f"{RULES}::test_triggers"
    ),
    "$PYCOMPOSE_CHANGED": check(
        "a path per line, as many as fit", f"{USED}::test_actions", f"{RULES}::test_what_a_variable_holds"
    ),
    "x-on-unmatched": check("a build for what is nobody's sync", f"{BEYOND}::test_unmatched"),
    "x-sync-back": check(
        "what the container makes comes out, once, nowhere else; of two changes the one outside stays",
        f"{BEYOND}::test_back",
        f"{BEYOND}::test_back_writes_nowhere_else",
        f"{CONTAINERS}::test_both_have_changed",
    ),
    "--infer": check(
        "rules from the Dockerfile, all stages, as YAML to paste",
        f"{BEYOND}::test_infer",
        f"{INFER}::test_stages",
        f"{INFER}::test_unchanged_through_a_stage",
        f"{INFER}::test_yaml",
    ),
    "--explain": check(
        "which rule takes a path, and why", f"{INFER}::test_explain", f"{MATCHING}::test_reasons"
    ),
    "the compose file": check("is told of with its plan, or done", f"{BEYOND}::test_compose_file"),
    "mounted sources": check(
        "work as they are: events reach the container; a rule over them is said once and does nothing",
        f"{BEYOND}::test_bind_mount",
        f"{CONTAINERS}::test_a_bind_mount_tells_who_watches",
        f"{CONTAINERS}::test_a_bind_mount_below_a_rule",
    ),
    "the example": check("shows a save", f"{EXAMPLES}::test_live"),
}

FAULTS = {
    "words": check(
        "that nobody knows are refused, with their place",
        f"{USED}::test_refused",
        f"{RULES}::test_refused_with_its_place",
    ),
    "paths outside": check(
        "are watched like others, as by Compose", f"{CONTAINERS}::test_a_path_outside_the_project"
    ),
    "limits of inotify": check(
        "are named, with what is needed; what isn't watched is looked at",
        f"{LIMITS}::test_watches",
        f"{LIMITS}::test_instances",
        f"{LIMITS}::test_the_limit_is_not_reached_here",
    ),
    "no right to look": check(
        "is said once, the rest is seen",
        f"{MANIFEST}::test_what_cannot_be_looked_at",
        f"{LOOP}::test_what_cannot_be_looked_at",
    ),
    "no room": check(
        "is said once, what fits is there, the rest when there is room", f"{BEYOND}::test_no_way_in"
    ),
    "read-only": check(
        "is said, with what helps; memory in such a container is no fault",
        f"{BEYOND}::test_no_way_in",
        f"{CONTAINERS}::test_memory_in_a_container_that_is_read_only",
    ),
    "no container": check("is said once, and it goes on", f"{CONTAINERS}::test_no_container"),
    "nowhere to print": check(
        "is said once, and it goes on", "tests/unit/cli/test_watch_printer.py::test_nowhere_to_print"
    ),
}

SECTIONS: dict[str, dict[str, Check]] = {
    "keys": KEYS,
    "actions": ACTIONS,
    "pipeline": PIPELINE,
    "watcher": WATCHER,
    "commands": COMMANDS,
    "library": LIBRARY,
    "promises": PROMISES,
    "faults": FAULTS,
}
