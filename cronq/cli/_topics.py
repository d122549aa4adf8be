"""The texts of `cronq help TOPIC`."""

from __future__ import annotations

from cronq.errors import ExitCode

_EXIT_CODES = {
    ExitCode.OK: "done; also: nothing to list, and a clean stop",
    ExitCode.FAILED: "the answer is bad: the awaited run or a check failed, there is no fire time",
    ExitCode.USAGE: "usage: a wrong option, schedule, zone or duration; nothing was changed",
    ExitCode.NOT_FOUND: "no such job, run or calendar",
    ExitCode.CONFLICT: "conflict: a name is taken or in use, a scheduler runs already, the run is done",
    ExitCode.STORE: "the database, or a state: missing, busy, too new, damaged, full, or not yours",
    ExitCode.BUG: "a bug in cronq",
    ExitCode.BUDGET: "tick only: its budget was spent, and something due is left to the next tick",
    ExitCode.WAIT_TIMEOUT: "the time of --wait --timeout ran out",
    ExitCode.EXEC_FAILED: "exec only: cronq could not start the command",
    ExitCode.EXEC_CANNOT: "exec only: the command cannot be executed",
    ExitCode.EXEC_NOT_FOUND: "exec only: the command was not found",
    ExitCode.INTERRUPTED: "interrupted from the keyboard",
}

_TICK_CODES = """
What `cronq tick` returns, the first that holds:

    2  the options or the file of jobs are wrong; nothing was done
    3  --only or --tag names no job
    4  another tick, or a scheduler, is at work on the same state or database
    5  the state or the database cannot be used, or is missing with --on-missing fail
  130  INT or TERM: what ran was cancelled, and that is recorded
    1  a job failed, or what --fail-on names happened, or a report could not be written
   75  the budget was spent, and something due is left
    0  all went well, or nothing was due; runs that wait for a retry are no failure yet
"""

_SCHEDULES = """\
A schedule is one word for the shell: quote it.

  '0 2 * * *'              minute, hour, day of month, month, day of week
  '30 0 2 * * *'           six fields: seconds first
  '*/15 9-17 * * mon-fri'  steps, ranges, lists, names of months and days
  '0 9 L * *'              the last day of the month; 15W: the weekday nearest the
                           15th; 5#3: the third Friday; 5L: the last Friday
  'H 2 * * *'              H: a value of cronq's choice, the same for a job always
  @hourly @daily @weekly @monthly @yearly @midnight @annually
  @reboot                  once when the scheduler starts, once a boot
  'every 10m'              from midnight on in the job's zone; also
  'every 10m from 09:00 between 09:00-17:00 on mon-fri'
  'at 2026-12-24T18:00'    once; also 'at tomorrow 09:00', 'in 10m'
  '0 9 * * * ; 0 17 * * *' several, joined

When both day fields are set, either is enough, unless one begins with `*`: that
is the rule of crontab(5). Clock changes (--dst cron, the default): a fixed time
that the change leaps over runs at the first minute after it, and one that comes
twice runs once; schedules with `*` in the minute or hour, and `every`, follow the
clock. --dst skip and --dst both differ. What a schedule means: cronq next 'SCHEDULE'

Besides its schedule a job may have (add, set; `none` takes it away):

  --from 2026-02-01        no fire time before this day or instant
  --until 2026-12-31       no fire time after it; both are inclusive
  --calendar office:skip   on the dates of a calendar: skip, or run on the next or
                           previous business day; cronq calendars --help
  --calendar us-holidays:next
                           holidays of countries (de, fr), of parts of them (us-ny,
                           de-by) and of markets (nyse); needs cronq-cli[calendars]
  --blackout 'mon-fri 09:00-17:00:defer'
                           start nothing meanwhile: defer waits for the end, drop
                           skips; also '02:00-04:00:drop', '2026-12-24..2027-01-02:drop'
  --jitter 5m              start up to so much later, each job by its own delay;
                           random:5m: by another one each time
  --assert 'never on sat,sun'
                           what `cronq check` is to hold; also 'runs 365 times in 2027',
                           'never between 02:00 and 04:00', 'only on mon-fri',
                           'never more than once a day', 'at least every 26h'

Calendars and bounds decide about fire times; blackouts and jitter only about when a
run starts.
"""

_ENVIRONMENT = """\
Variables that cronq reads:

  CRONQ_DB                 the database, as --db
  CRONQ_LOG_DIR            the folder for logs that hosts share, as --log-dir
  CRONQ_ASCII              use ASCII characters only, as --ascii
  CRONQ_NO_PROGRESS        no moving display in `cronq run`
  CRONQ_DEBUG              print tracebacks of bugs
  CRONQ_DB_ALLOW_NETWORK   accept a database on a network file system
  NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM, COLUMNS, CI
  http_proxy, https_proxy, no_proxy   for pings of jobs with --ping
  XDG_DATA_HOME, XDG_STATE_HOME, XDG_CONFIG_HOME, STATE_DIRECTORY

Which database: --db, else CRONQ_DB, else the nearest .cronq folder from the working
directory upwards, else $STATE_DIRECTORY/cronq.db (systemd), else
$XDG_DATA_HOME/cronq/cronq.db. `cronq status` says which, and why.

Variables that a job's command gets, besides PATH as recorded, --env, and HOME, USER,
LOGNAME, SHELL, LANG and LC_* of the scheduler (the first four of --user, if given):

  CRONQ_JOB                the job's name
  CRONQ_RUN_ID             the run's number
  CRONQ_ATTEMPT            1, and one more for each retry
  CRONQ_FIRE_TIME          what the run is about, in UTC; a retry keeps it
  CRONQ_FIRE_TIME_LOCAL    the same in the job's zone
  CRONQ_LAG                seconds from then to the start
  CRONQ_LAST_SUCCESS       what the last successful run was about; empty if none
  CRONQ_TRIGGER            schedule, catch_up, manual, backfill, chain or startup

Variables named by --secret are masked in the job's output, as ***: values of --env, of
--env-file, or of the scheduler's environment, from four characters on.
"""

_JSON = """\
With --json the answer is one object with "schema": 1. Within schema 1, keys are only
added. Instants are RFC 3339 in UTC (2026-01-02T08:00:00Z); durations are seconds, in
keys that end in _s; what does not apply is null, never absent.

  list      jobs[]: name schedule tz next_fire_at paused_at revision created_at
            changed_at queued running running_since last{a run} recent[]{id outcome
            duration_s}
  show      job: as list, with sentence warnings[] definition{command{kind words[]
            args} env{} valid_from valid_until calendars[] blackouts[] jitter
            assertions[] …} runs[]
  add, set  job: as list, with sentence definition{}; set also: changed
  pause, resume    jobs[]: as list, with changed
  remove    removed[], or with --dry-run would_remove[]: names
  runs      runs[]: id job trigger state outcome reason fire_at last_fire_at
            fire_count logical_at queued_at available_at started_at finished_at lag_s
            duration_s attempt failures exit_code signal priority revision stop_reason
            worker output_bytes
  trigger, retry, cancel   runs[]: as runs; with --wait, as they ended
  next      fire_times[]: at local tz schedule job starts_at note; with --count or
            --calendar counts[]: unit first starts_at ends_at tz schedule job count
            clock_change; schedules[]: schedule job tz sentence warnings[]
  check     jobs[]: name ok findings[]{level message hint assertion at[]}; errors
            warnings
  why       job tz removed_at asked_at fire_at before after verdict run{} attempts[]
            absent[] reasons[] ahead[]; a reason: code text at[]
  audit     proven differences fire_times jobs[]: name removed_at fire_times accounted{}
            differences[] more wrong[]{run text} unproven[]; a difference: kind first
            last count expected run revision
  overdue   overdue jobs[]: name overdue standing last_success_at last_success_about
            fire_at due_by trouble
  calendars calendars[]: name source is_defined problem jobs[]{name rule} dates_ahead
            next{date label}; show: calendar, with text dates[]{date label};
            add: calendar changed moved[]{name before next_fire_at}; remove: removed[]
  logs      run job attempt lines[]; with -f, one object a line: run job attempt line
  apply, import   applied kept jobs[]: name action changes[]{field old new} paused
            takes_over appear[] vanish[] move[]; locks[]{name old new} calendars[];
            import also: source, file and line of a job, differences[]{file line job
            about message hint}
  run       events, one object a line; with --file first file_applied: file added[]
            changed[] removed[] kept
  run --dry-run   decisions[]: at job decision
  tick      one object a line: the events of run, and at the end event=tick at
            fire_times outcomes{} waiting budget_spent duration_s exit_code; with
            --dry-run decisions[]: at job decision
  state     runs jobs[]: name definition firing{} cursor paused_at done[]{fire_time run
            outcome} open[]{fire_time run state}; merge: jobs conflicts[]{job fire_time
            conflict}; import: moved[] kept[]
  status    scheduler{running pid host since} database{path rule exists logs}
            totals{jobs paused queued running oldest_queued_at}
            history{limited_jobs} tzdata
  prune     jobs[]: name runs bytes; runs bytes dry_run
  init      database created
  ci init   file service replaced
  backup    backup{path bytes jobs runs copied_at}
  restore   restored{path jobs runs copied_at replaced skipped}

  state     queued running done
  level     error warning note
  standing  ok overdue waiting paused unknown
  outcome   success failure timeout cancelled abandoned skipped missed
  trigger   schedule catch_up manual backfill chain startup
"""

_SYSTEMD = """\
# ~/.config/systemd/user/cronq.service, then:
#   systemctl --user enable --now cronq && loginctl enable-linger
[Unit]
Description=cronq scheduler
Documentation=man:systemd.service(5)

[Service]
Type=notify
ExecStart=%h/.local/bin/cronq run
# TERM lets running jobs finish; what is left after TimeoutStopSec is killed.
KillMode=mixed
TimeoutStopSec=90
# What a job leaves running is found by its control group, even after a crash.
Delegate=yes
Restart=on-failure
# 2: the request is wrong, 4: another scheduler runs; trying again helps neither.
RestartPreventExitStatus=2 4
WatchdogSec=60

[Install]
WantedBy=default.target
"""

_POSTGRES = """\
One ledger for several machines: --db, or CRONQ_DB, names a PostgreSQL server.

  postgresql://user@host:5432/name   as psql reads it; the password belongs into
                                     ~/.pgpass, PGPASSWORD or a PGSERVICE
  …?schema=NAME                      the schema of cronq's tables (cronq)
  …?listen=no                        behind PgBouncer in transaction mode: nodes
                                     look every 5 s instead of being told
  postgresql+embedded                a private server on this machine, started if
                                     need be: pip install 'cronq-cli[postgres-embedded]'

  cronq db migrate                   make the schema, or bring it up to date
  cronq db move URL                  take all jobs and their history there, or back
  cronq run                          a scheduler that executes, too; any number, on
                                     any hosts
  cronq worker --queue gpu           executes only, here the runs of one queue;
                                     a job names its queue with --queue
  cronq status                       hosts, nodes, slots, queues, leases

A node has a lease of 30 s, renewed every 10 s. If it cannot be renewed, the node
kills what it runs 2 s before it ends; then others end those runs as abandoned,
and the job's --on-crash and --retries decide. What a node keeps on its host is in
$XDG_STATE_HOME/cronq/postgres (~/.local/state), a folder for each.
"""


def topic_text(topic: str) -> str:
    """Return the text of a topic."""
    if topic == "exit-codes":
        return "".join(f"  {int(code):>3}  {_EXIT_CODES[code]}\n" for code in ExitCode) + _TICK_CODES
    return {
        "schedules": _SCHEDULES,
        "environment": _ENVIRONMENT,
        "json": _JSON,
        "systemd": _SYSTEMD,
        "postgres": _POSTGRES,
    }[topic]
