"""The front door: answers at once what machines ask on every key press, and leaves the rest to `cronq.cli`.

Worker processes import this module again, so it imports nothing but `sys` at its top.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> int:
    """Run the command line; return the exit code, or leave with it."""
    arguments = sys.argv[1:]
    if arguments == ["--version"] and sys.stdout is not None:
        return _version()
    if arguments[:1] == ["__complete"]:
        from cronq.cli._complete import complete

        return _leave(complete(arguments[1:]))
    return _command_line(arguments)


def _version() -> int:
    from cronq import __version__

    try:
        sys.stdout.write(f"cronq {__version__}\n")
        sys.stdout.flush()
    except OSError:
        return _leave(
            1
        )  # the reader left, or the disk is full: exiting as usual would try again, and complain
    return _leave(0)


def _command_line(arguments: list[str]) -> int:
    import gc

    # Nothing that is imported becomes garbage; looking for it costs a fifteenth of a short command.
    gc.disable()
    from cronq.cli.app import main as command_line

    code = command_line(arguments)
    # Only `cronq run` starts what has to be joined.
    return code if "multiprocessing" in sys.modules else _leave(code)


def _leave(code: int) -> "NoReturn":
    """Exit at once: taking all modules down again costs as much as a sixth of a short command.

    The database is closed and the streams are flushed by now.
    """
    import os

    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
