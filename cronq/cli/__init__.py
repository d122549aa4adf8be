"""The command line: one module a command, imported only when that command is called.

This module stays empty, because the front door and the shell completion import it on every key press.
"""
