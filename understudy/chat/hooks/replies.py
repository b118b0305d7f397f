"""The answers to messages of hooks: they are in the queue of webhooks, under addresses that only the server makes.

Such an address is `hook:NAME?channel=…&thread_ts=…`: no user can name one, as webhooks have http or https.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from attrs import define, field

from transport.wire.events import ApprovalRequired, Error, Event, FinalResponse, QuestionAsked
from understudy.chat.hooks import slack
from understudy.chat.hooks.hook import Hook, Hooks
from understudy.chat.receivers import FIRST_S, Receivers, SendAttempt
from understudy.chat.webhooks import WebhookRules

SCHEME: Final = "hook:"


def address_of(hook: str, channel: str, thread_ts: str) -> str:
    """Return the address under which answers for a thread of a hook's are queued."""
    return f"{SCHEME}{hook}?{urlencode({'channel': channel, 'thread_ts': thread_ts})}"


def text_of(event: Event, thread_url: str) -> str:
    """Return what an event of a run is posted as. `thread_url` leads to its thread in the page."""
    match event:
        case FinalResponse(message=message):
            return message.strip() or "The run ended without an answer."
        case Error(message=message):
            return message
        case ApprovalRequired(tool_name=tool):
            return f"The call of {tool} needs an approval: {thread_url}"
        case QuestionAsked(title=title):
            return f"{title}: {thread_url}"
    raise TypeError(f"{type(event).__name__} is not delivered")


@define(eq=False)
class HookReplies:
    """Posts answers. `clock` gives Unix seconds; `public_url` is the address of the page; `first_s` is as of
    `Receivers`."""

    hooks: Hooks
    clock: Callable[[], float]
    public_url: str = ""
    first_s: float = FIRST_S
    _receivers: dict[str, Receivers] = field(factory=dict, init=False)

    def receivers(self, url: str) -> Receivers | None:
        """Return what sends to the hook of an address; None if it has nowhere to post answers any more."""
        hook = self.hooks.get(_name_in(url))
        if hook is None or not hook.reply_url:
            return None
        if hook.name not in self._receivers:
            rules = WebhookRules((hook.reply_url,), b"", private=True)  # the operator's own: it may be private
            self._receivers[hook.name] = Receivers(rules, self.clock, self.first_s)
        return self._receivers[hook.name]

    def target(self, url: str) -> str:
        """Return where answers for an address are posted. Raises KeyError if its hook is gone."""
        return self.hooks[_name_in(url)].reply_url

    async def send(self, delivery_id: str, url: str, event: Event, thread_id: str) -> SendAttempt:
        """Post an event of a run, once."""
        receivers, hook = self.receivers(url), self.hooks.get(_name_in(url))
        if receivers is None or hook is None:
            return SendAttempt("its hook is not in the settings any more", final=True)
        where = dict(parse_qsl(url.partition("?")[2]))
        thread_url = f"{self.public_url.rstrip('/')}/#{quote(thread_id, safe='')}"
        body = slack.reply(where.get("channel", ""), where.get("thread_ts", ""), text_of(event, thread_url))
        headers = _headers(hook, delivery_id, int(self.clock()), body)
        return await receivers.send(hook.reply_url, body, headers, refusal_in=slack.refusal_in)


def _headers(hook: Hook, delivery_id: str, at: int, body: bytes) -> Mapping[str, str]:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "webhook-id": delivery_id,
        slack.TIMESTAMP: str(at),
        slack.SIGNATURE: slack.sign(hook.secret, str(at), body),
    }
    return headers | {"Authorization": f"Bearer {hook.token}"} if hook.token else headers


def _name_in(url: str) -> str:
    return url.removeprefix(SCHEME).partition("?")[0]
