"""Adapts requests to what the server of a model accepts, as learned from its refusals: fields, limits, forms. Pure.

Servers of an API accept fewer fields, shorter replies and other messages than the maker of the API, and refuse the rest
in their own words. `learn` compares these words with the refused request; `Adaptation.written` adapts later requests.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, Literal

from attrs import evolve, frozen

from understudy.extensions.providers.ways import WAYS, next_way
from understudy.models.faults import numbers, wording
from understudy.models.model import ModelFault, ModelLimits, ModelUnavailable, Turn
from understudy.models.prompt import in_words

MIN_REPLY: Final = 64
"""Tokens of the shortest reply that is requested; if there is room for fewer, the input is too long."""
MIN_WINDOW: Final = 512
"""Tokens of the smallest plausible window; a smaller number in a refusal means something else."""
LENGTHS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""The names that the APIs have for the field with the limit of a reply."""
_LENGTH: Final = wording(
    r"max[_ ]?(completion_?|output_?|new_?)?tokens|(maximum|completion|output) tokens|\w the completion"
)
_OF_REPLY: Final = wording(r"(maximum|max) (output|completion)|max.?tokens (must|should|cannot)")
_WINDOW: Final = wording(
    r"\d \+ \d{1,9} > (\d{1,9})"
    r"|(?:context (?:length|size|window)|model length|max_model_len|maximum context|tokens allowed)"
    r"[^\d]{0,40}?(\d{1,9})|(\d{1,9}) maximum context|<= (\d{1,9})|> (\d{3,9})"
)
_INPUT: Final = wording(
    r"(\d{1,9})\W{0,9}(?:tokens? )?(?:in (?:the|your) (?:messages|prompt)|from the input|input tokens|prompt tokens"
    r"|of text input|.inputs. tokens)|(\d{1,9}) \+ \d{1,9} >"
)
_UNKNOWN: Final = wording(
    r"unknown|unsupported|unrecognized|unexpected|extra(neous)?\b|forbidden"
    r"|(not|n't|no) (supported|support|permitted|allowed)"
)
_FORM: Final = wording(
    r"response.?format|json.?(schema|object|mode)|output.?(config(?!\.effort)|format)|text\.format|structured|grammar"
)
_OUT_OF_RANGE: Final = wording(r"above_max|below_min")
_NO_EFFORT: Final = wording(
    r"(not support|unsupported|invalid).{0,40}(think|reason)"
    r"|(think|reason).{0,40}(not support|unsupported|must be|not avail)"
)
_EFFORTS: Final = ("reasoning_effort", "reasoning.effort", "output_config.effort", "thinking")
_LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
"""Levels of effort of all APIs, the lowest first."""
_WANTED: Final = ("reasoning_content", "thought_signature")
"""Members without which some servers refuse an earlier reply, also one of another model, which never had them."""
_NEEDED: Final = re.compile(
    r"model|messages|input|instructions|system|tools|stream|role|content|type|text|name|id|function|arguments|output"
    r"|tool_calls|\w+_id|description|parameters|input_schema|image_url|source|file_data|filename|encrypted_content|data"
    r"|thinking|signature|summary"
)
"""Fields and members that no request can do without; `thinking` and `summary` only within messages."""
_OPAQUE: Final = re.compile(r"parameters|(input_|json_)?schema|arguments|source|input")
"""Members whose own members are not examined."""
_REFUSALS: Final = (ModelFault.REFUSED, ModelFault.NO_TOOLS, ModelFault.ADDRESS)


@frozen
class Adaptation:
    """The adaptations to a server. `left_out` are paths of fields that it refuses (`reasoning.summary`,
    `messages.reasoning_content`), `wants` members that it needs in earlier replies, `ways` names of `WAYS`, `efforts`
    the levels of effort that it accepts, `max_output` the tokens of a reply, `window` those of input and reply.

    `form` is how the request describes the form of an answer: by ``json_schema``, ``json_object`` or in ``words``.
    `room` is a limit for the next reply only.
    """

    left_out: frozenset[str] = frozenset()
    wants: frozenset[str] = frozenset()
    ways: frozenset[str] = frozenset()
    efforts: frozenset[str] = frozenset()
    form: Literal["json_schema", "json_object", "words"] = "json_schema"
    max_output: int | None = None
    window: int | None = None
    room: int | None = None

    def limits(self, limits: ModelLimits) -> ModelLimits:
        """Return the limits of a model, lowered to those of its server."""
        return evolve(
            limits,
            window_tokens=min(limits.window_tokens, self.window or limits.window_tokens),
            max_output=min(limits.max_output, self.max_output or limits.max_output),
        )

    def asked(self, turn: Turn) -> Turn:
        """Return the turn with the form of its answer described as the server accepts it."""
        return turn if self.form == "json_schema" else in_words(turn, is_object=self.form == "json_object")

    def written(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request as the server accepts it."""
        request = dict(body)
        for name in LENGTHS:
            if name in request:
                request[name] = min(limit for limit in (request[name], self.max_output, self.room) if limit)
                if name == LENGTHS[0] and name in self.left_out:
                    request[LENGTHS[1]] = request[name]
        if self.efforts:
            request = _with_levels(request, self.efforts)
        for name, (_, write) in WAYS.items():
            if name in self.ways:
                request = write(request)
        for path in self.left_out:
            request = _without(request, path.split("."))
        thinking = request.get("thinking") or {}
        if thinking.get("budget_tokens", 0) >= request.get("max_tokens", 0) > 0:
            del request["thinking"]
        return request


def learn(accepted: Adaptation, error: ModelUnavailable, sent: Mapping[str, Any]) -> tuple[Adaptation, str] | None:
    """Return the adaptation to a server that has refused the request `sent`, and a description of the change for the
    log; None if the refusal names nothing that can be left out or written in another way."""
    words, fault = error.words, error.fault
    if fault in (*_REFUSALS, ModelFault.TOO_LONG) and (learnt := _length(accepted, error, sent)):
        return learnt
    if fault not in _REFUSALS and not (fault is ModelFault.FAILED and _UNKNOWN.search(words)):
        return None
    if _FORM.search(words) and "for function" not in words and (form := _next_form(sent)):
        return evolve(accepted, form=form), f"json_schema: {form}"
    if not _UNKNOWN.search(words):  # then it may miss a member
        there = " ".join([*accepted.wants, str(sent.get("messages"))])
        if missing := next((name for name in _WANTED if name in words and name not in there), ""):
            return evolve(accepted, wants=accepted.wants | {missing}), f"with {missing}"
    way = next_way(words, sent, accepted.ways, sure=True)
    path = "" if way else _named(words, sent, accepted)
    if path.endswith("effort") and (levels := _said_levels(words, sent)):
        return evolve(accepted, efforts=levels), f"{path} other than {', '.join(sorted(levels))}"
    if path:
        return evolve(accepted, left_out=accepted.left_out | {path}), path
    way = way or next_way(words, sent, accepted.ways, sure=False)
    return (evolve(accepted, ways=accepted.ways | {way}), way) if way else None


def _length(accepted: Adaptation, error: ModelUnavailable, sent: Mapping[str, Any]) -> tuple[Adaptation, str] | None:
    """Return the adaptation to a refusal of a reply's limit: the longest reply, or the room that the input leaves. In
    this order: the field is unknown; the refusal names the window; it names a smaller limit; it names nothing."""
    name = next((length for length in LENGTHS if length in sent), "")
    words, plain = error.words, error.words.replace(",", "")
    if not name or not _LENGTH.search(words) or "below_min" in words:
        return None
    if _UNKNOWN.search(words):
        return (evolve(accepted, left_out=accepted.left_out | {name}), name) if name in words else None
    limit, window, input_tokens = int(sent[name]), _number(_WINDOW, plain), _number(_INPUT, plain)
    if window >= MIN_WINDOW and (input_tokens or error.fault is ModelFault.TOO_LONG):
        room, longest = window - input_tokens, window // 4
        if input_tokens and MIN_REPLY <= room < limit:
            longest = min(limit, accepted.max_output or limit, longest)
            return evolve(accepted, window=window, max_output=longest, room=room), f"max_output={min(longest, room)}"
        if input_tokens or longest >= limit:
            return None
        return evolve(accepted, window=window, max_output=longest), f"max_output={longest}"
    if error.fault is ModelFault.TOO_LONG and not _OF_REPLY.search(words):
        return None
    smaller = [size for size in numbers(words) if MIN_REPLY <= size < limit and str(size) not in error.detail.split()]
    if smaller:
        longest = max(smaller) - ("exclusive" in words)
    elif "messages" in sent and "system" in sent:  # the Messages API needs the field
        longest = limit // 2
    else:
        return evolve(accepted, left_out=accepted.left_out | {name}), name
    return (evolve(accepted, max_output=longest), f"max_output={longest}") if longest >= MIN_REPLY else None


def told_window(error: ModelUnavailable) -> int | None:
    """Return the tokens of a model's window if a refusal of an input that is too long names them, otherwise None."""
    window = _number(_WINDOW, error.words.replace(",", "")) if error.fault is ModelFault.TOO_LONG else 0
    return window if window >= MIN_WINDOW else None


def _number(pattern: re.Pattern[str], words: str) -> int:
    """Return the number in the first group that matched, 0 without a match."""
    match = pattern.search(words)
    return 0 if match is None else int(next(group for group in match.groups() if group))


def _next_form(sent: Mapping[str, Any]) -> Literal["json_object", "words", ""]:
    """Return the next way to describe the form of an answer after that of a refused request; empty if it has none."""
    form = sent.get("response_format") or (sent.get("text") or {}).get("format") or {}
    if "format" in (sent.get("output_config") or {}) or form.get("type") == "json_object":
        return "words"
    return "json_object" if form else ""


def _named(words: str, sent: Mapping[str, Any], accepted: Adaptation) -> str:
    """Return the path of the field of a request that a refusal names, empty if it names none."""
    if _OUT_OF_RANGE.search(words):
        return ""
    plain = re.sub(r"[.\[]'?\d+'?\]?", "", words)  # without the numbers of list items: `messages[3].name`
    paths = sorted(set(_paths(sent)), key=lambda path: -path.count("."))
    names = {path: path.rpartition(".")[2] for path in paths}
    by_path = (
        path for path in paths if "." in path and re.search(rf"(?<![\w.])(body\.)?{re.escape(path)}(?!\w)", plain)
    )
    by_name = (path for path in paths if names[path] not in accepted.wants and _is_named(names[path], plain))
    as_effort = (path for path in _EFFORTS if path in paths and _NO_EFFORT.search(words))
    return next(chain(by_path, by_name, as_effort), "")


def _said_levels(words: str, sent: Mapping[str, Any]) -> frozenset[str]:
    """Return the levels of effort that a refusal lists and that are below the sent one; "none" is not a level."""
    effort = sent.get("reasoning_effort") or (sent.get("reasoning") or sent.get("output_config") or {}).get("effort")
    below = _LEVELS[: _LEVELS.index(effort)] if effort in _LEVELS else ()
    return frozenset(level for level in below if re.search(rf"\b{level}\b", words))


def _with_levels(body: Mapping[str, Any], levels: frozenset[str]) -> dict[str, Any]:
    """Return a request whose level of effort is replaced by the next lower one among `levels`."""
    request = dict(body)
    for name, value in body.items():
        if name in ("reasoning", "output_config"):
            request[name] = _with_levels(value, levels)
        elif name in ("effort", "reasoning_effort") and value in _LEVELS:
            below = reversed(_LEVELS[: _LEVELS.index(value) + 1])
            request[name] = next((level for level in below if level in levels), value)
    return request


def _is_named(name: str, words: str) -> bool:
    """Return whether a refusal names a field. A plain word counts only in quotes, or beside a word like "parameter"."""
    if "_" in name or name == "temperature":
        return wording(rf"(?<!\w){name.replace('_', '[_ ]')}(?!\w)").search(words) is not None
    kinds = r"param\w*|arguments?|fields?|propert\w+|keys?|names?|loc"
    before = rf"(?:{kinds}|unknown|unsupported|supplied|body|support|extra)\W+"
    behind = r"\W+(?:parameter|argument|field|(?:is|are) (?:not|un)|not supported|extra|unknown)"
    return wording(rf"['\"`\[]{name}['\"`\]]|{before}{name}\b|\b{name}{behind}").search(words) is not None


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields and members that could be left out of a request."""
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, path)
    elif isinstance(value, Mapping):
        in_list = path.partition(".")[0] in ("messages", "input", "tools", "system")
        for name, member in value.items():
            below = f"{path}.{name}" if path else name
            leaves_out = name == ("thinking" if not path else "" if in_list else "summary")
            if leaves_out or not _NEEDED.fullmatch(name):
                yield below
            if below == "input" or not _OPAQUE.fullmatch(name):
                yield from _paths(member, below)


def _without(value: Any, path: list[str]) -> Any:
    """Return a part of a request without the member at a path; an object that becomes empty is left out too."""
    if isinstance(value, list):
        return [_without(item, path) for item in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    others = {name: member for name, member in value.items() if name != path[0]}
    inner = _without(value[path[0]], path[1:]) if len(path) > 1 else {}
    return {name: inner if name == path[0] else member for name, member in value.items()} if inner else others
