"""What the typists write: what answers of models are made of.

This module imports nothing of ours, so that a peer's own environment can run it.
"""

from __future__ import annotations

from typing import Final

PIECE_S: Final = 0.02
"""Seconds between two pieces, as a quick model sends them."""

SECTION: Final = """## Section {n}

Revenue **rose by 12 percent** in the *second quarter*, mostly because of `subscriptions` in the [northern
region](https://example.org/regions/north). The effect was ~~small~~ notable, and *it **held** until* the end.

- First point about **growth** and what it means
- Second point with `code` and [a link](https://example.org/points/{n})
  - A nested point
- Third point

| Month | Revenue | Change |
|-------|--------:|:------:|
| 2025-01 | **1,200** | up |
| 2025-02 | 1,350 | `+150` |
| 2025-03 | 1,410 | *flat* |

```python
def total(rows: list[dict[str, float]]) -> float:
    \"\"\"Add up what section {n} lists.\"\"\"
    return sum(row["revenue"] ** 2 for row in rows)  # not `rows[0]`
```

1. Compare the numbers
2. Ask **why** they differ
3. Decide

> A quote that says _something_ about the **whole** of it.

"""
TYPOGRAPHY: Final = r"""### Math and notes

The area is \(\pi r^2\) and the sum $\sum_{i=1}^n i = \frac{n(n+1)}{2}$, as one knows[^1].

\[
e^{i\pi} + 1 = 0
\]

- [x] done with this
- [ ] not done with **that**

```mermaid
graph TD; A-->B;
```

[^1]: From a *book*.

"""
CODE: Final = "".join(
    f'def function_{n}(first: int, second: str = "text {n}") -> list[int]:\n'
    f'    """Return what number {n} is made of."""\n'
    f"    return [first * each for each in range({n})]  # and {n} more\n\n\n"
    for n in range(700)
)
TABLE: Final = "| # | Month | Revenue | Note |\n|--:|-------|--------:|------|\n" + "".join(
    f"| {n} | 2025-{n % 12 + 1:02} | **{n * 37:,}** | row `{n}` of *many* |\n" for n in range(1, 1_501)
)
LIST: Final = "".join(
    f"{n}. Point {n} about **growth** and what it means\n" + "     - with `code` below it\n" * (n % 5 == 0)
    for n in range(1, 1_000)
)
DOCUMENTS: Final = {
    "short": SECTION.format(n=1) + TYPOGRAPHY,
    "mixed": "".join((SECTION if n % 4 else SECTION + TYPOGRAPHY).replace("{n}", str(n)) for n in range(1, 200)),
    "table": f"Here is the table:\n\n{TABLE}\nThat was it.\n",
    "list": f"Here is the list:\n\n{LIST}\nThat was it.\n",
    "code": f"Here is the code:\n\n```python\n{CODE}```\n\nThat was it.\n",
}


def asked(message: str) -> tuple[str, float]:
    """Return the text and the characters a second of a message `NAME RATE [LENGTH]`."""
    name, rate, *length = message.split()
    return DOCUMENTS[name][: int(length[0]) if length else None], float(rate)
