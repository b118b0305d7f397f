"""Converts errors to refusals: the JSON of an error code, or the form that the clients of a route expect."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from quart import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from transport.wire.errors import CommandRejected, OriginRefused, Unauthenticated
from understudy.storage.errors import BadName, FileTooLarge, InvalidCursor, StorageError, StorageUnavailable, Unstorable
from understudy.web.context import drain_body, error_response

log = logging.getLogger(__name__)

STATUS_CODES: Final = {404: "not_found", 413: "file_too_large", 431: "message_too_large", 400: "invalid_command"}


def convert_refusals(blueprint: Blueprint, endpoint: str, convert: Callable[[Response], Awaitable[Response]]) -> None:
    """Convert the refusals of a blueprint's route to the form of its clients. Refusals of a token or an origin are not
    converted: clients recognize them by their status."""

    async def refuse(error: Exception) -> Response:
        answer = await as_refusal(error)
        if request.endpoint != endpoint or isinstance(error, Unauthenticated | OriginRefused):
            return answer
        return await convert(answer)

    blueprint.register_error_handler(Exception, refuse)


async def as_refusal(error: Exception) -> Response:
    """Convert an error to the JSON of its code, without tracebacks, paths or queries."""
    match error:
        case Unauthenticated() | CommandRejected():
            return error_response(error.code, error.message, getattr(error, "retry_after", None))
        case OriginRefused():
            return error_response("forbidden", error.message)
        case FileTooLarge(limit_bytes=limit):
            return error_response("file_too_large", f"Files of up to {limit // (1024 * 1024)} MiB can be attached.")
        case BadName():
            return error_response("invalid_command", f"{str(error).capitalize()}.")
        case InvalidCursor() | Unstorable():
            return error_response("invalid_command", "That cursor or value is not valid here.")
        case StorageUnavailable():
            return error_response("storage_unavailable", retry_after=1.0)
        case MethodNotAllowed():
            answer = error_response("invalid_command", "That address does not take this method.")
            answer.status_code = 405
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # RFC 9110 section 15.5.6
            return answer
        case HTTPException(code=int(status)) if status < 500:
            if status in (413, 431):
                await drain_body()
            return error_response(STATUS_CODES.get(status, "invalid_command"))
    answer = error_response("internal")
    body = await answer.get_json()
    kind = "storage" if isinstance(error, StorageError) else "rest"
    log.error("request.failed", exc_info=error, extra={"kind": kind, "error_id": body["error"]["error_id"]})
    return answer
