"""Keeping a portable state beside the ledger of a tick: written whenever the ledger says something new.

The text is what the next tick believes. So it is on the disk before a process starts that it tells of: its
draft is written inside the transaction that hands the claims out (a full disk then undoes the claims), and
put in its place right after the commit. In that same transaction the ledger notes the digest of the text, and
of the one before, so that a ledger that was left beside its text is known to belong to it.

Dies: anywhere, and the text is the old one or the new one. Between commit and renaming it is the old one: the
ledger is one step ahead, with claims of which nothing was started.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from cronq.errors import StateUnreadable, StoreFull
from cronq.portable.document import Document
from cronq.portable.text import read, seal_of, text_of
from cronq.store.sqlite_portable import PortableStore

FACT = "state"
FACT_BEFORE = "state before"
_DRAFT = ".draft-"
_MOST_BYTES = 256 * 1024 * 1024


def read_file(path: Path) -> str | None:
    """Return the text of a state, found whole; None if there is no such file.

    Raises:
        StateUnreadable: It cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateUnreadable(f"{path} cannot be read: {error.strerror}") from error
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError("too long")
        text = data.decode("utf-8")
    except ValueError as error:
        raise StateUnreadable(f"{path} is not a state of cronq", hint="name another file") from error
    with _named(path):
        seal_of(text)
    return text


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say in errors about a text which file it is."""
    try:
        yield
    except StateUnreadable as error:
        raise StateUnreadable(f"{path}: {error.message}", hint=error.hint) from error


def document_in(path: Path) -> Document | None:
    """Return the state in a file; None if there is no such file. Raises: StateUnreadable."""
    text = read_file(path)
    if text is None:
        return None
    with _named(path):
        return read(text)


def belongs(store: PortableStore, text: str) -> bool:
    """Return whether a ledger is that of a text, or at most one step ahead of it."""
    return seal_of(text) in {store.fact(FACT), store.fact(FACT_BEFORE)}


class Draft:
    """A text that is on the disk beside the file whose place it is to take, for this user alone."""

    def __init__(self, path: Path, text: str, what: str = "the state") -> None:
        """Write it; `what` is its name in errors.

        Raises:
            StoreFull: It cannot be written; the file is as it was.
        """
        self._path, self._what = path, what
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd, name = mkstemp(dir=path.parent, prefix=f".{path.name}{_DRAFT}")
            self._name = Path(name)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
        except OSError as error:
            raise self._unwritable(error) from error

    def put(self) -> None:
        """Let it take the place of the file, durably. Raises: StoreFull."""
        try:
            self._name.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def discard(self) -> None:
        """Remove it."""
        self._name.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> StoreFull:
        return StoreFull(f"{self._what} {self._path} cannot be written: {error.strerror}")


class Keeper:
    """Keeps one file."""

    def __init__(self, path: Path) -> None:
        """Keep the state at a path, which is resolved: the file behind a link is the state."""
        self.path = path.resolve()
        # Those of killed ticks: nobody else writes drafts of it while the lock is held.
        for stray in self.path.parent.glob(f".{glob.escape(self.path.name)}{_DRAFT}*"):
            stray.unlink(missing_ok=True)
        self._document: Document | None = None
        self._text = read_file(self.path)

    def draft(self, store: PortableStore, touched: Collection[str] | None) -> Draft | None:
        """Write a draft of what the ledger says now, inside its transaction.

        Args:
            store: The ledger.
            touched: The jobs of which it says something new; None: it may be any.

        Returns:
            What is to be put in its place once the transaction is durable; None: it says nothing new.
        """
        if touched is None or self._document is None:
            self._document = store.describe()
        else:
            self._document = store.described(sorted(touched), self._document)
        text = text_of(self._document)
        seal = seal_of(text)
        if store.fact(FACT) != seal:
            store.set_fact(FACT_BEFORE, "" if self._text is None else seal_of(self._text))
            store.set_fact(FACT, seal)
        if text == self._text:
            return None
        return _KeptDraft(self, text)

    def placed(self, text: str) -> None:
        """Remember that this text is in the file now."""
        self._text = text


class _KeptDraft(Draft):
    """A draft whose keeper knows of it only once it is in its place: what it tells of may be undone."""

    def __init__(self, keeper: Keeper, text: str) -> None:
        super().__init__(keeper.path, text)
        self._keeper, self._text = keeper, text

    def put(self) -> None:
        """Let it take the place of the file, durably."""
        super().put()
        self._keeper.placed(self._text)
