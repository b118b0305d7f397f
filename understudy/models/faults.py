"""Classifies a provider's error reply as one of a few faults, by its status, code and words. Pure.

1. One table serves all APIs, because the meaning of a status differs between providers. The first row that fits counts.
2. An error within a stream has no status: one is derived from its code.
3. A provider's words may quote anything. They are used here, and go no further than the log, which scrubs them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from understudy.models.model import LOADS, TOO_LONG, ModelFault, ModelUnavailable

MAX_WORDS: Final = 4_000
"""Characters of a provider's words that are read; the others are ignored."""
MAX_WORD: Final = 1_000
"""Characters that are read of one text in a reply: some quote the whole request."""
_TUPLE, _PART = re.compile(r"\('\w+'(?:, (?:'\w+'|\d+))+,?\)"), re.compile(r"\w+")
"""A path of a field as Python writes it, `('body', 'text', 'format')`, and the names in it: it is read with dots."""
_QUOTING: Final = ("input", "failed_generation", "url", "request_id")
"""Members of an error that are not read: they quote the request, or have no meaning."""
_WORDS: Final = ("message", "msg", "detail", "error_msg", "title")
"""Members that hold the words of an event without a member `error`."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""The form of codes that may be logged; anything else may be text that quotes the request."""

REFUSED_KEY: Final = "The language model's provider refused this server's key."
SENTENCES: Final[Mapping[ModelFault, str]] = {
    ModelFault.ACCOUNT: "This server's account at the provider is used up.",
    ModelFault.KEY: REFUSED_KEY,
    ModelFault.TOO_LONG: TOO_LONG,
    ModelFault.FILTERED: "The provider's content filter refused this message.",
    ModelFault.NO_TOOLS: "The language model takes no tools, and this agent has some.",
    ModelFault.REFUSED: "The language model did not accept this request.",
    ModelFault.BUSY: "The language model is busy; try again in a moment.",
    ModelFault.FAILED: "The language model failed; try again in a moment.",
    ModelFault.AWAY: "The language model failed; try again in a moment.",
}
"""The sentences for the user; that for `ADDRESS` is passed to `failure`."""
UNKNOWN_MODEL: Final = "The provider does not know the language model."
OVERLOADED: Final = "The language model is overloaded; try again in a moment."
SLOW: Final = "The language model took too long to answer."


def wording(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for a provider's words: it ignores case and matches across lines."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_AWAY: Final = (408, 502, 503, 504, 520, 521, 522, 523, 524, 529)
"""Statuses of failures that any request would meet. Proxies send those from 520, except 529, which is Anthropic's."""
_CODES: Final = tuple(
    (re.compile(words), status)
    for words, status in (
        (r"image|mismatch|policy", 400),
        (r"authentication|api_key", 401),
        (r"billing|quota|balance|credit", 402),
        (r"permission", 403),
        (r"not_found", 404),
        (r"too_large|context_length|context_size", 413),
        (r"rate_limit|too_many|exhausted|throttl", 429),
        (r"overloaded", 529),
        (r"unavailable", 503),
        (r"time_?out", 504),
        (r"invalid|above_max|below_min|too_long|unsupported|bad_?request|validation|badrequest", 400),
    )
)
"""The status to assume for an error without one, by the first pattern found in its code."""
_ROWS: Final = tuple(
    (fault, statuses, wording(words))
    for fault, statuses, words in (
        # The server could not parse what its model wrote (Groq). Another attempt may write something else.
        (
            ModelFault.FAILED,
            (),
            r"tool_use_failed|json_validate_failed|output_parse_failed|failed to (call a function|gener)",
        ),
        # One request exceeds the limit of a minute, so it never passes (Groq 413, OpenAI 429).
        (ModelFault.TOO_LONG, (), r"request too large|reduce your message size|tokens must be reduced"),
        # A limit that ends soon, although the words also mention a quota (Gemini) or payment (Groq).
        (ModelFault.BUSY, (400,), r"throttl|too many requests|rate.?limit"),
        (ModelFault.BUSY, (429,), r"retry in \d|retrydelay|try again in \d|per (minute|min|second|day)\b|wait before"),
        (
            ModelFault.ACCOUNT,
            (400, 401, 402, 403, 404, 412, 429, 500),
            r"insufficient.?(quota|balance|credit|fund)|credit balance|\bbilling|current.?quota|not enough credit"
            r"|(no|of|more|any|included|purchase) credits?\b|credit limit|arrear|overdue|recharge|unpaid|good standing"
            r"|spend(ing)?.limit|usage limits?\W.{0,80}regain|free tier.{0,40}(exhaust|only)|freetieronly|余额|欠费"
            r"|(key|monthly) limit",
        ),
        (
            ModelFault.KEY,
            (),
            r"api.?key.{0,20}(not valid|invalid|expired|incorrect)|(incorrect|invalid|no|missing) .{0,9}api.?key",
        ),
        (
            ModelFault.FILTERED,
            (400, 403, 404, 422, 451, 500),
            r"content.?(filter|policy|management|moderation)|responsible.?ai|data.?inspection|inappropriate|flagged"
            r"|moderation|prohibited.?content|(for|due to) safety|safety.(check|system|filter|setting)|jailbreak"
            r"|usage (guideline|polic)|sensitive.?(content|word|info)|violat.{0,40}polic|guardrail"
            r"|content exists risk|敏感|不安全",
        ),
        (
            ModelFault.TOO_LONG,
            (400, 404, 413, 422, 500),
            r"context (length|size|window|limit)|context_(length|size)_|(maximum|max|available|model'?s) context"
            r"|prompt is too long|超长"
            r"|(input|prompt|request|message)s? (is |are )?(too (long|large)|length)|input token count|max_model_len"
            r"|maximum (input|prompt|number of) ?(length|tokens)|reduce the length|too many (input )?tokens"
            r"|(longer|larger) than the (model|maximum)|token limit|maximum model length"
            r"|inputs.{0,40}max_new_tokens. must be <="
            r"|exceed(s|ed|ing)? (the )?(model'?s )?(context|maximum (context|number of tokens)|token)",
        ),
        (
            ModelFault.NO_TOOLS,
            (400, 404, 422, 500, 501),
            r"support tool use|not support(ed)?:? .{0,16}(tools?\b|function.call)|tools? param|enable-auto-tool-choice"
            r"|(tools?|tool use|tool call(s|ing)|function call(s|ing))['`\"]* (is|are) (not|un).?(support|avail|enabl)"
            r"|(body\W+|unsupported.{0,20}|unknown.{0,20})['`\"]?tools\b",
        ),
        (
            ModelFault.ADDRESS,
            (400, 403, 404, 422),
            r"model.?not.?open|model[^.]{0,90}(not.exist|not.found|decommissioned|longer avail)"
            r"|(invalid|unknown|no such|not a valid) model\b|on-demand throughput"
            r"|model_not_supported|deployment.?not.?found|model identifier"
            r"|not supported by any provider|access to (the )?model|unable to access model",
        ),
        (
            ModelFault.REFUSED,
            (404,),
            r"item with id|not support|that support|support (the |for )?\w+ (input|use)|image|param",
        ),
        (
            ModelFault.REFUSED,
            (500, 501),
            r"unsupported|not support|mmproj|template|jinja|conversation roles|not permitted|at row \d"
            r"|missing 'content",
        ),
    )
)
"""Faults by statuses (no statuses: any) and words, as OpenAI, Azure, Anthropic, Bedrock, Gemini, Mistral, Groq, Qwen,
DeepSeek, Moonshot, Z.ai, xAI, OpenRouter, LiteLLM, vLLM, SGLang, llama.cpp, Ollama and LM Studio write them."""
_WAIT: Final = wording(
    r"(?:again in|retry (?:in|after)|retrydelay:) ?(?:(\d{1,4})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?) ?(ms|s))?"
)
"""The time to wait: OpenAI's and Groq's `1m2.5s` or `20ms`, Gemini's `retryDelay`, Azure's `20 seconds`."""
_STATUS: Final[Mapping[int, ModelFault]] = {
    401: ModelFault.KEY,
    402: ModelFault.ACCOUNT,
    403: ModelFault.KEY,
    404: ModelFault.ADDRESS,
    413: ModelFault.TOO_LONG,
    425: ModelFault.BUSY,
    429: ModelFault.BUSY,
    498: ModelFault.BUSY,
    501: ModelFault.REFUSED,
}
"""Faults by status alone. Any other status is `REFUSED` below 500, and `FAILED` from 500."""

_OF_REASONING: Final = wording(r"signature|thinking|reasoning|encrypted|\brs_|(call|use).?id")
_OF_ATTACHMENTS: Final = wording(
    r"image|picture|media|pixel|dimension|pdf|document|\bfiles?\b|base64|vision|multimodal|modalit|mmproj"
)


@frozen
class ErrorReply:
    """A provider's error reply: its `status` or, within a stream, the one derived from its code; the `code` for the
    log; and its `words`. `guessed`: the status is unknown, and a row of any usual status fits if its words do."""

    status: int
    code: str
    words: str
    guessed: bool = False

    @property
    def fault(self) -> ModelFault:
        """The fault of the first row that fits the status and the words, else that of the status alone."""
        possible = {400, 429, 500} if self.guessed else {self.status}
        for fault, statuses, words in _ROWS:
            if (not statuses or possible & {*statuses}) and words.search(self.words):
                return fault
        if self.status in _AWAY:
            return ModelFault.AWAY
        return _STATUS.get(self.status, ModelFault.REFUSED if self.status < 500 else ModelFault.FAILED)

    @property
    def about(self) -> str:
        """The parts that a refusal seems to concern: ``attachments``, ``reasoning``, or "" if it names neither."""
        if _OF_REASONING.search(self.words):
            return "reasoning"
        return "attachments" if _OF_ATTACHMENTS.search(self.words) else ""


def read_error(body: Any, status: int = 0, words: str = "") -> ErrorReply:
    """Read the body of an error reply, of any form. `words` count if the body has none; `status` 0 means unknown."""
    pieces: list[str] = []
    codes: list[str] = []
    _collect(body, "", pieces, codes)
    names = [code for code in codes if _CODE.fullmatch(code)]
    if not 400 <= status <= 599:  # derive it: from a code that is a status itself, else from the name of an error
        statuses = [int(code) for code in codes if code.isdecimal() and 400 <= int(code) <= 599]
        statuses += [status for pattern, status in _CODES if any(map(pattern.search, names))]
        status = statuses[0] if statuses else 0
    text = _TUPLE.sub(lambda match: ".".join(_PART.findall(match[0])), "; ".join(pieces) or words)[:MAX_WORDS]
    return ErrorReply(status or 500, names[0] if names else "", text, guessed=not status)


def _collect(value: Any, name: str, pieces: list[str], codes: list[str], depth: int = 0) -> None:
    """Add the texts of an error to `pieces`, each after its member's name, and its codes to `codes`."""
    if depth > 6 or len(pieces) > 100 or name in _QUOTING or value is None:
        return
    if isinstance(value, Mapping):
        for key, member in value.items():
            _collect(member, str(key), pieces, codes, depth + 1)
    elif isinstance(value, list) and name == "loc":
        pieces.append("loc: " + ".".join(map(str, value)))
    elif isinstance(value, list):
        for item in value:
            _collect(item, name, pieces, codes, depth + 1)
    else:
        text = str(value)[:MAX_WORD]
        pieces.append(f"{name}: {text}" if name else text)
        if name in ("code", "status", "type") and text != "error":
            codes.insert(0 if name == "code" else len(codes), text.lower())


def failure(
    reply: ErrorReply, kind: str, not_found: str = UNKNOWN_MODEL, retry_after_s: float | None = None
) -> ModelUnavailable:
    """Return the error to raise. `kind` is for the log, `not_found` the user's sentence for an unknown model."""
    fault = reply.fault
    sentence = SENTENCES.get(fault, not_found)
    if fault is ModelFault.AWAY and reply.status in (408, 504, 524):
        sentence = SLOW
    elif reply.status == 529 or (reply.status == 503 and "overload" in reply.words.lower()):
        sentence = OVERLOADED
    detail = " ".join(str(part) for part in (kind, reply.status, reply.code) if part)
    if reply.status == 503 and "loading" in reply.words.lower():
        detail = f"{detail} {LOADS}"
    retryable = fault in (ModelFault.BUSY, ModelFault.FAILED, ModelFault.AWAY)
    if retry_after_s is None and (match := _WAIT.search(reply.words)) and any(match.groups()):
        seconds = float(match[2] or 0) / (1000 if match[3] == "ms" else 1)
        retry_after_s = min(60 * int(match[1] or 0) + seconds, 3600.0)
    error = ModelUnavailable(sentence, retryable, detail, retry_after_s if retryable else None, fault=fault)
    error.words, error.about = reply.words, reply.about
    return error


def failure_of(error: Any) -> ModelUnavailable:
    """Return the error to be raised for an error within a stream, of any form."""
    return failure(read_error(error), "in the stream")


def error_in(event: Mapping[str, Any]) -> Any:
    """Return the error in an event of a stream or in a whole answer, even if it also has content; None without one."""
    choices = event.get("choices")
    bodies = (event, *(choices if isinstance(choices, list) else ()))
    return next((body[name] for body in bodies if body for name in ("error", "errors") if body.get(name)), None)


def is_error_in_words(event: Mapping[str, Any]) -> bool:
    """Return whether an event has words but no part of an answer. It is an error then, if no answer follows."""
    has_words = any(isinstance(event.get(name), str | list) for name in _WORDS)
    return not event.get("choices") and (has_words or "base_resp" in event)  # `base_resp` is MiniMax's


def numbers(words: str) -> list[int]:
    """Return the whole numbers in a provider's words; `4,096` is one."""
    return [int(run.replace(",", "")) for run in re.findall(r"(?<![\w.-])\d{1,3}(?:,\d{3})+|(?<![\w.-])\d{1,9}", words)]
