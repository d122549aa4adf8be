"""Every fault that cronq promises to live with has a test that names it: `test_row_<key>…`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

ROWS = {
    "scheduler_killed_before_the_fire_commits": "the fire time is launched once, by the next scheduler",
    "scheduler_killed_before_the_claim": "the run stays queued, and the next scheduler gives it out",
    "scheduler_killed_while_the_job_runs": "the command goes on, its end is recorded; never a second copy",
    "worker_killed": "the command goes on, and its true end is recorded; a replaced worker records nothing",
    "oom_of_the_job": "it is the reason, and the scheduler lives",
    "power_loss": "what ran is abandoned, what was committed is there, the database opens",
    "clock_jumps_back": "nothing fires again",
    "clock_jumps_forward": "downtime, by the catch-up policy",
    "suspend_resume": "downtime, by the catch-up policy",
    "two_schedulers": "the second one ends with 4 and names the first",
    "disk_full_db": "nothing is half written, the scheduler stays, and space brings it back",
    "disk_full_logs": "the job goes on, and its log is said to be incomplete",
    "db_locked_by_another_process": "it waits, says who, and never dies of it",
    "db_corrupt": "refused, with the way out; nothing is made anew by itself",
    "db_deleted": "nothing is started any more, running commands finish, exit code 5",
    "sigterm_once": "nothing new is claimed; what runs may finish within its bound",
    "sigterm_twice": "trees are stopped at once; the rows are still written",
    "job_forks_a_daemon": "it is stopped with its command",
    "job_ignores_sigterm": "KILL to the whole tree",
    "job_prints_10_gb": "head and tail are kept, the cut is marked, disk and memory are bounded",
    "job_closes_stdout": "the end is the exit, not the end of the output, and the other way round",
    "fd_exhaustion": "what cannot run yet stays queued",
    "eagain_on_fork": "no failure of the job: it waits and is tried again",
    "python_job_segfaults": "it costs that attempt, and nothing else",
    "unpicklable_result": "results never leave the process",
    "zone_data_changed": "stored fire times are computed again",
    "job_edited_while_queued": "a run keeps the definition that it was made under",
    "job_edited_while_running": "a run keeps the definition that it was made under",
    "job_deleted": "queued runs end as skipped, running ones finish, history stays",
}
"""Fault → what must happen."""

SHARED_ROWS = {
    "two_schedulers_on_many_hosts": "each fire time is launched once",
    "two_schedulers_one_clock_ahead": "nothing is launched before its time, by the clock of the server",
    "suspend_resume_of_one_of_several": "the others go on; what it does late changes nothing",
    "suspend_resume_in_a_transaction": "it loses its turn to write, and the others go on",
    "suspend_resume_of_a_node_that_holds_messages": "others are told anew",
    "scheduler_killed_while_the_job_runs_and_started_again": "it adopts what runs on its host",
    "scheduler_killed_while_the_job_runs_on_a_host_that_stays_away": "dead within the lease; then rescued",
    "worker_killed_with_its_node": "abandoned when the lease has ended, and the crash rule decides",
    "worker_killed_late_write_is_fenced": "the number of the attempt refuses it",
    "cancel_reaches_another_host": "from any host, at once",
    "database_gone_for_a_while": "said once; all fire times are accounted for afterwards",
}
"""The same for a ledger that several nodes share."""


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


FOUND = {
    name.removeprefix("test_row_")
    for path in TESTS.rglob("test_*.py")
    for name in functions_in(path)
    if name.startswith("test_row_")
}


@pytest.mark.parametrize("key", [*ROWS, *SHARED_ROWS])
def test_fault_has_a_test_that_names_it(key: str) -> None:
    assert any(name == key or name.startswith(f"{key}_") for name in FOUND)
