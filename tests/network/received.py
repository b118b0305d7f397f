"""The events that clients received and the messages they sent, reduced to what a comparison needs."""

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

JsonObject = Mapping[str, Any]
TERMINAL = ("final_response", "error")
MAX_PIECES = 60
"""Pieces of text of a run that are kept for the report of a fault: the last ones."""


@frozen
class ReceivedEvent:
    """One durable event: its number, type, message and run, and a digest of the whole."""

    seq: int
    kind: str
    message_id: str
    run_id: str
    digest: str


def received_event(event: JsonObject) -> ReceivedEvent:
    """Reduce an event of the canonical dialect."""
    whole = json.dumps(event, sort_keys=True).encode()
    digest = hashlib.blake2b(whole, digest_size=12).hexdigest()
    return ReceivedEvent(event["seq"], event["type"], event.get("message_id", ""), event.get("run_id", ""), digest)


@frozen
class TextMismatch:
    """A streamed text that is no beginning of the answer of its run. `pieces` are the last that came, as text."""

    client: str
    run_id: str
    text: str
    whole: str
    pieces: str

    def __str__(self) -> str:
        """Return the first difference of the two texts, and what was received."""
        same = next((n for n, (a, b) in enumerate(zip(self.text, self.whole, strict=False)) if a != b), len(self.whole))
        shown, answer = (f"{text[max(0, same - 40) : same]!r} then {text[same : same + 60]!r}" for text in self.texts)
        return (
            f"{self.client}: the text of {self.run_id} is no part of its answer: after {same} characters of"
            f" {len(self.text)}, shown {shown}, answer ({len(self.whole)}) {answer}; pieces: {self.pieces}"
        )

    @property
    def texts(self) -> tuple[str, str]:
        """Both texts."""
        return self.text, self.whole


@define(eq=False)
class ReceivedLog:
    """The events of one client, from first to last, in order of arrival.

    `name` is the client's. `last` is the number of the last event of each thread. `open_runs` have begun and not ended,
    as far as this client knows. `faults` are events that no client should ever receive. A tab that is reopened from the
    start begins a new log; this one is then no longer `current`. `starts` has the cursor it began from in each thread:
    0, except for a tab whose storage was behind the events it had received. `mismatches` are texts that were no part of
    their answers. `questions` are those that wait for their user, by id; `undoable` maps calls that can be undone to
    their runs.
    """

    name: str
    ledger: "Ledger"
    events: dict[str, list[ReceivedEvent]] = field(factory=dict)
    open_runs: dict[str, str] = field(factory=dict)
    faults: list[str] = field(factory=list)
    current: bool = True
    starts: dict[str, int] = field(factory=dict)
    texts: dict[str, str] = field(factory=dict)
    pieces: dict[str, deque[str]] = field(factory=dict)
    mismatches: list[TextMismatch] = field(factory=list)
    ended: set[str] = field(factory=set)
    questions: dict[str, JsonObject] = field(factory=dict)
    undoable: dict[str, str] = field(factory=dict)

    def last(self, thread_id: str) -> int:
        """Return the number of the last event received of a thread, 0 before the first."""
        events = self.events.get(thread_id)
        return events[-1].seq if events else self.starts.get(thread_id, 0)

    def take(self, event: JsonObject) -> None:
        """Record a durable event. Only streamed text is checked here; the checker compares the rest later."""
        kept, thread_id = received_event(event), event["thread_id"]
        self.events.setdefault(thread_id, []).append(kept)
        if kept.kind == "message_accepted":
            self.open_runs[kept.run_id] = thread_id
            self.ledger.accepted.add(kept.message_id)
        elif kept.kind in TERMINAL:
            self.ended.add(kept.run_id)
            self.open_runs.pop(kept.run_id, None)
            self._compare(kept.run_id, event["data"])
            for name, question in list(self.questions.items()):
                if question["run_id"] == kept.run_id:
                    del self.questions[name]
        elif kept.kind == "question_asked":
            self.questions[event["data"]["question_id"]] = event
        elif kept.kind == "question_answered":
            self.questions.pop(event["data"]["question_id"], None)
        elif kept.kind in ("tool_completed", "call_settled"):
            call_id = event["data"]["call_id"]
            for name, question in list(self.questions.items()):
                if question["data"].get("call_id") == call_id:
                    del self.questions[name]
            if event["data"].get("undo_until"):
                self.undoable[call_id] = kept.run_id
        elif kept.kind == "call_undone" and event["data"]["status"] == "ok":
            self.undoable.pop(event["data"]["call_id"], None)

    def take_text(self, run_id: str, offset: int, text: str) -> bool:
        """Place a piece of streamed text. Return False if an earlier piece is missing."""
        if run_id in self.ended:
            self.faults.append(f"{self.name}: text of {run_id} came after its end")
            return True
        text_so_far = self.texts.get(run_id, "")
        if offset > len(text_so_far):
            return False
        self.texts[run_id] = text_so_far[:offset] + text
        pieces = self.pieces.setdefault(run_id, deque(maxlen=MAX_PIECES))
        pieces.append(f"{time.time() % 1000:.2f}: {offset}+{len(text)}")
        return True

    def _compare(self, run_id: str, data: JsonObject) -> None:
        text, pieces = self.texts.pop(run_id, None), self.pieces.pop(run_id, ())
        if text is None or data.get("status") != "success":
            return
        whole = data["message"]
        self.ledger.counts["texts that were whole" if text == whole else "texts that were cut short"] += 1
        if not whole.startswith(text):
            ended = f"{time.time() % 1000:.2f}: end"
            self.mismatches.append(TextMismatch(self.name, run_id, text, whole, ", ".join((*pieces, ended))))


@frozen
class SentMessage:
    """A message as its user sent it."""

    message_id: str
    user: str
    thread_id: str
    content: str


@define(eq=False)
class Ledger:
    """Totals of all clients: `said` has messages by id, `told` the run each client was given, `accepted` the
    acceptances, `cancelled` the runs that somebody stopped.
    """

    said: dict[str, SentMessage] = field(factory=dict)
    told: dict[str, set[str]] = field(factory=dict)
    accepted: set[str] = field(factory=set)
    cancelled: set[str] = field(factory=set)
    received: list[tuple["ReceivedLog", str, tuple[str, ...]]] = field(factory=list)
    faults: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
