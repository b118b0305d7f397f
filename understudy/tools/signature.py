"""Reads a function's signature and docstring as the parameters of a tool."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_type_hints

from attrs import field, frozen

from understudy.tools.errors import ToolError
from understudy.tools.result import to_json
from understudy.tools.schema import Misfit, Unsupported, schema_of, structure

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STARS: Final[Mapping[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

# Docstrings of Google and Sphinx style.
_SECTION: Final = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Yields|Raises|Examples?|Notes?|See Also|Attributes|Warnings?):\s*\Z"
)
_PARAMETERS: Final = frozenset({"Args", "Arguments", "Parameters", "Params"})
_GOOGLE: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)\Z")
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)\Z")
_FIELD: Final = re.compile(r":\w+[^:]*:")


@frozen
class Parameters:
    """A function's parameters: their schema, their types, and the name of the parameter that takes the context.

    `summary` is all prose of the docstring before its first section.
    """

    schema: Mapping[str, Any]
    summary: str
    context: str | None
    types: Mapping[str, Any] = field(repr=False)
    required: tuple[str, ...] = field(repr=False)


def read_parameters(function: Callable[..., Any], context_type: type) -> Parameters:
    """Read a function's signature and docstring.

    Raises TypeError, with a sentence saying how to mend it, for parameters that a schema cannot describe.
    """
    name = function.__name__
    summary, descriptions = _read_docstring(function.__doc__)
    try:
        annotations = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"an annotation of {name} names {error.name!r}, which its module does not know; "
            "define or import it at the top of the module, not inside a function or under TYPE_CHECKING"
        ) from error
    properties: dict[str, Any] = {}
    types: dict[str, Any] = {}
    required: list[str] = []
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        annotation = _annotation(name, parameter, annotations)
        if annotation is context_type:
            if context is not None:
                raise TypeError(f"{name} asks for its context twice: as {context!r} and as {parameter.name!r}")
            context = parameter.name
            continue
        schema = _property(name, parameter, annotation)
        if parameter.name in descriptions:
            schema.setdefault("description", descriptions[parameter.name])
        properties[parameter.name] = schema
        types[parameter.name] = annotation
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Parameters(whole, summary, context, types, tuple(required))


def _annotation(function: str, parameter: inspect.Parameter, annotations: Mapping[str, Any]) -> Any:
    if parameter.kind not in _NAMED:
        shown = _STARS.get(parameter.kind, "")
        mend = "take a list or a dict parameter instead" if shown else "take away the '/'"
        raise TypeError(f"{function}({shown}{parameter.name}): a tool's parameters are given by name; {mend}")
    if parameter.name not in annotations:
        raise TypeError(f"{function}({parameter.name}) has no annotation; write its type, as in {parameter.name}: str")
    return annotations[parameter.name]


def _property(function: str, parameter: inspect.Parameter, annotation: Any) -> dict[str, Any]:
    try:
        schema = schema_of(annotation)
    except Unsupported as error:
        raise TypeError(f"{function}({parameter.name}): {error}") from None
    if parameter.default is inspect.Parameter.empty:
        return schema
    try:
        default = to_json(parameter.default)
        structure(default, annotation, parameter.name)
    except (Misfit, ToolError) as error:
        raise TypeError(
            f"{function}({parameter.name}) has a default, {parameter.default!r}, that is not of its own type: {error}; "
            "change the default or widen the annotation (for None: `… | None`)"
        ) from None
    return {**schema, "default": default}


def _read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the prose before the first section, paragraphs kept apart, and the descriptions of parameters."""
    lines = inspect.cleandoc(text or "").splitlines()
    starts = [number for number, line in enumerate(lines) if _SECTION.match(line) or _FIELD.match(line)]
    first = starts[0] if starts else len(lines)
    paragraphs = "\n".join(lines[:first]).strip().split("\n\n")
    summary = "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip())
    descriptions: dict[str, str] = {}
    section, index = "", first
    while index < len(lines):
        line = lines[index]
        index += 1
        if heading := _SECTION.match(line):
            section = heading[1]
            continue
        entry = _SPHINX.match(line) or (_GOOGLE.match(line.strip()) if section in _PARAMETERS else None)
        if entry is None:
            continue
        words = [entry[2].strip()]
        while index < len(lines) and lines[index].strip() and _indent(lines[index]) > _indent(line):
            words.append(lines[index].strip())
            index += 1
        descriptions.setdefault(entry[1], " ".join(each for each in words if each))
    return summary, descriptions


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
