"""The vocabulary of the chat, made once; and what reads and writes by it."""

from typing import Final, cast

from transport.wire.codec import encode_for_log
from transport.wire.vocabulary import Vocabulary
from understudy.wire.codes import ERRORS as ERRORS  # which registers them
from understudy.wire.commands import CHECKS, COMMANDS, UNTYPED
from understudy.wire.events import EVENTS, Envelope

VOCABULARY: Final = Vocabulary(EVENTS, COMMANDS, CHECKS, Envelope, UNTYPED)

to_log: Final = encode_for_log
parse_frame: Final = VOCABULARY.parser.parse_frame
parse_command: Final = VOCABULARY.parser.parse_command


def from_log(body: bytes) -> Envelope:
    """Return the event that `to_log` encoded, with its time to the millisecond. Raises UnreadableEvent."""
    return cast("Envelope", VOCABULARY.read_event(body))
