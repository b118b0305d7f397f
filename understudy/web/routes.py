"""Routes with a description of their requests and answers, from which the OpenAPI document and the docs are generated.

1. A view returns a value of its return type, which is sent as JSON; None is 204. If a view returns a `Response`, its
   description gives the content by `answer` or `media`.
2. Types are described in terms of msgspec: bounds are in `msgspec.Meta`, and a class is described by its docstring.
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
"""Refusals of a route for one object with an id."""
OF_BODY: Final = ("invalid_command", "message_too_large")

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Filled: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
"""A text that must not be empty; the view itself refuses an empty one, with its own sentence."""
JsonObject: TypeAlias = dict[str, Any]
EventFrame: TypeAlias = Annotated[JsonObject, Meta(extra_json_schema={"$ref": "#/components/schemas/Event"})]
"""An event in the canonical dialect; the AsyncAPI document describes it."""

View: TypeAlias = Callable[..., Awaitable[object]]
V = TypeVar("V", bound=View)


class Description(TypedDict, total=False):
    """The description of a view, in addition to its return type and docstring.

    `answer`: the type of the answer, if that is not the return type; `media`: the media type of an answer that is not
    JSON; `or_text`: that of a text that may be answered instead. `also`: further statuses, with a sentence. `form`: the
    media type of a body that is not JSON. `errors`: codes of refusals. `token`: false if no token is needed.
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
    """A route of an application: its method and rule, its endpoint, its view and the view's description."""

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
        """Whether requests need a token."""
        return self.described.get("token", True)

    @property
    def refusals(self) -> Sequence[str]:
        """The codes of refusals, each once: those of the description, and those of a body that is decoded to a type."""
        body, codes = self.described.get("body"), self.described.get("errors", ())
        decodes_body = codes and body not in (None, JsonObject) and "form" not in self.described
        return tuple(dict.fromkeys((*(OF_BODY if decodes_body else ()), *codes)))


class Routes(Blueprint):
    """A blueprint whose views return typed values. `described` has each view and its description by the view's name."""

    def __init__(self, name: str, import_name: str, url_prefix: str | None = None) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix)
        self.described: dict[str, tuple[View, Description]] = {}

    # Unlike quart's own methods these take no options of werkzeug.
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
            answer = _with_response(view, described.get("status", 200))
            slashes = described.get("strict_slashes")
            self.add_url_rule(rule, view.__name__, answer, methods=[method], strict_slashes=slashes)
            return view

        return register


def _with_response(view: View, status: int) -> Callable[..., Awaitable[Response]]:
    @wraps(view)
    async def answer(**parts: str) -> Response:
        value = await view(**parts)
        if isinstance(value, Response):
            return value
        return Response(b"", 204) if value is None else as_json(value, status)

    return answer


def as_json(value: object, status: int = 200) -> Response:
    """Return the response with a value as JSON: mappings become objects, halves of surrogate pairs U+FFFD."""
    try:
        body = json.encode(value, enc_hook=dict)
    except UnicodeEncodeError:
        body = json.encode(replace_surrogates(value))
    return Response(body, status, content_type=JSON)


def up_to(most: int, least: int = 1) -> Any:
    """Return the type of a whole number from `least` to `most`, for a query."""
    return Annotated[int, Meta(ge=least, le=most)]


def shape(name: str, of: type[Any] | None = None, without: Sequence[str] = (), /, **members: Any) -> Any:
    """Make the type `name` of an object with the columns of the row type `of` and further `members`. A member may be
    absent if `UNSET` may be its value."""
    hints = {} if of is None else get_type_hints(of, include_extras=True)
    fields = [(member, hint) for member, hint in hints.items() if member not in without]
    fields += [(member, hint, *[UNSET] * (UnsetType in get_args(hint))) for member, hint in members.items()]
    return defstruct(name, fields, kw_only=True)


def some_of(name: str, of: type[Any]) -> Any:
    """Make the type `name` of an object with the members of another type, each of which may be absent."""
    return shape(name, **{member: hint | UnsetType for member, hint in get_type_hints(of, include_extras=True).items()})


def any_of(*kinds: type[Any]) -> Meta:
    """Mark an object as one of these types. They have no tag, so msgspec itself could not make a union of them."""
    _, components = json.schema_components(kinds)
    return Meta(extra_json_schema={"anyOf": [components[kind.__name__] for kind in kinds]})


def many(kind: Any) -> Any:
    """Return the type of a list of `kind`."""
    return GenericAlias(list, kind)


def choice(texts: Sequence[str]) -> Any:
    """Return the type of a text that is one of `texts`, for a query."""
    return Annotated[str, Meta(extra_json_schema={"enum": list(texts)})]


def routes_of(app: Quart) -> list[HttpRoute]:
    """List the routes of an application, except those of plain blueprints, which have no description."""
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
    """Mark a type as described by the document at `url`."""
    return Meta(extra_json_schema={"externalDocs": {"url": url}})


PAGE: Final[Mapping[str, Any]] = {"cursor": str, "limit": up_to(200)}
"""The query of a route that answers in pages."""
