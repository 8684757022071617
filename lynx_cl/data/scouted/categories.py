"""The categories that are wanted, and the words for each: 'dog, WBC=white blood cell', or a file of such lines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from lynx_cl.data.pictures import plain_label
from lynx_cl.errors import UsageError

_BAD = re.compile(r"[:;\[\]{}\n\r]")  # what the box grammar, or a phrasing, cannot hold


def read_categories(text: str) -> dict[str, str]:
    """Words by label, of a list with commas or of the lines of a file; in a file '#' opens a comment.

    Raises UsageError for what names nothing, a label that is there twice, and words that no question could hold.

    >>> read_categories("dog, WBC=white blood cell")
    {'dog': 'dog', 'WBC': 'white blood cell'}
    """
    path = Path(text).expanduser()
    where, items = f"--categories {text}", text.split(",")
    if os.path.isfile(path):  # which takes a list that is too long for a file's name as no file
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from None
        where, items = str(path), [line.partition("#")[0] for line in lines]
    elif "/" in text:
        raise UsageError(f"--categories {text}: no such file")
    found: dict[str, str] = {}
    for item in filter(None, map(str.strip, items)):
        label, equals, words = (part.strip() for part in item.partition("="))
        words = " ".join(words.split()) if equals else plain_label(label)
        if not label or not words or _BAD.search(words):
            raise UsageError(f"{where}: '{item}': give a label, or LABEL=WORDS, without any of : ; [ ] {{ }}")
        if label in found:
            raise UsageError(f"{where}: '{label}' is there twice")
        found[label] = words
    if not found:
        raise UsageError(f"{where}: names no category; give a list with commas, or a file with one a line")
    return found


def words_for(label: str, categories: Mapping[str, str]) -> str | None:
    """What a label is called; None for one that is not wanted, or that no question could hold."""
    words = categories.get(label) if categories else plain_label(label)
    return None if not words or _BAD.search(words) else words
