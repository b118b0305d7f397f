import copy
import inspect
import pickle
import re

import pytest

from transport.wire import errors
from transport.wire.codes import CLOSES
from transport.wire.errors import (
    CommandRejected,
    FetchFailed,
    KeySetInvalid,
    OriginRefused,
    SocketClosed,
    TransportError,
    Unauthenticated,
    UnknownEndpoint,
    UnknownKey,
    UnreadableEvent,
    UnsupportedData,
    UnusableCertificate,
)
from understudy.client import RunFailed
from understudy.wire.codes import ERRORS

PUBLISHED = [
    "bad_json", "unknown_type", "unknown_agent_type", "pillar_required", "unknown_pillar", "empty_message",
    "message_too_large", "unauthenticated", "token_expired", "forbidden", "not_found", "rate_limited", "busy",
    "agent_timeout", "agent_failed", "tool_failed", "model_unavailable", "storage_unavailable", "run_interrupted",
    "run_cancelled", "stopped", "internal",
]  # fmt: skip


def test_every_published_error_code_is_there() -> None:
    """A code that clients know is never renamed or removed."""
    assert set(PUBLISHED) <= set(ERRORS)


@pytest.mark.parametrize("row", ERRORS.values(), ids=lambda row: row.name)
def test_an_error_row_is_fit_for_a_user(row) -> None:
    """A name that can be a metric's label, a sentence without internals, an HTTP status of a fault."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row.name)
    assert ERRORS[row.name] is row
    assert row.text.endswith(".") or row.name == "pillar_required"
    assert not re.search(r"[/\\]|Error|Exception", row.text)
    assert 400 <= row.http_status < 600


@pytest.mark.parametrize("row", ERRORS.values(), ids=lambda row: row.name)
def test_retryable_codes_agree_with_http(row) -> None:
    """A client's own fault is not worth repeating, a passing one of the server is."""
    assert row.retryable == (row.http_status == 429 or row.http_status >= 500)


def test_every_published_close_code_is_there() -> None:
    """Close codes are the standard's, or of the private range, and say whether to come back."""
    assert {1000, 1001, 1008, 1009, 1011, 1013, 4400, 4401, 4403, 4408, 4429} <= set(CLOSES)
    for number, row in CLOSES.items():
        assert row.number == number
        assert 1000 <= number <= 1014 or 4000 <= number <= 4999
        assert len(row.reason.encode()) <= 123  # RFC 6455 section 5.5: a control frame has 125 bytes, 2 are the code
    assert {number for number, row in CLOSES.items() if row.reconnect} == {1001, 1011, 1013, 4408, 4429}


def test_the_tables_cannot_be_changed() -> None:
    for table in (ERRORS, CLOSES):
        with pytest.raises(TypeError):
            table["x"] = None


RAISED = [
    (CommandRejected("busy", "Wait."), "Wait.", ValueError),
    (CommandRejected("rate_limited", "Wait.", 2.5), "Wait.", ValueError),
    (UnsupportedData(), "A binary frame must hold JSON as UTF-8.", ValueError),
    (Unauthenticated("token_expired", "Renew it."), "Renew it.", PermissionError),
    (OriginRefused("https://evil.example"), "That page may not connect to this server.", PermissionError),
    (UnknownEndpoint("/nowhere"), "There is no socket at that path.", LookupError),
    (RunFailed("agent_failed", "It broke.", "e-1", True, 2.5), "It broke.", RuntimeError),
    (UnreadableEvent("damaged"), "damaged", ValueError),
    (UnusableCertificate("cert.pem has expired"), "cert.pem has expired", ValueError),
    (UnknownKey("unauthenticated"), "You are not signed in, or the session has ended.", PermissionError),
    (KeySetInvalid("it holds no keys"), "it holds no keys", ValueError),
    (FetchFailed("idp.example", "it answers 404"), "idp.example: it answers 404", OSError),
    (SocketClosed(1001, "bye"), "closed with 1001: bye", ConnectionError),
    (SocketClosed(1006), "closed with 1006", ConnectionError),
]


@pytest.mark.parametrize(("error", "sentence", "kin"), RAISED, ids=lambda value: type(value).__name__)
def test_an_error_prints_its_sentence_and_survives_travel(error, sentence, kin) -> None:
    """It prints as its sentence, is caught as the built-in it resembles, and is whole after pickling and copying."""
    assert str(error) == sentence
    assert isinstance(error, kin)
    assert isinstance(error, TransportError)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == sentence
        assert vars(again) == vars(error)


def test_every_error_is_tried_above() -> None:
    declared = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, TransportError) and kind is not TransportError
    }
    assert declared | {RunFailed} == {type(error) for error, _, _ in RAISED}
