"""Routes that say beside their view what it reads and answers: the OpenAPI document and the docs are made from that.

1. A view returns a value of its return type, which is sent as JSON; None is 204. Of a view that returns a `Response`,
   `answer` or `media` says what is in it.
2. Types have the terms of msgspec: bounds are in `msgspec.Meta`, and the docstring of a class is its description.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from types import GenericAlias
from typing import Annotated, Any, Final, TypeAlias, TypedDict, TypeVar, Unpack, get_args, get_type_hints

from attrs import frozen
from msgspec import UNSET, Meta, UnsetType, defstruct, json
from quart import Blueprint, Quart, Response

from transport.wire.codec import replace_surrogates

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
BY_ITSELF: Final = frozenset({"HEAD", "OPTIONS"})
"""Methods that quart answers for every route."""
STORED: Final = ("storage_unavailable", "internal")
"""Refusals of a route that reads or writes the database."""
OF_ONE: Final = ("invalid_command", "not_found", *STORED)
"""Refusals of a route about one thing with an id."""
OF_BODY: Final = ("invalid_command", "message_too_large")

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Filled: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
"""A text of which a sentence of its own says that it is empty."""
JsonObject: TypeAlias = dict[str, Any]
EventFrame: TypeAlias = Annotated[JsonObject, Meta(extra_json_schema={"$ref": "#/components/schemas/Event"})]
"""An event in the canonical dialect, as the AsyncAPI document has it."""

View: TypeAlias = Callable[..., Awaitable[object]]
V = TypeVar("V", bound=View)


class Description(TypedDict, total=False):
    """What a view does not say itself.

    `answer`: the type of its answer, if that is not its return type; `media` is the media type of one that is not JSON,
    `or_text` that of a text which may be answered instead. `also`: further statuses, with a sentence.
    `form`: the media type of a body that is not JSON. `errors`: codes of refusals. `token`: false if none is needed.
    """

    status: int
    answer: Any
    media: str
    or_text: str
    also: Mapping[int, str]
    body: Any
    form: str
    query: Mapping[str, Any]
    headers: Mapping[str, Any]
    errors: Sequence[str]
    token: bool
    strict_slashes: bool


@frozen
class HttpRoute:
    """A route of an application: its method and rule, its endpoint, its view and what it says beside that."""

    method: str
    rule: str
    endpoint: str
    view: View
    described: Description

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it: `/api/files/{file_id}`."""
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.rule)

    @property
    def summary(self) -> str:
        """The first paragraph of the view's docstring."""
        return " ".join((inspect.getdoc(self.view) or "").partition("\n\n")[0].split())

    @property
    def answer(self) -> Any:
        """The type of a JSON answer; None if there is none."""
        if "media" in self.described:
            return None
        returned = get_type_hints(self.view, include_extras=True)["return"]
        return self.described.get("answer", None if returned is type(None) else returned)

    @property
    def token(self) -> bool:
        """Whether it needs a token."""
        return self.described.get("token", True)

    @property
    def refusals(self) -> Sequence[str]:
        """All codes, each once: its own, with those of a body that is read as a type of this server."""
        body, codes = self.described.get("body"), self.described.get("errors", ())
        reads = codes and body not in (None, JsonObject) and "form" not in self.described
        return tuple(dict.fromkeys((*(OF_BODY if reads else ()), *codes)))


class Routes(Blueprint):
    """A blueprint whose views answer typed values. `described` has each view by its name, with what it says."""

    def __init__(self, name: str, import_name: str, url_prefix: str | None = None) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix)
        self.described: dict[str, tuple[View, Description]] = {}

    # Options of werkzeug are not passed on, which the type of quart's own methods allows.
    def get(self, rule: str, **described: Unpack[Description]) -> Callable[[V], V]:  # type: ignore[override]
        """Register a view of GET requests."""
        return self._on("GET", rule, described)

    def post(self, rule: str, **described: Unpack[Description]) -> Callable[[V], V]:  # type: ignore[override]
        """Register a view of POST requests."""
        return self._on("POST", rule, described)

    def put(self, rule: str, **described: Unpack[Description]) -> Callable[[V], V]:  # type: ignore[override]
        """Register a view of PUT requests."""
        return self._on("PUT", rule, described)

    def patch(self, rule: str, **described: Unpack[Description]) -> Callable[[V], V]:  # type: ignore[override]
        """Register a view of PATCH requests."""
        return self._on("PATCH", rule, described)

    def delete(self, rule: str, **described: Unpack[Description]) -> Callable[[V], V]:  # type: ignore[override]
        """Register a view of DELETE requests."""
        return self._on("DELETE", rule, described)

    def _on(self, method: str, rule: str, described: Description) -> Callable[[V], V]:
        def register(view: V) -> V:
            self.described[view.__name__] = view, described
            answering = _answering(view, described.get("status", 200))
            slashes = described.get("strict_slashes")
            self.add_url_rule(rule, view.__name__, answering, methods=[method], strict_slashes=slashes)
            return view

        return register


def _answering(view: View, status: int) -> Callable[..., Awaitable[Response]]:
    @wraps(view)
    async def answer(**parts: str) -> Response:
        value = await view(**parts)
        if isinstance(value, Response):
            return value
        return Response(b"", 204) if value is None else as_json(value, status)

    return answer


def as_json(value: object, status: int = 200) -> Response:
    """Answer with a value as JSON: read-only mappings as objects, halves of surrogate pairs as U+FFFD."""
    try:
        body = json.encode(value, enc_hook=dict)
    except UnicodeEncodeError:
        body = json.encode(replace_surrogates(value))
    return Response(body, status, content_type=JSON)


def up_to(most: int, least: int = 1) -> Any:
    """Return the type of a whole number within these bounds, for a query."""
    return Annotated[int, Meta(ge=least, le=most)]


def shape(name: str, of: type[Any] | None = None, without: Sequence[str] = (), /, **members: Any) -> Any:
    """Return the type `name` of an object: with the columns of a row, and these members, absent or not if `UNSET` may
    be their value."""
    hints = {} if of is None else get_type_hints(of, include_extras=True)
    fields = [(member, hint) for member, hint in hints.items() if member not in without]
    fields += [(member, hint, *[UNSET] * (UnsetType in get_args(hint))) for member, hint in members.items()]
    return defstruct(name, fields, kw_only=True)


def some_of(name: str, of: type[Any]) -> Any:
    """Return the type `name` of an object with some of the members of another."""
    return shape(name, **{member: hint | UnsetType for member, hint in get_type_hints(of, include_extras=True).items()})


def any_of(*kinds: type[Any]) -> Meta:
    """Mark an object as one of these types, which have no tag by which msgspec could tell them apart."""
    _, components = json.schema_components(kinds)
    return Meta(extra_json_schema={"anyOf": [components[kind.__name__] for kind in kinds]})


def many(kind: Any) -> Any:
    """Return the type of a list."""
    return GenericAlias(list, kind)


def choice(texts: Sequence[str]) -> Any:
    """Return the type of a text that is one of these, for a query."""
    return Annotated[str, Meta(extra_json_schema={"enum": list(texts)})]


def routes_of(app: Quart) -> list[HttpRoute]:
    """List every route of an application but those of plain blueprints, which some extensions of others have."""
    listed = []
    for rule in app.url_map.iter_rules():
        blueprint, _, name = rule.endpoint.partition(".")
        routes = app.blueprints[blueprint]
        if not isinstance(routes, Routes):
            continue
        view, described = routes.described[name]
        methods = sorted((rule.methods or set()) - BY_ITSELF)
        listed += [HttpRoute(method, rule.rule, rule.endpoint, view, described) for method in methods]
    return listed


def documented_at(url: str) -> Meta:
    """Mark a type as one that is described elsewhere."""
    return Meta(extra_json_schema={"externalDocs": {"url": url}})


PAGE: Final[Mapping[str, Any]] = {"cursor": str, "limit": up_to(200)}
"""The query of a route that answers in pages."""
