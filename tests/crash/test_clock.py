"""The real program under a clock that is set while it runs (libfaketime; skipped where there is none)."""

from __future__ import annotations

import signal
from glob import glob
from pathlib import Path

import pytest

from cronq.doorbell import ring
from tests.crash.program import Cronq
from tests.crash.test_program import assert_exact, fire_times

_PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")


class Watch:
    """A clock for processes, and the hand that sets it."""

    def __init__(self, library: str, file: Path) -> None:
        self._file = file
        self.set("+0")
        self.environ = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset}\n")
        draft.replace(self._file)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    found = [library for place in _PLACES for library in sorted(glob(place))]  # noqa: PTH207
    if not found:
        pytest.skip("there is no libfaketime (Debian: apt install faketime)")
    return Watch(found[0], tmp_path / "clock")


def test_row_clock_jumps_back_live(cronq: Cronq, watch: Watch) -> None:
    cronq("add", "tick", "every 1s", "--", "true")
    cronq("add", "flaky", "every 1d", "--retries", "1", "--retry-delay", "3s", "--", "false")
    with cronq.run(**watch.environ) as running:
        running.wait_for("attempt_finished", job="tick")
        cronq("trigger", "flaky", code=0, **watch.environ)
        assert running.wait_for("attempt_finished", job="flaky")["retry_in_s"] is not None
        watch.set("-1h")
        # The kernel wakes who waits when its clock is set; libfaketime does not.
        assert ring(cronq.home / "cronq.db.bell")
        told = running.wait_for("notice", level="warning")["message"]
        assert told == "the clock was set back by 1h: nothing is fired again"
        before = fire_times(cronq, "tick")
        # The retry waits its three seconds, not an hour and three seconds.
        assert running.wait_for("attempt_finished", job="flaky")["retry_in_s"] is None
        cronq("trigger", "tick", code=0, **watch.environ)
        running.wait_for("attempt_finished", job="tick")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    after = fire_times(cronq, "tick")
    assert set(after.values()) == {1}
    assert after == before, "a fire time before the present one was fired again"


@pytest.mark.parametrize(("offset", "words"), [("+1h", "1h"), ("+1d", "1d")])
def test_row_clock_jumps_forward_live(cronq: Cronq, watch: Watch, offset: str, words: str) -> None:
    policies = ("latest", "skip", "all")
    for policy in policies:
        cronq("add", policy, "every 1s", "--catch-up", policy, "--", "true")
    with cronq.run(**watch.environ) as running:
        running.wait_for("attempt_finished", job="all")
        watch.set(offset)
        told = running.wait_for("notice")["message"]
        assert told.startswith(f"the clock went forward by {words}, or the machine slept")
        for policy in policies:
            running.wait_for("run_queued", job=policy)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    for policy in policies:
        assert_exact(cronq, policy, 1)
        assert len(fire_times(cronq, policy)) >= 3600
