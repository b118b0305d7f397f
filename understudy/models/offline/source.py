"""The source of arguments: a clause of the request, the request around it, and its files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from understudy.models.model import FileCard
from understudy.models.offline.columns import Roles, find_roles
from understudy.models.offline.request import Request

# The value of an argument that the request does not give.
MISSING: Final = object()

_TABLES: Final = (".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson", ".parquet")


@define
class Source:
    """The source of a tool's arguments: the clause that asks for it, the request around it, and the values used."""

    clause: str
    request: Request
    used: set[str] = field(factory=set)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to search, nearest first."""
        return tuple(dict.fromkeys((self.clause, self.request.instruction, self.request.near)))

    def first(self, find: Callable[[str], Sequence[str]]) -> Any:
        """Return the first value found that no other parameter has taken."""
        for text in self.texts:
            for each in self.request.look(find, text):
                if each not in self.used:
                    self.used.add(each)
                    return each
        return MISSING

    def table(self) -> FileCard | None:
        """Return the attached table that the request names, else the only or latest one."""
        return named_file([each for each in self.request.files if is_table(each)], self.request.near)

    def roles(self) -> Roles:
        """Return the columns that the clause mentions; if none, those of the whole request."""
        table = self.table()
        columns = table.columns if table is not None and table.columns else ()
        found = (self.request.look(find_roles, text, columns) for text in self.texts)
        return next((each for each in found if each.mentioned), Roles())


def is_table(card: FileCard) -> bool:
    """Whether a file is a table according to its card."""
    return card.columns is not None or card.name.lower().endswith(_TABLES)


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without "or null": the first alternative that is not null, with the schema's other keywords."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**options[0], **rest} if options else rest


def named_file(cards: list[FileCard], text: str) -> FileCard | None:
    """Return the file whose name or id is in a text, else the latest one."""
    lower = text.lower()
    for each in cards:
        if each.name and (each.name.lower() in lower or each.id in text):
            return each
    return cards[-1] if cards else None
