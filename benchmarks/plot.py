"""Figures as a picture for the documentation: SVG, a bar for ours and for each peer, in the scale of their figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.figure import Figure, short

WIDTH, NAME, BAR, VALUE = 760, 230, 400, 120
ROW, GAP = 18, 14
OURS, PEERS = "#2563eb", "#94a3b8"


def plot(figures: Sequence[Figure]) -> str:
    """Return the picture of the figures that have peers; the others are numbers by themselves.

    The longest bar of a figure is the largest value, which is best for rates and worst for times and sizes.
    """
    parts: list[str] = []
    y = GAP
    for figure in (each for each in figures if each.peers):
        parts.append(_text(0, y + 13, f"{figure.figure}, {figure.unit}", "bold"))
        y += ROW
        values = {"understudy": figure.ours, **figure.peers}
        largest = max(values.values()) or 1.0
        for name, value in values.items():
            color = OURS if name == "understudy" else PEERS
            width = max(1.0, BAR * value / largest)
            parts.append(_text(10, y + 13, name))
            parts.append(f'<rect x="{NAME}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" fill="{color}"/>')
            parts.append(_text(NAME + width + 6, y + 13, short(value)))
            y += ROW
        y += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    style = 'font-family="system-ui, sans-serif" font-size="12" fill="#64748b"'
    return "\n".join([f"{head} {style}>", *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(text)}</text>'
