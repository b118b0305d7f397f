"""The golden files of AG-UI: what a client is told of each arc.

`python -m tests.extensions.agui.golden` says which files differ; only `--write` changes them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.rigs.event_arcs import ARCS, RUN, WHEN
from transport.wire.events import Drain, Event
from understudy.extensions.agui.events import AguiTranslator
from understudy.extensions.agui.state import SharedState
from understudy.extensions.agui.usage import UsageByModel
from understudy.extensions.agui.vocabulary import AguiEvent
from understudy.wire.events import Envelope

FOLDER = Path(__file__).parent / "golden"
MODELS = {"guide": "openai:gpt-6", "insights": "anthropic:claude-6"}


def translated(arc: Sequence[Event]) -> list[AguiEvent]:
    """Return the AG-UI events of an arc; for one without an end, those of a closed stream."""
    translator = AguiTranslator("thread", "run", "m", state=SharedState({"mine": 1}), usage=UsageByModel(MODELS))
    events: list[AguiEvent] = []
    for seq, event in enumerate(arc, 1):
        around = RUN.replace(event=event, seq=seq if event.durable else None)
        if isinstance(event, Drain):
            around = Envelope(event, WHEN, message="The server is going away; come back in 5 s.")
        events += translator.translate(around)
    return events + translator.closing_events("internal")


def golden_text(name: str) -> str:
    return json.dumps(translated(ARCS[name]), indent=2, ensure_ascii=False) + "\n"


def golden_path(name: str) -> Path:
    return FOLDER / f"{name.replace(' ', '_')}.json"


def main(arguments: list[str]) -> int:
    """Compare, or with `--write` rewrite; 1 when something differs and was not written."""
    differing = [
        name
        for name in ARCS
        if not golden_path(name).exists() or golden_path(name).read_text("utf-8") != golden_text(name)
    ]
    for name in differing:
        print(("written: " if "--write" in arguments else "differs: ") + golden_path(name).name)
        if "--write" in arguments:
            golden_path(name).write_text(golden_text(name), "utf-8")
    return 1 if differing and "--write" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
