"""The plugin's fixture, also where cronq is not installed but only lies on the path."""

from cronq.pytest_plugin import cronq

__all__ = ["cronq"]
