"""The golden files of AG-UI: arcs of events, and what a client is told of each.

`python -m tests.transport.agui_golden` says which files differ; only `--write` changes them.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from transport.agui.events import AguiTranslator
from transport.agui.state import SharedState
from transport.agui.usage import UsageByModel
from transport.agui.vocabulary import AguiEvent
from transport.wire.events import (
    AgentCompleted,
    AgentError,
    AgentHandoff,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Alert,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Drain,
    Envelope,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    RunStatus,
    SanitizationSummary,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

FOLDER = Path(__file__).parent / "golden_agui"
WHEN = 1795154400.123
RUN = Envelope(Alert(""), WHEN, 1, "t", "our-run", "m", "guide_s", "guide", None)

ACCEPTED = MessageAccepted("m", "our-run", "Count them")
STARTED = AgentStarted("guide-1", "Guide is on it", WHEN)
CALL = ToolExecuting("guide-1", "c", "query_table", {"sql": "SELECT 1"}, "Counts", WHEN)
DONE = AgentCompleted("guide-1", "12", RunStatus.SUCCESS, Usage(9, 4, 2), WHEN)


def completed(status: ToolStatus, result: object = None, summary: str = "One row") -> ToolCompleted:
    return ToolCompleted("guide-1", "c", "query_table", result, summary, status, 4.5, WHEN)


MODELS = {"guide": "openai:gpt-6", "insights": "anthropic:claude-6"}
ARCS: Mapping[str, Sequence[Event]] = {
    "answered": [
        ACCEPTED,
        STARTED,
        SanitizationSummary("inbound", {"secrets": 1}, [{"kind": "aws_key", "start": 0, "end": 4}], 1),
        AgentThinking("guide-1", "It has to be counted.", WHEN),
        CALL,
        AgentProgress(1.0, "step 1", total=2.0),
        completed(ToolStatus.OK, {"rows": [[12]]}),
        PartialResult("There ", 0),
        PartialResult("There are ", 0),
        PartialResult("are **12**", 6),
        DONE,
        FinalResponse("There are **12** rows.", RunStatus.SUCCESS, Usage(9, 4, 2), {"results": []}, {"title": "Rows"}),
    ],
    "denied": [
        ACCEPTED,
        STARTED,
        CALL,
        ApprovalRequired("guide-1", "c", "query_table", {"sql": "SELECT 1"}, WHEN + 300),
        ApprovalDecided("c", ApprovalDecision.DENY, "No."),
        completed(ToolStatus.DENIED, {"error": {"code": "forbidden", "message": "No."}}, "Denied"),
        DONE,
        FinalResponse("I was not allowed to.", RunStatus.SUCCESS, Usage(9, 4, 2)),
    ],
    "handed over": [
        ACCEPTED,
        STARTED,
        AgentHandoff("guide", "insights", "It is about data."),
        DONE,
        AgentStarted("insights-1", "Insights is on it", WHEN),
        AgentCompleted("insights-1", "12", RunStatus.SUCCESS, Usage(), WHEN),
        FinalResponse("12", RunStatus.SUCCESS, Usage()),
    ],
    "failed": [
        ACCEPTED,
        STARTED,
        PartialResult("There", 0),
        CALL,
        completed(ToolStatus.TIMED_OUT, None, "Took too long."),
        AgentError("guide-1", "model_unavailable", "The language model cannot be reached.", True, "e-1"),
        AgentCompleted("guide-1", "There", RunStatus.FAILED, Usage(), WHEN),
        Error("model_unavailable", "The language model cannot be reached.", True, "e-2", 2.5),
    ],
    "cancelled": [
        ACCEPTED,
        STARTED,
        PartialResult("There", 0),
        AgentCompleted("guide-1", "", RunStatus.CANCELLED, Usage(), WHEN),
        FinalResponse("There", RunStatus.CANCELLED, Usage()),
    ],
    "asked another agent": [
        ACCEPTED,
        STARTED,
        CALL,
        SubagentStarted("insights-1", "c", "insights", "Insights is on it", WHEN),
        AgentThinking("insights-1", "It has to be counted.", WHEN),
        ToolExecuting("insights-1", "d", "query_table", {"sql": "SELECT 1"}, "Counts", WHEN),
        ApprovalRequired("insights-1", "d", "query_table", {"sql": "SELECT 1"}, WHEN + 300),
        ApprovalDecided("d", ApprovalDecision.ALLOW),
        ToolCompleted("insights-1", "d", "query_table", 12, "12", ToolStatus.OK, 4.5, WHEN),
        SubagentCompleted("insights-1", "c", RunStatus.SUCCESS, Usage(5, 2, 1), WHEN),
        completed(ToolStatus.OK, "12"),
        DONE,
        FinalResponse("12", RunStatus.SUCCESS, Usage(9, 4, 2)),
    ],
    "drained": [ACCEPTED, STARTED, PartialResult("There", 0), CALL, Drain(5.0)],
}


def translated(arc: Sequence[Event]) -> list[AguiEvent]:
    """Return the AG-UI events of an arc; for one without an end, those of a closed stream."""
    translator = AguiTranslator("thread", "run", "m", state=SharedState({"mine": 1}), usage=UsageByModel(MODELS))
    told: list[AguiEvent] = []
    for seq, event in enumerate(arc, 1):
        around = RUN.replace(event=event, seq=seq if event.durable else None)
        if isinstance(event, Drain):
            around = Envelope(event, WHEN, message="The server is going away; come back in 5 s.")
        told += translator.translate(around)
    return told + translator.closing_events("internal")


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
