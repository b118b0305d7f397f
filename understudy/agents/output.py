"""The type of an agent's final answers: its JSON schema for the model, and the check of what the model wrote. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import frozen

from understudy.models.model import OutputFormat
from understudy.models.think_tags import ThinkTags
from understudy.tools.errors import InvalidResult
from understudy.tools.parameters import fitted, plain_parameters
from understudy.tools.result import to_json
from understudy.tools.schema import Misfit, Unsupported, schema_of, structure
from understudy.tools.written import objects_in, read_or_none

_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_KEPT: Final = frozenset(
    (
        "type", "enum", "const", "anyOf", "items", "properties", "description", "title", "pattern", "multipleOf",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
    )
)  # fmt: skip
_FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
"""Keywords and formats that strict structured output takes. The check has the others too."""


class InvalidOutput(Exception):
    """A model's final answer is not of the agent's output type. `message` is a sentence for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@frozen
class Output:
    """A final answer that fits: `plain` is what the model wrote, `value` the object as JSON, with its defaults."""

    plain: Any
    value: Any

    @property
    def text(self) -> str:
        """The answer as text, which `OutputType.read` takes."""
        return msgspec.json.encode(self.plain).decode()


class OutputType:
    """The type `kind` of final answers: a dataclass, an attrs class, a Pydantic model or a struct of msgspec.

    `schema` is its JSON schema; `format` is that for models, strict if the schema allows it.

    Raises TypeError if the type has no schema, or is not one of an object with named members.
    """

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        try:
            schema = schema_of(kind)
            fits = isinstance(kind, type) and schema.get("type") == "object" and "properties" in schema
            self.schema, _ = plain_parameters(schema) if fits else ({}, "")
        except (Unsupported, ValueError) as error:
            raise TypeError(f"output_type: {error}") from None
        if not fits:
            raise TypeError(
                f"output_type is a class with members (attrs, dataclass, Pydantic), not {kind!r}; give it a member of "
                "that type"
            )
        name = _NAME.sub("_", kind.__name__)[:64]
        try:
            self.format = OutputFormat(name, _strict(self.schema), True)
        except Unsupported:
            self.format = OutputFormat(name, self.schema, False)

    def read(self, text: str) -> Output:
        """Return the answer in a model's text: what fits of the objects in it, if it is one. Raises `Misfit`.

        It may stand behind reasoning or a sentence, or in a fence of Markdown. Validators of the type take part: call
        it in a worker thread.
        """
        tags, whole = ThinkTags(), read_or_none(text)
        values = list(objects_in(tags.feed(text).text + tags.finish().text)) if whole is None else [whole]
        fitting: list[Output] = []
        misfit = Misfit("", "it is not JSON")
        for value in values:
            try:
                output = self._fit(value)
            except Misfit as error:
                misfit = error
            else:
                fitting += [] if output in fitting else [output]
        if len(fitting) > 1:
            raise Misfit("", "there are several answers in it")
        if not fitting:
            raise misfit
        return fitting[0]

    def _fit(self, answer: Any) -> Output:
        plain = fitted(answer, self.schema)
        try:
            return Output(plain, to_json(structure(plain, self.kind, "")))
        except InvalidResult as error:
            raise Misfit("", str(error)) from None


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as strict structured output takes it. Raises Unsupported if that cannot say the same.

    Every member of an object is required there; one with a default may be null instead, and is then left out by `read`.
    """
    unions = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if not (unions or {"type", "enum", "const"} & schema.keys()) or {"prefixItems", "allOf"} & schema.keys():
        raise Unsupported("any value, or one of places")
    strict = {name: value for name, value in schema.items() if name in _KEPT}
    if schema.get("format") in _FORMATS:
        strict["format"] = schema["format"]
    if unions:
        strict["anyOf"] = [_strict(union) for union in unions]
    if schema.get("type") == "array":
        strict["items"] = _strict(schema.get("items", {}))
    if schema.get("type") == "object":
        members = schema.get("properties")
        if members is None or schema.get("additionalProperties"):
            raise Unsupported("members of any name")
        needed = schema.get("required", ())
        strict["properties"] = {
            name: _strict(part) if name in needed or _takes_null(part) else {"anyOf": [_strict(part), {"type": "null"}]}
            for name, part in members.items()
        }
        strict["required"], strict["additionalProperties"] = list(members), False
    return strict


def _takes_null(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or None in schema.get("enum", ()):
        return True
    return any(_takes_null(union) for union in (*schema.get("anyOf", ()), *schema.get("oneOf", ())))
