"""A project with a `cronq.toml`, and a CI that ticks in it: real processes, and any time one likes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0
WITNESS = """\
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(fd, f"{os.environ['CRONQ_JOB']} {os.environ['CRONQ_FIRE_TIME']}\\n".encode())
"""


@dataclass
class Ticked:
    """What one tick, or another command, did."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def summary(self) -> dict[str, Any]:
        """Return the last line of `--json`."""
        (found,) = [event for event in self.events if event["event"] == "tick"]
        return found


@dataclass
class Project:
    """A folder with a file of jobs; commands run in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "witness.py").write_text(WITNESS)

    @property
    def witnessed(self) -> list[str]:
        """Return `JOB FIRE_TIME …` of each process that was there, in the order in which they were."""
        path = self.folder / "witnessed"
        return path.read_text().splitlines() if path.exists() else []

    def jobs(self, text: str) -> None:
        """Write the file of jobs; `@witness` is a command that testifies."""
        command = f'command = ["{sys.executable}", "-S", "-E", "witness.py", "witnessed"]'
        (self.folder / "cronq.toml").write_text(text.replace("@witness", command))

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        return {**kept, "HOME": str(self.folder), "TZ": "UTC", **self.variables, **more}

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command; who calls this also ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "cronq", *arguments],
            cwd=self.folder,
            env=self.environ(**environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environ: str) -> Ticked:
        """Run a command to its end."""
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in err, err
        assert process.returncode != 70, err
        return Ticked(process.returncode, out, err)

    def tick(self, now: str, *options: str, code: int = 0, **environ: str) -> Ticked:
        """Run one tick with `--json`, and look at its exit code."""
        done = self.run("tick", "--json", "--now", now, *options, **environ)
        assert done.code == code, (done.code, done.out, done.err)
        return done

    def rows(self, *options: str) -> list[dict[str, Any]]:
        """Return the runs in the ledger, oldest first."""
        done = self.run("runs", "--json", "-n", "100000", *options)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)["runs"]
        return sorted(found, key=lambda run: run["id"])
