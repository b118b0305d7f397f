"""Where arguments come from: a clause of the request, the request around it, and its files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from understudy.models.model import FileCard
from understudy.models.offline.columns import Roles, find_roles
from understudy.models.offline.request import Request

# What stands for an argument that the request does not give.
MISSING: Final = object()

_TABLES: Final = (".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson", ".parquet")


@define
class Source:
    """Where arguments come from: the clause that asks for the tool, the request around it, and what is used up."""

    clause: str
    request: Request
    used: set[str] = field(factory=set)

    @property
    def texts(self) -> tuple[str, ...]:
        """The places to look, nearest first."""
        return tuple(dict.fromkeys((self.clause, self.request.instruction, self.request.near)))

    def first(self, find: Callable[[str], Sequence[str]]) -> Any:
        """The first thing found that no other parameter has taken."""
        for text in self.texts:
            for each in self.request.look(find, text):
                if each not in self.used:
                    self.used.add(each)
                    return each
        return MISSING

    def table(self) -> FileCard | None:
        """The attached table that is meant: the one that is named, else the only or latest one."""
        return named_file([each for each in self.request.files if is_table(each)], self.request.near)

    def roles(self) -> Roles:
        """The columns the clause speaks of; where it speaks of none, those of the whole request."""
        table = self.table()
        columns = table.columns if table is not None and table.columns else ()
        found = (self.request.look(find_roles, text, columns) for text in self.texts)
        return next((each for each in found if each.mentioned), Roles())


def is_table(card: FileCard) -> bool:
    """Whether a file is a table, as far as its card tells."""
    return card.columns is not None or card.name.lower().endswith(_TABLES)


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without the "or null": the first alternative that is not null, with what stands beside it."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**options[0], **rest} if options else rest


def named_file(cards: list[FileCard], text: str) -> FileCard | None:
    """The file whose name or id stands in a text; the latest one when none does."""
    lower = text.lower()
    for each in cards:
        if each.name and (each.name.lower() in lower or each.id in text):
            return each
    return cards[-1] if cards else None
