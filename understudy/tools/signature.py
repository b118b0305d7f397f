"""Reads a function's signature and docstring as the parameters of a tool, and whether its result can be JSON."""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from understudy.tools.errors import InvalidResult
from understudy.tools.foreign import is_foreign
from understudy.tools.parameters import plain_parameters
from understudy.tools.result import PLAIN, ToolResult, is_of_arrays, to_json
from understudy.tools.schema import Misfit, Unsupported, is_plain, schema_of, structure

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

    `summary` is all prose of the docstring before its first section. `method`: the first parameter takes the instance,
    and is not in the schema. `plain`: no code of the tool's author takes part in the check of arguments. `defaults` are
    the defaults that are JSON; they are converted like arguments, for example a text to an enum. `yields`: the function
    is a generator.
    """

    schema: Mapping[str, Any]
    summary: str
    context: str | None
    types: Mapping[str, Any] = field(repr=False)
    required: tuple[str, ...] = field(repr=False)
    method: bool = False
    plain: bool = True
    defaults: Mapping[str, Any] = field(factory=dict, repr=False)
    yields: bool = False


def plain_function(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, with annotations and docstring, of a callable: a method, a partial, or an instance.

    Raises TypeError if the callable has none.
    """
    function: Any = target
    while isinstance(function, functools.partial):
        function = function.func
    if callable(function) and not inspect.isroutine(function) and not isinstance(function, type):
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function):
        raise TypeError(f"@tool needs a function, not {target!r}; wrap it in a def with annotated parameters")
    return function


def read_parameters(function: Callable[..., Any], context_type: type) -> Parameters:
    """Read a callable's signature and docstring.

    Raises TypeError, with a remedy, for parameters that a schema cannot describe, or a result that cannot be JSON.
    """
    plain = plain_function(function)
    name = plain.__name__
    summary, descriptions = _read_docstring(plain.__doc__)
    try:
        annotations = get_type_hints(plain, include_extras=True)
    except NameError as error:
        raise _unknown(name, error) from error
    properties: dict[str, Any] = {}
    types: dict[str, Any] = {}
    required: list[str] = []
    defaults: dict[str, Any] = {}
    context: str | None = None
    parameters = list(inspect.signature(function).parameters.values())
    if method := _is_method(function, parameters, annotations):
        del parameters[0]
    bound = function.keywords if isinstance(function, functools.partial) else {}
    for parameter in parameters:
        if parameter.name in bound:
            continue
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
        elif parameter.default == schema["default"]:
            defaults[parameter.name] = schema["default"]
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    try:
        schema, _ = plain_parameters(whole | {"required": list(properties)})  # so that a bad name is an error
    except ValueError as error:
        raise TypeError(f"{name}: {error}; rename it") from None
    schema["required"] = required
    if "return" in annotations:
        _check_result(name, get_type_hints(plain)["return"], ())
    without_code = all(map(is_plain, types.values()))
    yields = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
    return Parameters(schema, summary, context, types, tuple(required), method, without_code, defaults, yields)


def _is_method(
    function: Callable[..., Any], parameters: list[inspect.Parameter], annotations: Mapping[str, Any]
) -> bool:
    """Return whether a function is defined in a class, and takes the instance as its first, unannotated parameter."""
    if not inspect.isfunction(function) or not parameters or parameters[0].name in annotations:
        return False
    scope = function.__qualname__.rpartition(".")[0]
    return bool(scope) and not scope.endswith("<locals>")


def _check_result(function: str, annotation: Any, within: tuple[Any, ...]) -> None:
    """Check that values of a type can be JSON, as far as the type says. Raises TypeError."""
    origin, parts = get_origin(annotation) or annotation, get_args(annotation)
    if any(annotation is outer for outer in within) or origin is ToolResult or is_foreign(origin):
        return
    if typing.is_typeddict(origin) or attrs.has(origin) or dataclasses.is_dataclass(origin):
        try:
            parts = tuple(get_type_hints(origin).values())
        except NameError:
            return
    elif not _may_be_json(origin):
        shown = origin.__name__ if isinstance(origin, type) else str(origin)
        raise TypeError(
            f"{function} returns {shown}, which cannot be written as JSON; return text, numbers, a list, a dict, a "
            "dataclass, an attrs class, a Pydantic model or a ToolResult"
        )
    for part in parts:
        if isinstance(part, type) or get_args(part):
            _check_result(function, part, (*within, annotation))


def _may_be_json(kind: Any) -> bool:
    """Return whether values of a class, or of a subclass, may become JSON; True for anything that is no class."""
    if not isinstance(kind, type) or kind in (Any, object, types.UnionType) or inspect.isabstract(kind):
        return True
    if issubclass(kind, bytes | bytearray | memoryview):  # even if a library has a subclass with fields
        return False
    if getattr(kind, "_is_protocol", False) or issubclass(kind, (*PLAIN, ToolResult)) or is_of_arrays(kind):
        return True
    has_fields = is_foreign(kind) or attrs.has(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "keys")
    return has_fields or any(map(_may_be_json, type.__subclasses__(kind)))


def _annotation(function: str, parameter: inspect.Parameter, annotations: Mapping[str, Any]) -> Any:
    if parameter.kind not in _NAMED:
        shown = _STARS.get(parameter.kind, "")
        remedy = "take a list or a dict parameter instead" if shown else "take away the '/'"
        raise TypeError(f"{function}({shown}{parameter.name}): a tool's parameters are given by name; {remedy}")
    if parameter.name not in annotations:
        raise TypeError(f"{function}({parameter.name}) has no annotation; write its type, as in {parameter.name}: str")
    return annotations[parameter.name]


def _unknown(owner: str, error: NameError) -> TypeError:
    """Return the error for an annotation of a function, or of the fields of a class that the function takes."""
    return TypeError(
        f"an annotation of {owner} names {error.name!r}, which its module does not know; "
        "define or import it at the top of the module, not inside a function or under TYPE_CHECKING"
    )


def _property(function: str, parameter: inspect.Parameter, annotation: Any) -> dict[str, Any]:
    try:
        schema = schema_of(annotation)
    except Unsupported as error:
        raise TypeError(f"{function}({parameter.name}): {error}") from None
    except NameError as error:
        raise _unknown(f"{function}({parameter.name})", error) from error
    if parameter.default is inspect.Parameter.empty:
        return schema
    try:
        default = to_json(parameter.default)
        structure(default, annotation, parameter.name)
    except (Misfit, InvalidResult) as error:
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
    summary = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())
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
        descriptions.setdefault(entry[1], " ".join(word for word in words if word))
    return summary, descriptions


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
