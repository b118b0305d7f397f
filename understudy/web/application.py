"""Builds the quart-trio application: blueprints, request hooks, and the headers of every answer."""

import json
import re
from functools import cache
from typing import Any, Final, cast

from quart import Blueprint, Response, current_app, formparser, request
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestHeaderFieldsTooLarge
from werkzeug.routing import Rule
from werkzeug.sansio.multipart import Event, MultipartDecoder, NeedData, Preamble, State

from transport.server.http import HSTS
from transport.wire.messages import arrived_at, traceparent
from understudy.installed import ExtensionFault, naming
from understudy.web.admission import Admission, add_cors_headers
from understudy.web.api import (
    account,
    agents,
    commands,
    extensions,
    operations,
    page,
    runs,
    sessions,
    stream,
    tags,
    threads,
    turns,
)
from understudy.web.context import WebContext, web_context
from understudy.web.page_files import Pages
from understudy.web.refusals import as_refusal

NO_DEVICES: Final = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(), "
    "payment=(), usb=(), browsing-topics=()"
)
"""The `Permissions-Policy` of a document that may not use any device."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
        "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types understudy"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": NO_DEVICES,
}
"""OWASP's secure headers for a page that loads everything from its own origin."""


def page_headers(*, voice: bool = False) -> dict[str, str]:
    """Return the headers of every answer. The page may frame its diagrams; `voice`: it may use the microphone."""
    return HEADERS | {
        "Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; frame-src 'self'",
        "Permissions-Policy": NO_DEVICES.replace("microphone=()", "microphone=(self)") if voice else NO_DEVICES,
    }


MAX_HEADER_BYTES: Final = 16 * 1024
"""Bytes of the headers of each part of a multipart body: the same limit as for a request's own headers."""


class LimitedDecoder(MultipartDecoder):
    """Limits the headers of a multipart body's parts: werkzeug's decoder has no limit, and would buffer the whole body.

    Raises RequestHeaderFieldsTooLarge if a part's headers, or the text before the first part, exceed MAX_HEADER_BYTES.
    """

    def next_event(self) -> Event:
        """Return the next event. The buffer is limited while the end of a part's headers is missing."""
        event = super().next_event()
        in_headers = isinstance(event, NeedData) and self.state in (State.PREAMBLE, State.PART)
        pending = self.buffer if in_headers else event.data if isinstance(event, Preamble) else b""
        if len(pending) > MAX_HEADER_BYTES:
            raise RequestHeaderFieldsTooLarge
        return event

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > MAX_HEADER_BYTES:
            raise RequestHeaderFieldsTooLarge
        return super()._parse_headers(data)


def build_http_app(context: WebContext) -> QuartTrio:
    """Build the application for a server with this context."""
    app = QuartTrio("understudy", static_folder=None)
    cast("Any", app.json).sort_keys = False  # keep the fields of a form in the order of the tool's parameters
    cast("Any", formparser).MultipartDecoder = LimitedDecoder  # Quart has no option for it
    app.config["MAX_CONTENT_LENGTH"] = context.settings.limits.chunks_bytes + 64 * 1024
    app.config["BODY_TIMEOUT"] = 120
    app.url_map.merge_slashes = False  # so that a path with `//` is 404, not a redirect page of werkzeug
    app.extensions["context"] = context
    headers = app.extensions["page_headers"] = page_headers(voice=context.settings.page.voice_input)
    admission = app.extensions["admission"] = Admission(context.settings, context.ledger)
    app.before_request(admission.admit_request)
    app.before_request(_note_caller)
    for part in (
        account, agents, commands, extensions, operations, page, runs, sessions, stream,
        tags, threads, turns,
    ):  # fmt: skip
        app.register_blueprint(part.blueprint)
    for extension in context.extensions.values():
        with naming(extension, "routes"):
            for blueprint in extension.routes():
                _register(app, blueprint, extension.name)
    app.extensions["pages"] = Pages(json.dumps(headers))  # the worker keeps the headers with the pages
    app.extensions["health_probes"] = operations.HealthProbes(context)
    app.after_request(_add_headers)
    app.register_error_handler(Exception, as_refusal)
    return app


def _register(app: QuartTrio, blueprint: Blueprint, extension: str) -> None:
    """Add the routes of an extension. Raises ExtensionFault if another route answers requests for one of them."""
    taken = {(_form(rule), method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    patterns = [(_pattern(form), method) for form, method in taken if "<" in form]
    app.register_blueprint(blueprint)
    added = (rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith(f"{blueprint.name}."))
    forms = {(_form(rule), method) for rule in added for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    for path, method in sorted(forms & taken):
        raise ExtensionFault(f"the extension {extension} claims {method} {path}, which there is already; leave it out")
    for path, method in sorted(forms):
        if "<" not in path and any(other == method and pattern.fullmatch(path) for pattern, other in patterns):
            fault = f"claims {method} {path}, which another route with a variable answers already"
            raise ExtensionFault(f"the extension {extension} {fault}; leave it out")


def _form(rule: Rule) -> str:
    """Return the path of a rule without the names of its variables: rules of one form match the same paths."""
    return re.sub(r"<(?:(\w+)(?:\([^<)]*\))?:)?\w+>", lambda match: f"<{match[1] or ''}>", rule.rule)


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """Return the regular expression of the paths that rules of this form match."""
    return re.compile(re.sub(r"<(\w*)>", lambda match: ".+" if match[1] == "path" else "[^/]+", re.escape(form)))


async def _note_caller() -> None:
    traceparent.set(request.headers.get("traceparent"))
    arrived_at.set(web_context().services.clock())


async def _add_headers(answer: Response) -> Response:
    add_cors_headers(answer)
    for name, value in current_app.extensions["page_headers"].items():
        answer.headers.setdefault(name, value)
    if web_context().settings.tls.certificate is not None:  # else a proxy speaks TLS, and decides for its own name
        answer.headers.setdefault(*HSTS)
    if request.path.startswith(("/api/", "/auth")):
        answer.headers.setdefault("Cache-Control", "no-store")
    return answer
