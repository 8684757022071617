"""A page of samples: one HTML file that holds the pictures, their boxes, and all that is asked and answered."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lynx_cl.data.example import Example
from lynx_cl.data.sources import DataSource

if TYPE_CHECKING:
    from PIL import Image

WIDTH = 420  # pixels of a picture on the page, at most
_COLOURS = ("#d7192b", "#14853c", "#1b5fc1", "#b8860b", "#8e24aa", "#00838f")
_STYLE = """body{font:15px/1.4 sans-serif;margin:2em;color:#222}article{display:flex;gap:1.5em;margin:0 0 2em}
figure{position:relative;margin:0;flex:none}svg{position:absolute;inset:0;width:100%;height:100%}
dt{font-weight:bold}dd{margin:0 0 .6em;white-space:pre-wrap}small{color:#666}"""


def sample_page(source: DataSource, split: str, count: int, path: Path) -> int:
    """Writes the first `count` pictures of a split to an HTML file that needs no other; returns how many.

    Raises LynxError for a picture that cannot be read.
    """
    groups = [group for group in islice(iter(source.groups(split)), count) if group]
    title = escape(f"{source.name}, {split}")
    body = "\n".join(_article(group) for group in groups)
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>\n'
        f"<p>{escape(source.task)}; {escape(source.annotator)}; licence: {escape(source.licence)}</p>\n{body}\n",
        encoding="utf-8",
    )
    return len(groups)


def _article(group: Sequence[Example]) -> str:
    picture = group[0].picture()
    figure = _figure(picture, group) if picture is not None else ""
    words = "".join(
        f"<dt>{escape(step.question)}</dt><dd>{escape(step.answer)}</dd>" for one in group for step in one.steps
    )
    return f"<article>{figure}<dl>{words}<small>{escape(group[0].image_key)}</small></dl></article>"


def _figure(picture: Image.Image, group: Sequence[Example]) -> str:
    """A picture with the boxes of all that is asked about it."""
    picture.thumbnail((WIDTH, WIDTH))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    image = base64.b64encode(data.getvalue()).decode()
    targets = dict.fromkeys(target for example in group for target in example.targets)
    boxes = "".join(
        f'<rect x="{x0:.4f}" y="{y0:.4f}" width="{x1 - x0:.4f}" height="{y1 - y0:.4f}" fill="none" '
        f'stroke="{colour}" stroke-width="2" vector-effect="non-scaling-stroke"><title>{escape(label)}</title></rect>'
        for (label, (x0, y0, x1, y1)), colour in zip(
            ((target.label, target.box) for target in targets), _COLOURS * len(targets), strict=False
        )
    )
    return (
        f'<figure><img src="data:image/jpeg;base64,{image}" alt="">'
        f'<svg viewBox="0 0 1 1" preserveAspectRatio="none">{boxes}</svg></figure>'
    )
