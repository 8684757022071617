"""Data sources as a user names them: KIND, KIND:PLACE, or KIND:PLACE?OPTION=VALUE&OPTION=VALUE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lynx_cl.errors import UsageError

MAX_BROKEN = 0.01  # the usual share of records that may be broken


@dataclass(frozen=True)
class Spec:
    """A source's name taken apart. Paths among the options are told from `home`, the folder that the place lies in or
    is."""

    text: str
    kind: str
    place: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    home: Path = Path()

    def folder(self, option: str, usual: Path) -> Path:
        """The folder that an option names. Raises UsageError where there is none."""
        path = self.path(option)
        if path is not None and not path.is_dir():
            raise UsageError(f"data source '{self.text}': {option}: no folder {path}")
        return path or usual

    def file(self, option: str) -> Path | None:
        """The file that an option names, None where it is not given. Raises UsageError where there is none."""
        path = self.path(option)
        if path is not None and not path.is_file():
            raise UsageError(f"data source '{self.text}': {option}: no file {path}")
        return path

    def path(self, option: str) -> Path | None:
        """The path that an option names, None where it is not given."""
        value = self.options.get(option)
        return self.home / Path(value).expanduser() if value is not None else None

    def one_of(self, option: str, values: tuple[str, ...]) -> str | None:
        """The value of an option, None where it is not given. Raises UsageError for one that is not among `values`."""
        value = self.options.get(option)
        if value is not None and value not in values:
            raise UsageError(f"data source '{self.text}': {option} = '{value}': unknown; known: {', '.join(values)}")
        return value

    def max_broken(self) -> float:
        """The share of records that may be broken. Raises UsageError for what is no share."""
        value = self.options.get("max_broken")
        try:
            share = MAX_BROKEN if value is None else float(value)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise UsageError(f"data source '{self.text}': max_broken = '{value}': give a share from 0 to 1")
        return share


def parse_spec(text: str) -> Spec:
    """Takes a source's name apart, whatever it names. Raises UsageError for an option without a value.

    >>> parse_spec("llava:a/train.json?images=../pictures").options
    {'images': '../pictures'}
    """
    kind, _, rest = text.partition(":")
    place, mark, query = rest.partition("?")
    if mark and Path(rest).expanduser().exists():  # a path may hold a question mark
        place, query = rest, ""
    options = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise UsageError(f"data source '{text}': option '{item}': give it as NAME=VALUE")
        options[key] = value
    return Spec(text, kind, place, options)
