"""The events that are sent, ours as envelopes and the peers' as equal dictionaries: about 300 bytes each as JSON."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from understudy.wire.events import AgentThinking, Envelope

BURST = 100
MARK = "<end>"
"""Stands in the last event of a burst: clients count it without parsing."""
THOUGHT = "Counting rows."


def envelope(thread_id: str, seq: int, now: float, thought: str = THOUGHT) -> Envelope:
    """One durable event of a thread."""
    return Envelope(
        AgentThinking("guide", thought, now),
        now,
        seq=seq,
        thread_id=thread_id,
        run_id="run-1",
        message_id="message-1",
        agent_type="guide",
    )


_THOUGHTS = (*[THOUGHT] * (BURST - 1), THOUGHT + MARK)


def thought(seq: int) -> str:
    """The thought of event `seq`: each burst's last one has the mark."""
    return _THOUGHTS[(seq - 1) % BURST]


def burst(thread_id: str, after: int) -> list[Envelope]:
    """The next hundred events of a thread; `after` is a multiple of a hundred."""
    now = time.time()
    return [
        Envelope(
            AgentThinking("guide", text, now),
            now,
            seq,
            thread_id,
            "run-1",
            "message-1",
            conversation_id=None,
            agent_type="guide",
        )
        for seq, text in enumerate(_THOUGHTS, after + 1)
    ]


def dictionaries(thread_id: str, after: int) -> list[dict[str, Any]]:
    """The same as peers make them: what the frame of each event says."""
    now = time.time()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return [
        {
            "type": "agent_thinking",
            "seq": seq,
            "thread_id": thread_id,
            "run_id": "run-1",
            "message_id": "message-1",
            "agent_type": "guide",
            "pillar": None,
            "priority": "normal",
            "timestamp": stamp,
            "message": "",
            "data": {"agent_id": "guide", "thought": text, "timestamp": now},
        }
        for seq, text in enumerate(_THOUGHTS, after + 1)
    ]
