"""Acts of users and operators. Each is announced before it happens, so that an extension can store who did what.

1. A record is committed before its act begins. So an act whose record could not be stored does not happen, and a
   record may stand for an act that failed or found nothing to do.
2. Without an extension that stores them nothing is recorded, and acts happen.
3. A deed has the names of users, roles, tools and agents, and ids that this server made: no text of a user, no name
   that a user or a model made up, and no secret. A `reason` is what an operator wrote, as the content filter leaves it.
"""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import Attribute, field, frozen

from .errors import ChangeRefused, StorageUnavailable, Unstorable

if TYPE_CHECKING:
    from .store import Store

COMMAND_LINE: Final = "command line"
PAGE: Final = "page"
PROVIDER: Final = "provider"
LONGEST: Final = 200
"""Characters of a text in a detail; longer ones are cut."""


class Act:
    """A kind of act, with the members that the detail of its deeds may have. It is a constant of the module that says
    it, and is known once that is imported."""

    known: ClassVar[dict[str, "Act"]] = {}

    def __init__(self, name: str, *members: str) -> None:
        self.name = name
        self.members = frozenset(members)
        self.known[name] = self


def _short(detail: Mapping[str, str | bool]) -> dict[str, str | bool]:
    return {name: value[:LONGEST] if isinstance(value, str) else value for name, value in detail.items()}


@frozen
class Deed:
    """An act that is about to begin. `who` and `target` are keys of owners; `role` is the role that allowed `who` to do
    it, empty for an act that everybody may do.

    `way` is how it came: the door of a command, or a constant of this module; at the command line, `who` is the name of
    the operating system's user. `tenant` is whom it concerns: None for the tenant of the target, or else of `who`.
    """

    act: Act
    who: str
    way: str
    target: str | None = None
    role: str = ""
    tenant: str | None = None
    detail: Mapping[str, str | bool] = field(factory=dict, converter=_short)
    id: str = field(factory=lambda: uuid.uuid4().hex)

    @detail.validator
    def _check_detail(self, _: "Attribute[Any]", detail: Mapping[str, str | bool]) -> None:
        if wrong := detail.keys() - self.act.members:
            raise ValueError(f"a deed of {self.act.name} has no {', '.join(wrong)}")


async def say(store: "Store", deed: Deed) -> None:
    """Have a deed stored, if anything stores deeds. Raises StorageUnavailable, whatever the reason: it must not be."""
    if store.on_act is None:
        return
    try:
        await store.commit(store.on_act(deed))
    except (ChangeRefused, Unstorable) as error:
        raise StorageUnavailable(f"the audit log cannot be written: {error}") from error
