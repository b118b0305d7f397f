"""The texts of the offline model. Pure: a request and its results in, markdown out."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from understudy.models.model import MessageItem, ToolCard, Turn
from understudy.models.offline import markdown, scan
from understudy.models.offline.fitting import features, matched, stems
from understudy.models.offline.memory import called, remembered
from understudy.models.offline.model import NOTICE
from understudy.models.offline.planning import Planned
from understudy.models.offline.request import GREETINGS, Request, Result

SMALL_TALK: Final = "No tool is needed for that, or none fits, so I answer without one."
_HINT: Final = "Ask “What can you do?” to see what I can help with."

_REPEAT: Final = re.compile(
    rf"^{scan.LEAD}(?:repeat|echo|say)\s"
    r"(?:(?:back|after me|to me|the|this|my|these|following)\b\s?)*"
    r"(?P<kind>words?|phrase|sentence|message|text)?\s?[:,]?\s?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_INTRODUCED: Final = re.compile(r"\b(?:my name is|i am called|i'm called)\s+(\w{1,40})", re.IGNORECASE)
_EARLIER: Final = re.compile(
    r"\bwhat (?:did|have) you (?:just )?(?:say|said|answer|answered|tell|told)\b|\byour (?:last|previous) answer\b",
    re.IGNORECASE,
)
_THANKS: Final = frozenset({"thanks", "thank", "thx", "cheers"})
_ABOUT: Final = (
    "what can you do",
    "who are you",
    "what are you",
    "how can you help",
    "what do you do",
    "your capabilities",
    "your tools",
    "which tools do you",
    "which tools can you",
    "which tools have you",
    "which tools are there",
    "what tools do you",
    "what tools can you",
    "what tools have you",
    "what tools are there",
)


def thought(planned: Sequence[Planned], request: Request) -> str:
    """Return the next step, and why it is taken: the words of the request that fit each tool, and its columns."""
    steps = []
    for each in planned:
        words = f"“{' '.join(each.words[:6])}” fits {_named(each)}, so " if each.words else ""
        by, measure = each.arguments.get("by"), each.arguments.get("measure")
        if isinstance(by, str) and not each.again:
            words = f"That asks for {measure or 'figures'} by {by}, so "
        elif isinstance(each.arguments.get("where"), str) and not each.again:
            words = f"That asks only for the rows with {each.arguments['where']}, so "
        elif each.again:
            words = "That continues the last request with something changed, so "
        if each.nearest:
            words = f"No tool fits exactly; the nearest is {_named(each)}, so "
        steps.append(f"{words}I will use {describe(each)}.")
    tables = [card for card in request.files if card.columns and card.id in map(str, _arguments(planned))]
    for card in tables[:2]:
        shown = ", ".join(card.columns or ())
        steps.append(f"{card.name} has the columns {shown if len(shown) <= 120 else shown[:119] + '…'}.")
    return " ".join(steps)


def _arguments(planned: Sequence[Planned]) -> list[Any]:
    return [value for each in planned for value in each.arguments.values()]


def _named(planned: Planned) -> str:
    return planned.tool.name.replace("_", " ")


def describe(planned: Planned) -> str:
    """Return a call in a few words: the tool and its main arguments."""
    return f"{_named(planned)} on {planned.about}" if planned.about else _named(planned)


def title(text: str) -> str:
    """Return a text with a capital first letter; the rest, which may be a name, is unchanged."""
    return text[:1].upper() + text[1:]


def asks_about(text: str) -> bool:
    """Whether a request asks for help."""
    plain = " ".join(scan.words(text))
    return plain in ("help", "help me") or any(each in plain for each in _ABOUT)


def repeated(request: Request) -> str | None:
    """Return the text that the user asks to repeat; None if there is no such request."""
    for clause in request.clauses:
        match = _REPEAT.search(clause)
        if match is None:
            continue
        inside = scan.quoted(match["rest"])
        if inside:
            return inside[0]
        rest = match["rest"].strip(" .!?,")
        if not rest:
            return request.body[:1_000] if request.has_body else None
        return rest.split()[0] if (match["kind"] or "").lower() == "word" else rest
    return None


def answer(request: Request, questions: Iterable[str] = (), planned: Iterable[Planned] = ()) -> str:
    """Return the answer after tool calls: each result in plain words, then the open questions. It begins with a remark
    if the planned call is only the nearest to the request."""
    quoted = repeated(request)
    blocks = [] if quoted is None else [f"“{quoted}”"]
    blocks += [f"I have no tool for exactly that; the nearest is {_named(each)}." for each in planned if each.nearest]
    for each in request.results:
        blocks += _result(each)
    return "\n\n".join([*blocks, *questions])


def _result(result: Result) -> list[str]:
    name, reason = title(result.tool.replace("_", " ")), result.summary.strip() or "it gave no reason"
    match result.status:
        case "ok":
            # A summary that only lists the value's own fields, as `summarise` writes it, reads worse than the fields.
            first = next(iter(result.value), None) if isinstance(result.value, dict) else None
            bare = first is not None and result.summary.startswith(f"{first}: ")
            said = "" if bare else _sentence(result.summary)
            return [*([said] if said else []), *markdown.value(result.value, said)] or [f"{name} is done."]
        case "timed_out":
            return [f"{name} took too long and was stopped."]
        case "cancelled" | "killed":
            return [f"{name} was stopped before it was done."]
    failure = f"{name} was not done. {reason}" if result.status == "denied" else f"{name} did not work: {reason}"
    return [failure if failure[-1] in ".!?" else f"{failure}."]


def _sentence(summary: str) -> str:
    text = re.sub(r"(?<![\w.,])(\d{1,15})\.0(?![\d])", r"\1", summary.strip())
    return text if not text or text[-1] in ".!?…:)" or "=" in text or "≈" in text else text + "."


def small_talk(request: Request, turn: Turn) -> str:
    """Return the answer to a request without a tool: about the agent itself, a greeting, or that nothing fits."""
    quoted = repeated(request)
    if quoted is not None:
        return f"“{quoted}”"
    agent, tokens = f"I am {turn.agent.title or turn.agent.name}.", scan.words(request.instruction)
    if asks_about(request.instruction):
        return f"{agent} {turn.agent.description}".strip() + f"\n\n{_abilities(turn)}\n\n*{NOTICE}*"
    outside = request.instruction
    for each in scan.quoted(outside):
        outside = outside.replace(each, " ")
    few = set(scan.words(outside)[:3]) if len(tokens) <= 8 else set()
    if GREETINGS & few:
        introduced = _INTRODUCED.search(request.instruction)
        name = introduced[1] if introduced else called(remembered(turn.notes))
        keep = f" Write “Remember that my name is {name}”, and I will know it next time." if introduced else ""
        return f"Hello{f', {name}' if name else ''}! {agent}{keep} {NOTICE} {_HINT}"
    if _THANKS & few:
        return "You are welcome."
    if _EARLIER.search(request.instruction) and (said := _last_answer(turn)):
        return f"I said:\n\n{said}"
    return f"{_nearest(request, turn)} {NOTICE} {_HINT}"


def _last_answer(turn: Turn) -> str:
    """Return the last answer of the conversation, quoted, and cut if it is long; empty without one."""
    given = [each.content for each in turn.items if isinstance(each, MessageItem) and each.role == "assistant"]
    lines = given[-1][:1_000].splitlines() if given else []
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _nearest(request: Request, turn: Turn) -> str:
    """Say that no tool fits, and what the nearest tools can do: at most three, by the words they share."""
    found = []
    for name, tools in (("", turn.tools), *((each.title or each.name, each.tools) for each in turn.colleagues)):
        for each in tools:
            words = matched(each, request.instruction)
            if len(words) > 1 or any(stems(word) & features(each).name for word in words):
                found.append((len(words), each, name))
    near = {each.name: (each, name) for _, each, name in sorted(found, key=lambda entry: -entry[0])}
    if not near:
        what = [f"{each.title or each.name} ({_first(each.description)})" for each in turn.colleagues]
        what = what or [each.name.replace("_", " ") for each in turn.tools[:6]]
        return (
            f"I found no tool for that. What I can offer: {'; '.join(what)}." if what else "I found no tool for that."
        )
    lines = [
        f"- **{each.name.replace('_', ' ')}**{f' ({name})' if name else ''}: {_first(each.description)}."
        for each, name in list(near.values())[:3]
    ]
    return "I found no tool for that. The nearest are:\n\n" + "\n".join(lines) + "\n\n"


def _first(description: str) -> str:
    """Return the first sentence of a description, without its end."""
    return re.split(r"[:;]\s|\.\s", " ".join(description[:600].split()), maxsplit=1)[0].rstrip(".")


def _abilities(turn: Turn) -> str:
    own, blocks = {each.name for each in turn.tools}, []
    if turn.tools:
        blocks.append("I can use these tools:\n\n" + _bullets(turn.tools))
    if turn.colleagues:
        blocks.append("These colleagues can take over:")
    for each in turn.colleagues:
        more = [tool for tool in each.tools if tool.name not in own]
        lead = f"**{each.title or each.name}**: {each.description}".rstrip(": ")
        blocks.append(f"{lead}\n\n{_bullets(more)}" if more else lead)
    return "\n\n".join(blocks) or "I have no tools here, so I can only greet you."


def _bullets(tools: Iterable[ToolCard]) -> str:
    """Return a list of tools, each with the first sentence of its description."""
    lines = []
    for each in tools:
        sentence, end, _ = " ".join(each.description[:600].split()).partition(". ")
        lines.append(f"- **{each.name}**: {sentence}{end.strip()}")
    return "\n".join(lines)
