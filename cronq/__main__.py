"""The front door: answers at once what machines ask on every key press, and leaves the rest to `cronq.cli`.

Worker processes import this module again, so it imports nothing but `sys` at its top.
"""

import sys


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"] and sys.stdout is not None:
        from cronq import __version__

        sys.stdout.write(f"cronq {__version__}\n")
        return 0
    if arguments[:1] == ["__complete"]:
        from cronq.cli._complete import complete

        return complete(arguments[1:])
    from cronq.cli.app import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
