"""The parameters of A2A's methods: those fields of the specification's messages that this server reads."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct

from understudy.extensions.a2a.errors import A2aError

OPAQUE: Final = frozenset({"data", "metadata"})
"""Fields with JSON of the client's own, whose names are not converted."""
HistoryLength = Annotated[int, Meta(ge=0)] | None


class Params(Struct, rename="camel"):
    """An object of the protocol. Unknown fields are ignored, as section 5.7 of the specification demands."""


P = TypeVar("P", bound=Params)


def read(params: Any, kind: type[P]) -> P:
    """Validate the parameters of a method. Raises A2aError if they do not fit."""
    try:
        return msgspec.convert({} if params is None else _with_camel_names(params), kind)
    except msgspec.ValidationError as error:
        raise A2aError("INVALID_PARAMS", f"The params are not valid: {error}.") from None


def _with_camel_names(value: Any) -> Any:
    """Return JSON with field names in camel case, as ProtoJSON allows those of the .proto file (`task_id`) too."""
    if isinstance(value, dict):
        return {_camel(name): item if name in OPAQUE else _with_camel_names(item) for name, item in value.items()}
    return [_with_camel_names(item) for item in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


class Part(Params):
    """A part of a message: a text, a JSON value, or a file."""

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
    """A push notification config: the URL and the credentials for notifications of a task."""

    url: str
    id: str | None = None
    task_id: str | None = None
    token: str | None = None
    authentication: dict[str, str] | None = None


class Configuration(Params):
    """A client's options for the response to a message."""

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
    """A filter of tasks, and the page to return. A timestamp has a zone, as RFC 3339 demands."""

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
