"""An agent for `artefacts_story.py`, whose tool makes files of every kind."""

import struct
import sys
import zlib
from pathlib import Path

from understudy import Agent, AgentTurn, ToolContext, mcp, tool


def png(width: int, height: int) -> bytes:
    """Return a picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x2a\x78\x9c" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='120' height='60'><rect width='120' height='60' fill='teal'/>"
    "<script>top.document.title = 'broken'</script></svg>"
)
HTML = "<h1 onclick='x()'>Hello</h1><script>document.title = 'broken'</script>\n"
CODE = "def double(n: int) -> int:\n    return 2 * n\n"


@tool
async def make_files(context: ToolContext) -> str:
    """Make a table, a page, two pictures, a program, and bytes."""
    rows = "".join(f"2025-{n % 12 + 1:02d},{n * 7 % 90},shop {n}\n" for n in range(80))
    for name, media_type, content in (
        ("sales.csv", "text/csv", f"month,sales,shop\n{rows}".encode()),
        ("page.html", "text/html", HTML.encode()),
        ("plot.png", "image/png", png(320, 160)),
        ("plot.svg", "image/svg+xml", SVG.encode()),
        ("double.py", "text/x-python", CODE.encode()),
        ("data.bin", "application/octet-stream", bytes(range(256))),
    ):
        await context.files.save(name, media_type, content)
    return "Six files."


MONTHS = [{"x": f"2025-{month:02d}-01T00:00:00Z", "y": month * 37 % 90 + month} for month in range(1, 13)]
LINE = {
    "mark": {"type": "line", "point": True},
    "data": {"values": MONTHS},
    "encoding": {
        "x": {"field": "x", "type": "temporal", "timeUnit": "utcyearmonth", "title": "month"},
        "y": {"field": "y", "type": "quantitative", "title": "sales"},
    },
}
PICTURE = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='640' height='300'>"
    "<text x='20' y='40' font-size='11'>Old</text><script>top.document.title = 'broken'</script></svg>"
)


TABLE = """| column | type | nulls | distinct | min | max | mean | note |
| --- | --- | ---: | ---: | --- | --- | ---: | --- |
| date | DATE | 0 | 24 | 2025-01-03 | 2025-12-17 | | the day on which each of these was sold |
| sales | BIGINT | 0 | 9 | 9 | 135 | 1,075.5 | |
| shop | VARCHAR | 3 | 108 | a | z | 40 | |
"""


async def make(turn: AgentTurn) -> None:
    """Make files, or a chart that the page draws, one of which it has a picture, or one that cannot be drawn."""
    match turn.message:
        case "Draw a line":
            await turn.visualize({"title": "Sales by month", "spec": LINE})
            await turn.say("Here is a line.")
        case "Show an old chart":
            await turn.visualize({"title": "An old chart", "spec": LINE, "svg": PICTURE})
            await turn.say("Here is an old one.")
        case "Draw the impossible":
            await turn.visualize({"title": "Impossible", "spec": LINE | {"mark": "none"}})
            await turn.say("Here is none.")
        case "Say a table":
            await turn.say(TABLE)
        case _:
            await turn.call("make_files")
            await turn.say("Here are six files.")


async def roll(turn: AgentTurn) -> None:
    """Call the tool that has a user interface."""
    await turn.call("dice_roll")
    await turn.say("Rolled.")


WIDGET_SERVER = Path(__file__).resolve().parents[1] / "servers" / "mcp_widget.py"

DIAGRAMS = """In Elixir:

```elixir
defmodule Pot do
  def count(n), do: n + 1
end
```

A flow:

```mermaid
flowchart LR
  Plan --> Build --> Test
  Test -- red --> Build
```

One that is none:

```mermaid
flowchart LR
  Plan -->
```

And one that would harm:

```mermaid
flowchart LR
  A["<img src=x onerror='top.document.title=1'><script>top.document.title = 'broken'</script>Harmless"] --> B
  click B href "javascript:top.document.title='broken'"
```
"""


async def draw(turn: AgentTurn) -> None:
    """Answer with diagrams."""
    await turn.say(DIAGRAMS)


agents = [Agent("maker", run=make, tools=[make_files]), Agent("drawer", run=draw)]
dice = Agent("dice", run=roll, tools=[mcp([sys.executable, str(WIDGET_SERVER)], name="dice")])
