"""Reads the answer to a question line by line: one field of its schema after the other. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

_YES: Final = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


class WrongEntry(ValueError):
    """A line is no valid value of its field; the text is a sentence for the user."""


@frozen
class FormField:
    """A field of a form. `schema` is that of its values except null; `nullable`: null is valid too."""

    name: str
    schema: Mapping[str, Any] = field(repr=False)
    required: bool
    nullable: bool

    @property
    def prompt(self) -> str:
        """The field's label, with hints about valid values."""
        hints = [str(self.schema.get("description") or "").removesuffix(".")]
        if options := self.options:
            hints.append(" / ".join(map(_shown, options)))
        elif self.secret:
            hints.append("not shown")
        elif self.schema.get("type") == "boolean":
            hints.append("y or n")
        elif self.schema.get("format") in ("date", "date-time"):
            hints.append("2026-11-20" if self.schema["format"] == "date" else "2026-11-20T06:00")
        elif self.schema.get("type") == "array":
            hints.append("separated by commas")
        elif bounds := self._bounds:
            hints.append(bounds)
        if not self.required:
            default = self.schema.get("default")
            hints.append("optional" if default in (None, "") else f"else {_shown(default)}")
        label = str(self.schema.get("title") or self.name)
        return f"{label} ({'; '.join(hint for hint in hints if hint)})" if any(hints) else label

    @property
    def options(self) -> Sequence[Any]:
        """The values of a choice; empty for other fields."""
        options: Sequence[Any] = self.schema.get("enum", ())
        return options

    @property
    def secret(self) -> bool:
        """Whether the value is hidden as it is entered."""
        return self.schema.get("format") == "password"

    @property
    def _bounds(self) -> str:
        """The smallest and the largest valid number in words; empty without bounds."""
        least, most = self.schema.get("minimum"), self.schema.get("maximum")
        if least is not None and most is not None:
            return f"{least} to {most}"
        return f"at least {least}" if least is not None else f"at most {most}" if most is not None else ""

    def read(self, line: str) -> Any:
        """Return the value of a line that is not empty. Raises `WrongEntry`."""
        kind = self.schema.get("type")
        if self.options:
            for option in self.options:
                if _shown(option).lower() == line.lower():
                    return option
            raise WrongEntry(f"one of {', '.join(map(_shown, self.options))}, please")
        if kind == "boolean":
            if line.lower() not in _YES:
                raise WrongEntry("y or n, please")
            return _YES[line.lower()]
        if kind in ("integer", "number"):
            try:
                number = int(line) if kind == "integer" else float(line)
            except ValueError:
                raise WrongEntry("a whole number, please" if kind == "integer" else "a number, please") from None
            if not self.schema.get("minimum", number) <= number <= self.schema.get("maximum", number):
                raise WrongEntry(f"{self._bounds}, please")
            return number
        if kind == "string":
            return line
        if kind == "array" and self.schema.get("items", {}).get("type") == "string":
            return [part.strip() for part in line.split(",") if part.strip()]
        try:
            return json.loads(line)
        except ValueError:
            raise WrongEntry("JSON, please") from None


def fields_of(schema: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of the schema of an object, in order."""
    required = schema.get("required", ())
    fields = []
    for name, member in schema.get("properties", {}).items():
        variants = member.get("anyOf", ())
        others = [variant for variant in variants if variant.get("type") != "null"]
        inner = {**member, **others[0]} if len(others) == 1 else member
        fields.append(FormField(name, inner, name in required, len(others) < len(variants)))
    return fields


@define(eq=False)
class FormEntry:
    """The entry of one answer. `answer` has the values so far; it is complete once `current` is None.

    An empty line keeps the value of a field that has one in `values`.
    """

    fields: Sequence[FormField]
    values: Mapping[str, Any] = field(factory=dict)
    answer: dict[str, Any] = field(factory=dict, init=False)
    _at: int = field(default=0, init=False)

    @property
    def current(self) -> FormField | None:
        """The field whose value is entered next."""
        return self.fields[self._at] if self._at < len(self.fields) else None

    @property
    def prompt(self) -> str:
        """The label of the current field, with the value that an empty line keeps; empty at the end."""
        if (current := self.current) is None:
            return ""
        if current.name not in self.values:
            return current.prompt
        return f"{current.prompt} [{'…' if current.secret else _shown(self.values[current.name])}]"

    def enter(self, line: str) -> None:
        """Enter a line as the value of the current field; an empty one leaves an optional field out.

        Raises:
            WrongEntry: The line is no value of that field, which stays the current one.
        """
        current = self.current
        if current is None:
            return
        if line:
            self.answer[current.name] = current.read(line)
        elif current.name in self.values:
            self.answer[current.name] = self.values[current.name]
        elif current.required and current.nullable:
            self.answer[current.name] = None
        elif current.required:
            raise WrongEntry("this is needed; /decline declines to answer")
        self._at += 1

    def restart(self) -> None:
        """Begin again with the first field. An empty line keeps what was entered before."""
        self.values = {**self.values, **self.answer}
        self.answer, self._at = {}, 0


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "n"
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
