"""The front door: answers at once what machines ask on every key press, and leaves the rest to `cronq.cli`.

Worker processes import this module again, so it imports nothing but `sys` at its top.
"""

import sys


def main() -> int:
    """Run the command line; return the exit code, or leave with it."""
    arguments = sys.argv[1:]
    if arguments == ["--version"] and sys.stdout is not None:
        return _version()
    if arguments[:1] == ["__complete"]:
        from cronq.cli._complete import complete

        return complete(arguments[1:])
    return _command_line(arguments)


def _version() -> int:
    from cronq import __version__

    try:
        sys.stdout.write(f"cronq {__version__}\n")
        sys.stdout.flush()
    except OSError:
        import os

        os._exit(1)  # the reader left, or the disk is full: exiting as usual would try again, and complain
    return 0


def _command_line(arguments: list[str]) -> int:
    import gc

    # Nothing that is imported becomes garbage; looking for it costs a fifteenth of a short command.
    gc.disable()
    from cronq.cli.app import main as command_line

    code = command_line(arguments)
    if "multiprocessing" not in sys.modules:
        # Taking all modules down again would cost as much as a sixth. The database is closed and the
        # streams are flushed by now, and only `cronq run` starts what has to be joined.
        import os

        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
