"""The texts of the offline model. Pure: a request and its results in, markdown out."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from understudy.models.model import AgentCard, ToolCard, Turn
from understudy.models.offline import markdown, scan
from understudy.models.offline.planning import Planned
from understudy.models.offline.request import Request, Result

NOTICE: Final = "Answers come from a rule-based stand-in that picks tools by their words; it is not a language model."

_HINT: Final = "Ask “What can you do?” to see what I can help with."

_REPEAT: Final = re.compile(
    r"\b(?:repeat|echo|say)\s(?:back\s|after me\s?|to me\s|the\s|this\s|my\s|these\s|following\s)*"
    r"(?P<kind>words?|phrase|sentence|message|text)?\s?[:,]?\s?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_GREETINGS: Final = frozenset({"hello", "hi", "hey", "hallo", "moin", "greetings", "morning", "evening", "afternoon"})
_THANKS: Final = frozenset({"thanks", "thank", "thx", "cheers"})
_ABOUT: Final = (
    "what can you do",
    "who are you",
    "what are you",
    "how can you help",
    "what do you do",
    "your capabilities",
    "your tools",
    "which tools",
    "what tools",
)


def thought(planned: Sequence[Planned]) -> str:
    """Return the next step as a sentence."""
    return "I will use " + " and ".join(describe(each) for each in planned) + "."


def describe(planned: Planned) -> str:
    """Return a call in a few words: the tool and its main arguments."""
    words = planned.tool.name.replace("_", " ")
    return f"{words} on {planned.about}" if planned.about else words


def title(text: str) -> str:
    """Return a text with a capital first letter; the rest, which may be a name, is unchanged."""
    return text[:1].upper() + text[1:]


def asks_about(text: str) -> bool:
    """Whether a request asks for help."""
    plain = " ".join(scan.words(text))
    return plain in ("help", "help me") or any(each in plain for each in _ABOUT)


def repeated(request: Request) -> str | None:
    """What the user wants repeated, if anything."""
    for clause in request.clauses:
        match = _REPEAT.search(clause)
        if match is None:
            continue
        inside = scan.quoted(match["rest"])
        if inside:
            return inside[0]
        rest = match["rest"].strip(" .!?,")
        if not rest:
            return request.body[:1_000] if request.body != request.text.strip() else None
        return rest.split()[0] if (match["kind"] or "").lower() == "word" else rest
    return None


def answer(request: Request, questions: Iterable[str] = ()) -> str:
    """Return the answer after tool calls: each result in plain words, then the open questions."""
    blocks: list[str] = []
    quoted = repeated(request)
    if quoted is not None:
        blocks.append(f"“{quoted}”")
    for each in request.results:
        blocks += _told(each) if each.ok else [_failure(each)]
    return "\n\n".join([*blocks, *questions])


def _told(result: Result) -> list[str]:
    bare = isinstance(result.value, dict) and _is_bare(result)
    said = "" if bare else _sentence(result.summary)
    return [*([said] if said else []), *markdown.value(result.value, said)] or [f"{_name(result)} is done."]


def _is_bare(result: Result) -> bool:
    """Whether the summary only lists the value's own fields, as `summarise` writes it: then the fields read better."""
    first = next(iter(result.value), None)
    return not result.summary or (first is not None and result.summary.startswith(f"{first}: "))


def _sentence(summary: str) -> str:
    text = re.sub(r"(?<![\w.,])(\d{1,15})\.0(?![\d])", r"\1", summary.strip())
    return text if not text or text[-1] in ".!?…:)" or "=" in text or "≈" in text else text + "."


def _failure(result: Result) -> str:
    name = _name(result)
    why = result.summary.strip() or "it gave no reason"
    match result.status:
        case "timed_out":
            return f"{name} took too long and was stopped."
        case "cancelled" | "killed":
            return f"{name} was stopped before it was done."
        case "denied":
            return f"{name} was not done. {why}" + ("" if why[-1] in ".!?" else ".")
    return f"{name} did not work: {why}" + ("" if why[-1] in ".!?" else ".")


def _name(result: Result) -> str:
    return title(result.tool.replace("_", " "))


def small_talk(request: Request, turn: Turn) -> str:
    """Return the answer to a request without a tool: about the agent itself, a greeting, or that nothing fits."""
    tokens = scan.words(request.instruction)
    quoted = repeated(request)
    if quoted is not None:
        return f"“{quoted}”"
    if asks_about(request.instruction):
        return _introduction(turn)
    few = tokens[:6]
    if len(tokens) <= 8 and _GREETINGS & set(few):
        return f"Hello! I am {_title(turn.agent)}. {NOTICE} {_HINT}"
    if len(tokens) <= 8 and _THANKS & set(few):
        return "You are welcome."
    return f"I found no tool for that. {NOTICE} {_HINT}"


def _introduction(turn: Turn) -> str:
    return f"I am {_title(turn.agent)}. {turn.agent.description}".strip() + f"\n\n{_abilities(turn)}\n\n*{NOTICE}*"


def _abilities(turn: Turn) -> str:
    blocks = []
    if turn.tools:
        blocks.append("I can use these tools:\n\n" + _bullets(turn.tools))
    for each in turn.colleagues:
        own = [tool for tool in each.tools if tool.name not in {card.name for card in turn.tools}]
        blocks.append(f"**{_title(each)}**: {each.description}".rstrip(": ") + (f"\n\n{_bullets(own)}" if own else ""))
    if turn.colleagues:
        blocks.insert(1 if turn.tools else 0, "These colleagues can take over:")
    return "\n\n".join(blocks) or "I have no tools here, so I can only greet you."


def _bullets(tools: Iterable[ToolCard]) -> str:
    return "\n".join(f"- **{each.name}**: {_first_sentence(each.description)}" for each in tools)


def _first_sentence(text: str) -> str:
    line = " ".join(text[:600].split())
    end = line.find(". ")
    return line if end < 0 else line[: end + 1]


def _title(card: AgentCard) -> str:
    return card.title or card.name
