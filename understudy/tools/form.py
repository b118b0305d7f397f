"""Forms: a tool asks its user for the fields of a class, by a question with a JSON schema. Pure."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import attrs
import msgspec
from attrs import field, frozen

from understudy.tools.foreign import is_foreign
from understudy.tools.result import to_json
from understudy.tools.schema import Misfit, Secret, Unsupported, members_of, schema_of, structure

T = TypeVar("T")

SECRET: Final = "password"  # noqa: S105 - a format
"""The format of a secret text in a JSON schema; Pydantic writes it for `SecretStr`."""

_NAMED = re.compile(r"in ([\w.\[\]]+), (.+)\Z")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_+")


@frozen
class Question:
    """A question to a user: a title, an optional text, and the JSON schema of the answer, which is an object.

    `choices` are values of the answer's only property `choice`, each with its `title`. `sign_in` names an MCP server at
    which the user is to sign in; the answer has no properties then.
    """

    title: str
    schema: Mapping[str, Any] = field(repr=False)
    text: str = field(default="", repr=False)
    choices: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    sign_in: str | None = None


def secret_fields(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the fields of an answer whose values are secret: texts of format ``password``."""
    properties = schema.get("properties", {})
    return frozenset(
        name
        for name, member in properties.items()
        if any(variant.get("format") == SECRET for variant in (member, *member.get("anyOf", ())))
    )


def _hides_secrets(schema: Any) -> bool:
    """Return whether a schema has a secret value at any level."""
    if isinstance(schema, Mapping):
        return schema.get("format") == SECRET or any(map(_hides_secrets, schema.values()))
    return isinstance(schema, list) and any(map(_hides_secrets, schema))


def form_question(form: type, title: str = "", text: str = "") -> Question:
    """Return the question that asks for the fields of a class.

    `title` defaults to the class's name, `text` to its docstring. Every field gets a `title`, made of its name, and its
    default.

    Raises:
        TypeError: The class has no schema of an object, or a secret field inside another field.
    """
    try:
        schema = schema_of(form)
    except Unsupported as error:
        raise TypeError(f"{form!r} is no form: {error}") from None
    if schema.get("type") != "object" or "properties" not in schema:
        raise TypeError(f"{form!r} is no form: ask for a class with fields")
    secrets = secret_fields(schema)
    defaults = {} if is_foreign(form) else members_of(form)[1]  # the schema of a foreign class has them already
    if issubclass(form, msgspec.Struct) and Secret in get_type_hints(form, include_extras=True).values():
        raise TypeError(f"{form!r} is no form: a struct cannot have a Secret; use an attrs class or a dataclass")
    properties = {}
    for name, member in schema["properties"].items():
        properties[name] = {"title": _label(name), **member}
        if name in secrets:
            properties[name].pop("default", None)
        elif _hides_secrets(member):
            raise TypeError(f"{form!r} is no form: a secret field stands in the form itself, not within {name!r}")
        elif (default := defaults.get(name, attrs.NOTHING)) is not attrs.NOTHING:
            properties[name].setdefault("default", to_json(default))
    doc = vars(form).get("__doc__") or ""
    if doc.startswith(f"{form.__name__}("):  # what dataclasses write
        doc = ""
    return Question(title or _label(form.__name__), {**schema, "properties": properties}, text or inspect.cleandoc(doc))


def read_answer(form: type[T], answer: Mapping[str, Any]) -> T:
    """Return the answer as an instance of the form.

    Raises:
        Misfit: A field is missing, unknown, or does not fit; the error names the field.
    """
    try:
        made: T = structure(answer, form, "")
    except Misfit as misfit:
        if not misfit.path and (match := _NAMED.match(misfit.text)):  # Pydantic and msgspec name the field in the text
            raise Misfit(match[1], match[2]) from None
        raise
    return made


def describe_misfit(misfit: Misfit) -> str:
    """Return a sentence that says which field of an answer is wrong, and why."""
    name = misfit.path.lstrip(".")
    if str(misfit) in (f"{name.rpartition('.')[2]} is missing", "field required"):
        return f"The field `{name}` is missing."
    return f"The field `{name}` is wrong: {misfit}." if name else f"The answer does not fit: {misfit}."


def _label(name: str) -> str:
    words = " ".join(part for part in _WORD.split(name) if part)
    return words[:1].upper() + words[1:].lower()
