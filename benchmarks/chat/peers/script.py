"""What every server answers: the same pieces at the same pace, or a tool and its result. No libraries."""

from __future__ import annotations

TEXT = "Tell me how tides come about, please."
"""Asks for a streamed answer."""
TOOL = "What is 15 percent of 80?"
"""Asks for one call of the tool."""
FAST = "Tell me everything about the tides, please."
"""Asks for a long answer of a model that writes a thousand tokens a second."""
PIECE_S = 0.05
"""Seconds between two pieces: 20 a second, as fast as common models write."""
SAID = """\
The moon pulls at the near side of the earth more than at its middle, and at the middle more than at the far side. So \
the water makes two bulges."""
PIECES = tuple(f"{word} " for word in SAID.split())
"""The streamed answer: some thirty words, each a piece of its own."""
FAST_PIECES = PIECES * 64
"""Some 2,000 tokens, each a piece of its own."""
FAST_PIECE_S = 0.001
"""Seconds between two pieces of the fast model: what is late comes at once, as over a network."""
ANSWER = "15 percent of 80 are 12."


def percentage(share: float, whole: float) -> float:
    """The tool."""
    return share * whole / 100
