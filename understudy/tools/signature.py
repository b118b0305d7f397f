"""Derives a JSON schema from a function's signature, and converts arguments to the function's types."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, get_type_hints

from attrs import field, frozen

from understudy.tools.arguments import Misfit, structure
from understudy.tools.docstring import read_docstring
from understudy.tools.errors import ToolError
from understudy.tools.result import to_json
from understudy.tools.schema import Param, Unsupported, schema_of

__all__ = ["Param", "Parameters", "read_parameters"]

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STARS: Final[Mapping[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


@frozen
class Parameters:
    """A function's parameters: their schema, their types, and the name of the one that takes the context."""

    schema: Mapping[str, Any]
    summary: str
    context: str | None
    _types: Mapping[str, Any] = field(repr=False)
    _required: frozenset[str] = field(repr=False)

    def structure(self, tool_name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them. Raises `ToolError` ``invalid_arguments``."""
        if not isinstance(arguments, Mapping):
            raise ToolError("invalid_arguments", f"{tool_name} takes its arguments by name, as an object.")
        for name in arguments:
            if name not in self._types:
                known = ", ".join(f"`{each}`" for each in self._types) or "nothing"
                raise ToolError("invalid_arguments", f"{tool_name} has no parameter `{name}`; it takes {known}.")
        for name in self._types:
            if name in self._required and name not in arguments:
                raise ToolError("invalid_arguments", f"{tool_name} needs `{name}`, which is missing.")
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            try:
                given[name] = structure(value, self._types[name], name)
            except Misfit as misfit:
                raise ToolError("invalid_arguments", f"{tool_name} cannot take `{misfit.path}`: {misfit}.") from None
        return given


def read_parameters(function: Callable[..., Any], context_type: type) -> Parameters:
    """Read a function's signature and docstring.

    Raises TypeError, with a sentence saying how to mend it, for parameters a schema cannot describe.
    """
    name = function.__name__
    described = read_docstring(function.__doc__)
    annotations = _annotations(function)
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
        if parameter.name in described.parameters:
            schema.setdefault("description", described.parameters[parameter.name])
        properties[parameter.name] = schema
        types[parameter.name] = annotation
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Parameters(whole, described.summary, context, types, frozenset(required))


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"an annotation of {function.__name__} names {error.name!r}, which its module does not know; "
            "define or import it at the top of the module, not inside a function or under TYPE_CHECKING"
        ) from error


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
