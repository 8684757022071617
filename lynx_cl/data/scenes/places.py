"""The nine parts of a picture: thirds across and thirds down, and the words for them."""

from __future__ import annotations

SIDE = 96  # pixels
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")


def place_of(center: tuple[float, float]) -> str:
    """Which of the nine parts holds a point (x, y) in pixels.

    >>> place_of((10, 10)), place_of((48, 95))
    ('top left', 'bottom center')
    """
    x, y = (min(2, int(value * 3 / SIDE)) for value in center)
    return f"{ROWS[y]} {COLUMNS[x]}"


def place_margin(center: tuple[float, float]) -> float:
    """Distance in pixels from a point (x, y) to the nearest border between two parts."""
    return min(abs(value - line) for value in center for line in (SIDE / 3, 2 * SIDE / 3))
