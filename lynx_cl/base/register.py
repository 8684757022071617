"""Looking at a new base once, so that its card can say what was found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from lynx_cl.base.card import BaseCard, find_base, read_card
from lynx_cl.base.load import load_base
from lynx_cl.base.settings import read_settings
from lynx_cl.base.taps import Tap, find_taps
from lynx_cl.errors import LynxError, UsageError

TEMPLATE = "lynx_chat_template.jinja"


def describe(folder: Path, *, template: Path | None = None, **given: Any) -> BaseCard:
    """The card of a base folder: what its card says already, under what is `given`, under what is found by loading it.

    `template` is copied beside the weights. Raises UsageError for what is no folder and for a wrong value, LynxError
    for a base that cannot be loaded or tapped.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; download the base first and give its folder")
    find_base(str(folder.absolute()))  # says what is missing in it
    known = read_card(folder).model_dump()
    values = {**known, **{key: value for key, value in given.items() if value}}
    if template is not None:
        try:
            shutil.copyfile(template.expanduser(), folder / TEMPLATE)
        except OSError as error:
            raise LynxError(f"{template}: cannot be copied into {folder} ({error.strerror})") from None
        values["chat_template"] = TEMPLATE
    card = read_settings(BaseCard, values, str(folder))
    base = load_base(str(folder.absolute()), card=card)
    taps = find_taps(base.model, 1, card.taps)
    family = base.model.config.model_type
    return card.model_copy(update={"family": family, "taps": pattern(taps), "name": card.name or folder.name})


def pattern(taps: list[Tap]) -> str | None:
    """The one module path with a `*` that names all these taps; None where they share none.

    >>> taps = [Tap(f"model.layers.{i}.mlp", i, 8, 16, False) for i in range(2)]
    >>> pattern(taps)
    'model.layers.*.mlp'
    """
    found = {re.sub(rf"\.{tap.layer}\.", ".*.", tap.name, count=1) for tap in taps}
    return found.pop() if len(found) == 1 else None
