"""What the clients of a day were given and said: kept as small as a comparison allows."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

JsonObject = Mapping[str, Any]
TERMINAL = ("final_response", "error")


@frozen
class ReceivedEvent:
    """One durable event: its number, its kind, its message and run, and a digest of all of it."""

    seq: int
    kind: str
    message_id: str
    run_id: str
    digest: str


def received_event(event: JsonObject) -> ReceivedEvent:
    """Return an event of the canonical dialect, cut down. HTML is for those who asked for it, and so is left out."""
    data = {name: value for name, value in event["data"].items() if name != "html"}
    whole = json.dumps({**event, "data": data}, sort_keys=True).encode()
    digest = hashlib.blake2b(whole, digest_size=12).hexdigest()
    return ReceivedEvent(event["seq"], event["type"], event.get("message_id", ""), event.get("run_id", ""), digest)


@define(eq=False)
class ReceivedLog:
    """All that one client took, from its first event to its last, in the order in which it took it.

    `name` is the client's. `last` is the number of the last event of each thread. `open_runs` have begun and not
    ended, as far as this client knows. `faults` are what no client should ever be given. A tab that was opened afresh
    has begun another one; this one is no longer `current` then. `starts` are where it began in each thread, 0 but for
    a tab that had kept less than it was given.
    """

    name: str
    ledger: "Ledger"
    events: dict[str, list[ReceivedEvent]] = field(factory=dict)
    open_runs: dict[str, str] = field(factory=dict)
    faults: list[str] = field(factory=list)
    current: bool = True
    starts: dict[str, int] = field(factory=dict)
    texts: dict[str, str] = field(factory=dict)
    ended: set[str] = field(factory=set)

    def last(self, thread_id: str) -> int:
        """Return the number of the last event that was taken of a thread; 0 before the first."""
        events = self.events.get(thread_id)
        return events[-1].seq if events else self.starts.get(thread_id, 0)

    def take(self, event: JsonObject) -> None:
        """Keep a durable event. Nothing is judged here but what the judge cannot see later: running text."""
        kept, thread_id = received_event(event), event["thread_id"]
        self.events.setdefault(thread_id, []).append(kept)
        if kept.kind == "message_accepted":
            self.open_runs[kept.run_id] = thread_id
            self.ledger.accepted.add(kept.message_id)
        elif kept.kind in TERMINAL:
            self.ended.add(kept.run_id)
            self.open_runs.pop(kept.run_id, None)
            self._compare(kept.run_id, event["data"])

    def take_text(self, run_id: str, offset: int, text: str) -> bool:
        """Put a piece of running text in its place; False where a piece before it is missing."""
        if run_id in self.ended:
            self.faults.append(f"{self.name}: text of {run_id} came after its end")
            return True
        known = self.texts.get(run_id, "")
        if offset > len(known):
            return False
        self.texts[run_id] = known[:offset] + text
        return True

    def _compare(self, run_id: str, data: JsonObject) -> None:
        text = self.texts.pop(run_id, None)
        if text is None or data.get("status") != "success":
            return
        whole = data["message"]
        self.ledger.counts["texts that were whole" if text == whole else "texts that were cut short"] += 1
        if not whole.startswith(text):
            self.faults.append(f"{self.name}: the text of {run_id} is no part of its answer")


@frozen
class SentMessage:
    """A message as its user meant it."""

    message_id: str
    user: str
    thread_id: str
    content: str


@define(eq=False)
class Ledger:
    """Of all clients together: `said` by message id; `told` the run that a client was told of; what was `accepted`."""

    said: dict[str, SentMessage] = field(factory=dict)
    told: dict[str, set[str]] = field(factory=dict)
    accepted: set[str] = field(factory=set)
    received: list[tuple["ReceivedLog", str, tuple[str, ...]]] = field(factory=list)
    faults: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
