"""What may happen next in a run, as one literal table, from which that of the documentation is made.

1. A run is accepted once, and ends in exactly one `final_response` or `error`; nothing comes after it.
2. An agent starts before any other work; every agent that started completes, and starts once. An agent that fails has
   one `agent_error` before its completion.
3. Every tool call that began is completed, under the same `call_id`; a subagent that it asked completes first. A call
   that asked for consent succeeds only if its user allowed it, and is `denied` only if the user did not. A question is
   asked once and answered at most once; one that a call asked is over with the call.
4. A steer is accepted before it is taken or withdrawn; it is never both.
5. At most one operator has taken over a run, also before an agent starts; another one can after it was handed back.
"""

from collections.abc import Mapping
from typing import Final


class RunProtocolError(ValueError):
    """An event breaks the protocol of its run: it came twice, too early, or after the end."""


NEW: Final = ""
"""The state of a run, an agent, a call, a question, a steer or an operator of which the log has nothing."""
ENDED: Final = "ended"
"""The last state of a run, an agent and a call."""

TRANSITIONS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    # A run moves by what an event is about: an agent, a call, a question, a steer, an operator, the run itself, the
    # event of a later release, or else a note. It is done when no agent and no call is open.
    "run": {
        NEW: {"message_accepted": "queued"},
        "queued": {"agent": "working", "steer": "queued", "operator": "queued", "later_release": "queued"},
        "working": {
            "agent": "working", "call": "working", "question": "working", "steer": "working", "operator": "working",
            "note": "working", "later_release": "working", "all_ended": "done",
        },
        "done": {
            "agent": "working", "call": "working", "question": "done", "steer": "done", "operator": "done",
            "note": "done", "later_release": "done", "final_response": ENDED, "error": ENDED,
        },
    },
    # An agent by its `agent_id`; one that a call asks is a subagent.
    "agent": {
        NEW: {"agent_started": "working", "subagent_started": "asked"},
        "working": {"agent_error": "failed", "agent_completed": ENDED},
        "failed": {"agent_completed": ENDED},
        "asked": {"subagent_completed": ENDED},
    },
    # A call by its `call_id`. Its user's decision bounds the statuses with which it may end.
    "call": {
        NEW: {"tool_executing": "begun"},
        "begun": {
            "approval_required": "asks", "subagent_started": "delegated", "question_asked": "begun",
            "tool_completed ok": ENDED, "tool_completed failed": ENDED, "tool_completed timed_out": ENDED,
            "tool_completed cancelled": ENDED, "tool_completed killed": ENDED,
        },
        "asks": {
            "approval_decided allow": "allowed", "approval_decided deny": "refused",
            "approval_decided expired": "refused", "question_asked": "asks", "tool_completed failed": ENDED,
            "tool_completed timed_out": ENDED, "tool_completed cancelled": ENDED, "tool_completed killed": ENDED,
        },
        "allowed": {
            "subagent_started": "delegated", "question_asked": "allowed", "tool_completed ok": ENDED,
            "tool_completed failed": ENDED, "tool_completed timed_out": ENDED, "tool_completed cancelled": ENDED,
            "tool_completed killed": ENDED,
        },
        "refused": {
            "question_asked": "refused", "tool_completed denied": ENDED, "tool_completed failed": ENDED,
            "tool_completed timed_out": ENDED, "tool_completed cancelled": ENDED, "tool_completed killed": ENDED,
        },
        "delegated": {"subagent_completed": "allowed", "question_asked": "delegated"},
    },
    # A question by its `question_id`; one that a call asked is over with that call.
    "question": {
        NEW: {"question_asked": "asked"},
        "asked": {"question_answered": "answered", "tool_completed": "over"},
    },
    # A steer by its `steer_id`.
    "steer": {NEW: {"steer_accepted": "waiting"}, "waiting": {"steer_taken": "taken", "steer_withdrawn": "withdrawn"}},
    # The operator, by the notices of `agent_thinking`.
    "operator": {NEW: {"taken_over": "in_charge"}, "in_charge": {"handed_back": NEW}},
}  # fmt: skip

KINDS: Final[Mapping[str, frozenset[str]]] = {
    noun: frozenset(word.partition(" ")[0] for words in states.values() for word in words)
    for noun, states in TRANSITIONS.items()
}
"""The types of the events that move each noun."""
