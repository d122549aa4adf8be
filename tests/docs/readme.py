"""The README as data: its blocks, by the language or the marker above them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    """Return the bodies of all fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def marked(marker: str) -> str:
    """Return the body of the block below `<!-- marker -->`."""
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, marker
    return found[1]


def commands(block: str) -> list[str]:
    """Return the lines of a block that are neither empty nor comments."""
    return [line for line in block.splitlines() if line and not line.startswith("#")]
