"""A folder of prompts to judge routers by: one text file an intent, and beside them prompts that are harder or foreign.

intents/NAME.txt   prompts of an intent, one a line; a line that begins with # is a comment
foreign/KIND.txt   prompts of no intent
close/NAME.txt     prompts of an intent that borrow the words of another
drift/NAME.txt     prompts of an intent as they come later, in other styles
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import UsageError

FEWEST = 12  # prompts of an intent
Prompts = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Intents:
    """Prompts by file name; what a folder has no part of is empty."""

    intents: Prompts
    foreign: Prompts
    close: Prompts
    drift: Prompts


def read_intents(folder: Path) -> Intents:
    """Reads such a folder.

    Raises UsageError where there are fewer than two intents, an intent has fewer than FEWEST prompts, a prompt is there
    twice, a part names an intent that is not there, or a file is no UTF-8 text.
    """
    parts = {name: _read_part(folder / name) for name in ("intents", "foreign", "close", "drift")}
    intents = parts["intents"]
    if len(intents) < 2:
        raise UsageError(f"{folder}: holds {len(intents)} files in intents/; give one .txt for each of two or more")
    for name, texts in intents.items():
        if len(texts) < FEWEST:
            raise UsageError(f"{folder}/intents/{name}.txt: {len(texts)} prompts; give {FEWEST} or more")
    for part in ("close", "drift"):
        for name in parts[part]:
            if name not in intents:
                raise UsageError(f"{folder}/{part}/{name}.txt: there is no intents/{name}.txt")
    seen: dict[str, str] = {}
    for part, files in parts.items():
        for name, texts in files.items():
            for text in texts:
                where = f"{part}/{name}.txt"
                if text in seen:
                    raise UsageError(f"{folder}: {text[:60]!r} is in {seen[text]} and in {where}; leave one")
                seen[text] = where
    return Intents(**parts)


def _read_part(folder: Path) -> Prompts:
    found = {}
    for path in sorted(folder.glob("*.txt")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise UsageError(f"{path}: it is not valid UTF-8 text; write it again in UTF-8") from None
        found[path.stem] = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    return found
