"""The files that `cronq ci init` writes: a tick twice an hour, and a dead man's switch once a day.

Pure: from names and versions to text. `@NAME@` stands where a value goes, because both forms use braces.
"""

from __future__ import annotations

import hashlib
import shlex
from typing import NamedTuple

from cronq import __version__

STATE = ".cronq/state.txt"
DISTRIBUTION = "cronq-cli"
GITHUB, GITLAB = "github", "gitlab"
PLACES = {GITHUB: ".github/workflows/cronq.yml", GITLAB: ".gitlab-ci.yml"}
"""Where the file of a service goes, from the top of the repository."""

# Full commits, because a tag can be moved: the releases of early 2026, which run on Node 24.
ACTIONS = {
    "CHECKOUT": "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2",
    "SETUP_PYTHON": "actions/setup-python@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0",
    "CACHE_RESTORE": "actions/cache/restore@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3",
    "CACHE_SAVE": "actions/cache/save@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3",
    "UPLOAD": "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0",
}

_GITHUB = """\
# Written by `cronq ci init github` of cronq @VERSION@. It is yours now: change what you like.
#
# How often this runs says only how late a job may start: what fell due since the last tick is caught up, by
# the policies of each job. GitHub runs schedules late, and drops some; that is why a tick keeps a cursor.
name: cronq

on:
  schedule:
    # Not on the hour or the half hour, when everybody's schedules are due.
    - cron: "@TICK@"
    # The dead man's switch, below.
    - cron: "@SWITCH@"
  workflow_dispatch:

permissions:
  contents: read

jobs:
  tick:
    if: github.event.schedule != '@SWITCH@'
    runs-on: ubuntu-latest
    # More than the budget of the tick, so that it ends by itself.
    timeout-minutes: 40
    # One at a time, and none is cancelled: a tick that waits finds what the one before has left.
    concurrency:
      group: cronq
      cancel-in-progress: false
    steps:
      - uses: @CHECKOUT@
        with:
          persist-credentials: false
      - uses: @SETUP_PYTHON@
        with:
          python-version: "3.13"
      - name: Install cronq
        run: python -m pip install --quiet '@REQUIREMENT@'
      # The cursor is kept in the cache, because that needs no right to write to the repository. GitHub
      # removes caches that nobody used for a week: the first tick without one begins anew.
      - name: Restore the cursor
        uses: @CACHE_RESTORE@
        with:
          path: @STATE@
          key: cronq-state-${{ github.run_id }}-${{ github.run_attempt }}
          restore-keys: cronq-state-
      - name: Run what became due
        # Secrets of the jobs, and where their pings go:
        # env:
        #   PING_BACKUP: ${{ secrets.PING_BACKUP }}
        run: |
          @TICK_COMMAND@
      # Also after a failure: what was run was run.
      - name: Save the cursor
        if: always()
        uses: @CACHE_SAVE@
        with:
          path: @STATE@
          key: cronq-state-${{ github.run_id }}-${{ github.run_attempt }}
      - name: Upload report and logs
        if: always()
        uses: @UPLOAD@
        with:
          name: cronq-${{ github.run_id }}-${{ github.run_attempt }}
          path: |
            report.xml
            logs/
          if-no-files-found: ignore
          retention-days: 14

  # Fails, and so sends a mail, if a job lacks a success that should be there by now: also if the ticks above
  # do not run at all. It cannot tell when GitHub disables the whole workflow; `ping` of a job can.
  overdue:
    if: github.event_name == 'workflow_dispatch' || github.event.schedule == '@SWITCH@'
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: @CHECKOUT@
        with:
          persist-credentials: false
      - uses: @SETUP_PYTHON@
        with:
          python-version: "3.13"
      - name: Install cronq
        run: python -m pip install --quiet '@REQUIREMENT@'
      - name: Restore the cursor
        uses: @CACHE_RESTORE@
        with:
          path: @STATE@
          # There is none of this name: the newest one is taken.
          key: cronq-state-none
          restore-keys: cronq-state-
      - name: Look for overdue jobs
        run: |
          @OVERDUE_COMMAND@
"""

_GITLAB = """\
# Written by `cronq ci init gitlab` of cronq @VERSION@. It is yours now: change what you like.
#
# GitLab keeps schedules outside of this file. Make two of them, in Build > Pipeline schedules:
#   @TICK@     for the ticks
#   @SWITCH@        for the dead man's switch, with the variable CRONQ set to overdue
# How often a tick runs says only how late a job may start: what fell due since the last one is caught up, by
# the policies of each job.

.cronq:
  image: python:3.13-slim
  before_script:
    - python -m pip install --quiet '@REQUIREMENT@'

cronq-tick:
  extends: .cronq
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule" && $CRONQ != "overdue"
  # One at a time; none is cancelled.
  resource_group: cronq
  interruptible: false
  # More than the budget of the tick, so that it ends by itself.
  timeout: 40 minutes
  script:
    - |
      @TICK_COMMAND@
  # The cursor. Saved also after a failure: what was run was run. Runners of several machines need a cache
  # that they share; without one, keep it in a branch.
  cache:
    key: cronq-state
    paths:
      - @STATE@
    when: always
  artifacts:
    when: always
    expire_in: 2 weeks
    paths:
      - report.xml
      - logs/
    reports:
      junit: report.xml

# Fails, and so sends a mail, if a job lacks a success that should be there by now: also if no tick runs.
cronq-overdue:
  extends: .cronq
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule" && $CRONQ == "overdue"
  timeout: 10 minutes
  script:
    - |
      @OVERDUE_COMMAND@
  cache:
    key: cronq-state
    paths:
      - @STATE@
    policy: pull
"""
_FORMS = {GITHUB: _GITHUB, GITLAB: _GITLAB}
_MINUTES = tuple(minute for minute in range(3, 28, 2) if minute % 5)
"""In the half hour: odd ones, off its ends, and none that people like to type."""


class Times(NamedTuple):
    """When the file's schedules are due, as cron expressions in UTC."""

    tick: str
    switch: str


def times_for(repository: str) -> Times:
    """Return when to run: always the same for a repository, and spread over many of them."""
    number = int.from_bytes(hashlib.sha256(repository.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    minute = _MINUTES[number % len(_MINUTES)]
    # Between two ticks, in the early morning: who is on duty finds it when the day begins.
    return Times(f"{minute},{minute + 30} * * * *", f"{minute + 13} {4 + number // 1000 % 3} * * *")


def text_of(service: str, *, file: str, repository: str) -> str:
    """Return the file of a service.

    Args:
        service: `github` or `gitlab`.
        file: Of the jobs, from the top of the repository.
        repository: Its path, or whatever names it.
    """
    times, quoted = times_for(repository), shlex.quote(file)
    values = {
        "VERSION": __version__,
        "REQUIREMENT": f"{DISTRIBUTION}[ping]=={__version__}",
        "STATE": STATE,
        "TICK": times.tick,
        "SWITCH": times.switch,
        "TICK_COMMAND": (
            f"cronq tick --file {quoted} --state {STATE} --budget 20m --junit report.xml --logs logs"
        ),
        # Schedules of hosted CI are hours late at times.
        "OVERDUE_COMMAND": f"cronq overdue --file {quoted} --state {STATE} --grace 6h",
        **ACTIONS,
    }
    text = _FORMS[service]
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
