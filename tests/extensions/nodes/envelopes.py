"""Events that nodes send each other."""

from typing import Any

from understudy.wire.events import AgentThinking, Envelope


def passing(event: Any) -> Envelope:
    return Envelope(event, 2.5, None, "t", "r", "m", conversation_id="c", agent_type="guide", message="")


def thought(seq: int) -> Envelope:
    return Envelope(
        AgentThinking("a", f"{seq}", 0.0),
        1.5,
        seq,
        "t",
        "r",
        "m",
        conversation_id="c",
        agent_type="script",
        pillar=None,
        message="thinks",
    )
