"""Procrastinate by itself, with the same commands: `defer URL COUNT STAMP FILE`, or `work URL SLOTS`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from procrastinate import App, PsycopgConnector


def app_for(url: str) -> App:
    """Return an app with the one task."""
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="command")
    async def command(words: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(*words)
        await process.wait()

    return app


async def main(action: str, url: str, *rest: str) -> None:
    """Do what is asked."""
    app = app_for(url)
    async with app.open_async():
        if action == "schema":
            await app.schema_manager.apply_schema_async()
        elif action == "defer":
            count, stamp, file = int(rest[0]), rest[1], rest[2]
            commands: list[dict[str, Any]] = [
                {"words": [stamp, file, str(number)]} for number in range(count)
            ]
            await app.configure_task("command").batch_defer_async(*commands)
        else:
            await app.run_worker_async(concurrency=int(rest[0]), install_signal_handlers=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
