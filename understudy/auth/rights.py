"""What the roles of a token allow beyond a user's own data. Pure.

1. `server_operator` is for the whole server. `operator` is for the users of the token's own tenant.
2. On a server without tenants all users are those of one organisation: `operator` is for the whole server there.
3. A role counts only while a token with it is asked with; rights are stored nowhere.
"""

from collections.abc import Callable, Collection
from typing import Final, TypeAlias

from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy.storage.tenancy import tenant_of

OPERATOR: Final = "operator"
SERVER_OPERATOR: Final = "server_operator"

Whose: TypeAlias = Callable[[str], bool]
"""Says of an owner (`understudy.storage.tenancy`) whether they are meant."""


def everybody(_owner: str) -> bool:
    """Mean every user of the server."""
    return True


@frozen
class Rights:
    """The rights of one request. `server`: over the whole server; `users`: over the users of `tenant`.

    `tenants` says whether the server has tenants. `tenant` None stands for the users without one.
    """

    server: bool
    users: bool
    tenant: str | None
    tenants: bool

    def check_server(self) -> None:
        """Refuse a request that only an operator of the server may make.

        Raises:
            CommandRejected: It is not one (`forbidden`); the sentence names the role.
        """
        if not self.server:
            role = SERVER_OPERATOR if self.tenants else OPERATOR
            raise CommandRejected("forbidden", f"That needs the role {role}.")

    def check_users(self) -> None:
        """Refuse a request that only an operator may make, be it of the server or of a tenant.

        Raises:
            CommandRejected: It is neither (`forbidden`).
        """
        if not self.users:
            raise CommandRejected("forbidden", f"That needs the role {OPERATOR}.")

    def reach(self, tenant: str | None) -> str | None:
        """Return the tenant that a request for `tenant` concerns, or for the asker's own if it names none.

        Raises:
            CommandRejected: The asker is no operator, or one of another tenant (`forbidden`).
        """
        self.check_users()
        if self.server:
            return tenant
        if tenant not in (None, self.tenant):
            raise CommandRejected("forbidden", f"That needs the role {SERVER_OPERATOR}: it is another tenant's.")
        return self.tenant

    def whose(self, tenant: str | None = None) -> Whose:
        """Return which users a request concerns: those of `tenant`; if it names none, all that the asker may reach.

        Raises:
            CommandRejected: As `reach`.
        """
        reached = self.reach(tenant)
        if self.server and tenant is None:
            return everybody
        return lambda owner: tenant_of(owner) == reached


def rights_of(owner: str, roles: Collection[str], *, tenants: bool) -> Rights:
    """Return the rights of somebody who asks with these roles; `tenants`: whether the server has tenants."""
    server = SERVER_OPERATOR in roles or (OPERATOR in roles and not tenants)
    return Rights(server, server or OPERATOR in roles, tenant_of(owner), tenants)
