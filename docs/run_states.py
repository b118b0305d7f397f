"""What may happen next in a run, as rows made from the table that the conversation checks events by."""

from understudy.chat.run_state.transitions import TRANSITIONS


def transition_rows() -> list[tuple[str, ...]]:
    """Return what of a run moves from which state to which, and by which events, in the order of the table."""
    return [
        (noun, before or "none", _events([word for word in words if words[word] == after]), after or "none")
        for noun, states in TRANSITIONS.items()
        for before, words in states.items()
        for after in dict.fromkeys(words.values())
    ]


def _events(words: list[str]) -> str:
    """Return events as they are read: those of one type together, with the statuses or decisions that they may have."""
    types: dict[str, list[str]] = {}
    for word in words:
        kind, _, status = word.partition(" ")
        types.setdefault(kind, []).append(status)
    return ", ".join(f"`{kind}` {' or '.join(statuses)}".strip() for kind, statuses in types.items())
