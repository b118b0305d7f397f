"""What A2A's methods are given: the messages of its specification, as far as this server reads them."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct

from understudy.extensions.a2a.errors import A2aError

OPAQUE: Final = frozenset({"data", "metadata"})
"""Fields whose values are the client's own."""
HistoryLength = Annotated[int, Meta(ge=0)] | None


class Params(Struct, rename="camel"):
    """An object of the protocol. Unknown fields are left aside, as its section 5.7 asks."""


P = TypeVar("P", bound=Params)


def read(given: Any, kind: type[P]) -> P:
    """Return what a method is given. Raises A2aError."""
    try:
        return msgspec.convert({} if given is None else _named(given), kind)
    except msgspec.ValidationError as error:
        raise A2aError("INVALID_PARAMS", f"The params do not fit: {error}.") from None


def _named(given: Any) -> Any:
    """Return fields by their names in JSON: parsers of ProtoJSON take those of the .proto file (`task_id`) as well."""
    if isinstance(given, dict):
        return {_camel(name): value if name in OPAQUE else _named(value) for name, value in given.items()}
    return [_named(item) for item in given] if isinstance(given, list) else given


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


class Part(Params):
    """A text, a value, or a file."""

    text: str | None = None
    data: Any = UNSET
    raw: str | None = None
    url: str | None = None
    media_type: str | None = None


class A2aMessage(Params):
    """A message of a client."""

    message_id: str
    parts: list[Part]
    context_id: str | None = None
    task_id: str | None = None
    metadata: dict[str, Any] | None = None


class PushConfig(Params):
    """Where a client wants to be told of a task."""

    url: str
    id: str | None = None
    task_id: str | None = None
    token: str | None = None
    authentication: dict[str, str] | None = None


class Configuration(Params):
    """How a client wants to be answered."""

    history_length: HistoryLength = None
    return_immediately: bool | None = None
    task_push_notification_config: PushConfig | None = None


class SendMessage(Params):
    """A message, with its configuration."""

    message: A2aMessage
    configuration: Configuration | None = None


class OfTask(Params):
    """A task by its id."""

    id: str
    history_length: HistoryLength = None


class OfPush(Params):
    """The push notification configs of a task, or one of them."""

    task_id: str
    id: str = ""


class ListTasks(Params):
    """Which tasks are wanted. A timestamp has a zone, as RFC 3339 demands."""

    context_id: str | None = None
    status: Literal[
        "TASK_STATE_UNSPECIFIED", "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED",
        "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_REJECTED",
        "TASK_STATE_AUTH_REQUIRED",
    ] = "TASK_STATE_UNSPECIFIED"  # fmt: skip
    page_size: Annotated[int, Meta(ge=1, le=100)] | None = None
    page_token: str | None = None
    history_length: HistoryLength = None
    status_timestamp_after: Annotated[datetime, Meta(tz=True)] | None = None
    include_artifacts: bool | None = None
