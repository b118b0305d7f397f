"""Policies: when to reconnect after a connection ended, and when to send a refused command again. Pure."""

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from transport.wire.codes import CLOSES
from transport.wire.errors import SocketClosed, TransportError, Unauthenticated

MAX_RETRY_AFTER_S: Final = 3600.0
"""Upper bound in seconds of a server's `Retry-After`; longer ones are cut to it."""
REFUSED_S: Final = 3.0
"""Pause in seconds before a refused command is sent again if the server names none."""
_TRANSIENT: Final = frozenset({408, 425, 429})  # transient statuses below 500


@frozen
class Reconnect:
    """A policy: reconnect after a random delay of up to `first_s`, doubled at each failure in a row, at most `max_s`.

    The whole delay is random ("full jitter"), so that many clients do not reconnect at once. After `attempts` failures
    in a row the client gives up; a connection that lasted `steady_s` resets the count. `connect_s` is the deadline of
    one attempt, and of getting a token. A connection without any byte for `ping_s` counts as lost; pings are sent at
    half of that. Missing events are requested every `resume_s` until they come. A command refused with a retryable code
    is sent again, with growing pauses, for at most `retry_s` on a connection since its first refusal; 0: never.
    """

    first_s: float = 0.3
    max_s: float = 30.0
    attempts: int = 20
    connect_s: float = 10.0
    ping_s: float = 30.0
    resume_s: float = 5.0
    steady_s: float = 5.0
    retry_s: float = 60.0

    def delay_s(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` in a row; `chance` is between 0 and 1."""
        return min(self.max_s, self.first_s * 2.0 ** min(failures, 30)) * chance

    def pause_s(self, refusals: int, retry_after_s: float | None, chance: float) -> float:
        """Return the seconds to wait before a refused command is sent again: at least what the server asks for."""
        return (REFUSED_S if retry_after_s is None else retry_after_s) + self.delay_s(refusals, chance)


@frozen
class ConnectionEnd:
    """The end of a connection, or of an attempt at one. `reason` is a sentence for a person.

    `failure` is set if the client must not reconnect, `token` if that is because of its token only. `not_before_s` is
    the delay that the server asked for; `drained`: the server announced the end by a `Drain`; `answered`: another HTTP
    answer came than a server of this protocol gives, as a proxy answers while its server is away.
    """

    reason: str
    failure: TransportError | None = None
    token: bool = False
    not_before_s: float | None = None
    drained: bool = False
    answered: bool = False


def ended_by_close(code: int, reason: str) -> ConnectionEnd:
    """Return the end of a connection closed with this code, by the registry; unknown codes allow reconnecting."""
    close = CLOSES.get(code)
    words = f"closed with {code}" + (f": {reason}" if reason else "")
    if close is None or close.reconnect:
        return ConnectionEnd(words)
    return ConnectionEnd(words, SocketClosed(code, reason), token=code == 4401)


def ended_by_refusal(status: int, headers: Sequence[tuple[bytes, bytes]], now: float) -> ConnectionEnd:
    """Return the end of a handshake answered with this HTTP status; `now` is in Unix seconds.

    Redirects are not followed: they would send the token elsewhere.
    """
    named = {name.lower(): value.decode("latin-1") for name, value in headers}
    words = f"the server refused with {status}"
    if status in (401, 403):
        words = f"the server refused the token ({status})"
        code = "unauthenticated" if status == 401 else "forbidden"
        return ConnectionEnd(words, Unauthenticated(code, words), token=status == 401)
    if 300 <= status < 400:
        words += f", a redirect{_redirect_target(named)}"
    if status < 500 and status not in _TRANSIENT:
        return ConnectionEnd(words, SocketClosed(1008, words), not_before_s=_retry_after_s(named, now), answered=True)
    return ConnectionEnd(words, not_before_s=_retry_after_s(named, now))


def _redirect_target(headers: Mapping[bytes, str]) -> str:
    try:
        parts = urlsplit(headers.get(b"location", ""))
    except ValueError:
        return ""
    target = f"{parts.hostname or ''}{parts.path}"[:200]
    return f" to {target}" if target.isprintable() and target else ""


def _retry_after_s(headers: Mapping[bytes, str], now: float) -> float | None:
    """Parse `Retry-After` (RFC 9110, section 10.2.3): seconds or a date."""
    value = headers.get(b"retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        left_s = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(left_s, 0.0), MAX_RETRY_AFTER_S)
