"""The end of a sign-in at another server: a check of the path it leads to, and plain pages for returning browsers."""

import logging
from html import escape
from typing import Final

from quart import Response

from understudy.observe.logs import new_error_id
from understudy.web.context import public_path
from understudy.wire.codes import ERRORS

log = logging.getLogger(__name__)

MAX_PATH: Final = 1000


def is_own_path(path: str) -> bool:
    """Return whether every browser takes this for a path of the present origin, so that it cannot lead elsewhere."""
    plain = path.isascii() and path.isprintable() and " " not in path and "\\" not in path and len(path) <= MAX_PATH
    return plain and path.startswith("/") and not path.startswith("//")


def way_back_page(code: str, sentence: str, again: str = "") -> Response:
    """Return a plain page for a returning browser. `code` is an error code, empty after a success.

    `again`: the path that starts the sign-in again, without the prefix of the public address.
    """
    title, status, note = "Signed in", 200, ""
    if code:
        error_id, status, title = new_error_id(), ERRORS[code].http_status, "The sign-in failed"
        note = f"<p><small>{escape(code)} · {escape(error_id)}</small></p>"
        note += f'<p><a href="{escape(public_path(again))}">Sign in again</a></p>' if again else ""
        log.info("sign_in.refused", extra={"code": code, "error_id": error_id})
    home = escape(public_path("/"))
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><h1>{title}</h1><p>{escape(sentence)}</p>{note}"
        f'<p><a href="{home}">Back to the chat</a></p>'
    )
    return Response(body, status=status, content_type="text/html; charset=utf-8")
