"""Living with a store that cannot be written: wait and try again, or know that waiting does not help."""

from __future__ import annotations

from collections.abc import Callable

from cronq.clock import Clock
from cronq.errors import StoreCorrupt, StoreError, StoreMissing, StoreTooNew
from cronq.store import Store

PAUSES_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Between tries; the last one repeats."""

Notice = Callable[[str, str], None]
"""Tells a person something: level and message."""


class Patience:
    """Does steps that need the store, and survives their failure.

    Attributes:
        retry_at: Monotonic time before which the store is left alone; None: it is not in trouble.
        is_lost: The store vanished, was replaced or is damaged; no try will ever help.
    """

    def __init__(self, store: Store, clock: Clock, notice: Notice) -> None:
        self.retry_at: float | None = None
        self.is_lost = False
        self._store = store
        self._clock = clock
        self._notice = notice
        self._failures = 0

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last step failed."""
        return self.is_lost or self._failures > 0

    def may_try(self) -> bool:
        """Return whether the store may be asked again."""
        return not self.is_lost and (self.retry_at is None or self._clock.monotonic() >= self.retry_at)

    def attempt(self, step: Callable[[], None]) -> bool:
        """Do a step, if it may be tried; return whether it was done."""
        if not self.may_try():
            return False
        try:
            self._store.verify()
            step()
        except (StoreMissing, StoreCorrupt, StoreTooNew) as error:
            self.is_lost = True
            self._notice("error", error.message)
            return False
        except StoreError as error:
            if not self._failures:
                self._notice("error", f"{error.message}; nothing is started until it can be written again")
            self.retry_at = self._clock.monotonic() + PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
            self._failures += 1
            return False
        if self._failures:
            self._notice("info", "the store can be written again")
        self._failures, self.retry_at = 0, None
        return True
