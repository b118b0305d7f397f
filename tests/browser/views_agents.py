"""Agents whose answers have everything that the page can show, for `views_story.py`."""

from understudy import Agent, AgentTurn, ToolContext, ToolError, tool

ANSWER = """\
# Sales of 2025

The **north** sold more than the south; see [the method](https://example.org/method) and the note[^1].

| Month | Region | Revenue |
| --- | --- | ---: |
| 2025-01-03 | north | 1,204.50 |
| 2025-02-17 | south | 987.00 |

- [x] Read the table
- [ ] Ask for March

## How it was counted

> Returns are not counted.

```python
def total(rows):
    # all rows of a region
    return sum(row.revenue for row in rows)
```

The mean is \\(\\bar{x} = \\frac{1}{n} \\sum_{i=1}^{n} x_i\\), and

$$
E = mc^2
$$

1. First
2. Second
   - nested

[^1]: Without taxes.
"""


BRIEF = """\
### In brief

It grew.

## Why

#### Returns

More came back.
"""
"""Its headings leave levels out."""


async def report(turn: AgentTurn) -> None:
    """Say everything, or a little."""
    await turn.think("I read the table first")
    await turn.call("count_rows", region="north")
    await turn.say(BRIEF if "brief" in turn.message else ANSWER)


@tool
async def count_rows(region: str) -> dict[str, int]:
    """Count the rows of a region."""
    return {"north": 12, "south": 9}


@tool
async def break_down() -> str:
    """Fail."""
    raise ToolError("tool_failed", "The shelf is empty.")


async def failing(turn: AgentTurn) -> None:
    """Call a tool that fails, then fail."""
    try:
        await turn.call("break_down")
    except ToolError:
        await turn.think("That did not work")
    raise RuntimeError("not to be seen")


@tool(approval=True)
async def pay(amount: int, to: str, context: ToolContext) -> str:
    """Pay an amount."""
    return f"{amount} € to {to}"


async def paying(turn: AgentTurn) -> None:
    """Pay once the user has agreed."""
    await turn.call("pay", amount=120, to="Bob")
    await turn.say("It is paid.")


agents = [
    Agent("report", title="Report", tools=[count_rows], run=report),
    Agent("broken", title="Broken", tools=[break_down], run=failing),
    Agent("payer", title="Payer", tools=[pay], run=paying),
]
