"""The rights that a token's roles grant beyond a user's own data. Pure.

1. `server_operator` grants rights over the whole server, `operator` over the users of the token's own tenant.
2. On a server without tenants all users belong to one organisation: `operator` grants rights over the whole server.
3. `server_auditor` and `auditor` have the same scopes, but grant only reading the audit log, which operators may not.
4. A role counts only for requests made with a token that has it; rights are stored nowhere.
"""

from collections.abc import Callable, Collection
from typing import Final, TypeAlias

from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy.storage.owners import tenant_of

OPERATOR: Final = "operator"
SERVER_OPERATOR: Final = "server_operator"
OPERATORS: Final = (SERVER_OPERATOR, OPERATOR)
AUDITOR: Final = "auditor"
SERVER_AUDITOR: Final = "server_auditor"
AUDITORS: Final = (SERVER_AUDITOR, AUDITOR)

Whose: TypeAlias = Callable[[str], bool]
"""A predicate that selects users by the keys of their data (`owner` in `understudy.storage.records`)."""


def everybody(_owner: str) -> bool:
    """Select every user of the server."""
    return True


@frozen
class Rights:
    """The rights of one request: over the whole `server`, and over the `users` of `tenant`; to read the audit log of
    that tenant (`audits`), or all of it (`audits_server`).

    `tenants`: the server has tenants. `tenant` None: the users without a tenant.
    """

    server: bool
    users: bool
    tenant: str | None
    tenants: bool
    audits: bool = False
    audits_server: bool = False

    def check_server(self) -> None:
        """Refuse a request that only an operator of the server may make.

        Raises:
            CommandRejected: The caller is no operator of the server (`forbidden`); the sentence names the role.
        """
        if not self.server:
            role = SERVER_OPERATOR if self.tenants else OPERATOR
            raise CommandRejected("forbidden", f"That needs the role {role}.")

    def check_users(self) -> None:
        """Refuse a request that only an operator of the server or of a tenant may make.

        Raises:
            CommandRejected: The caller is neither (`forbidden`).
        """
        if not self.users:
            raise CommandRejected("forbidden", f"That needs the role {OPERATOR}.")

    def reach(self, tenant: str | None) -> str | None:
        """Return the tenant that a request for `tenant` concerns; for None, the caller's own.

        Raises:
            CommandRejected: The caller is no operator, or one of another tenant (`forbidden`).
        """
        self.check_users()
        if self.server:
            return tenant
        if tenant not in (None, self.tenant):
            raise CommandRejected("forbidden", f"That needs the role {SERVER_OPERATOR}: it is another tenant's.")
        return self.tenant

    def whose(self, tenant: str | None = None) -> Whose:
        """Return a predicate for the users of `tenant`; for None, for all users within the caller's rights.

        Raises:
            CommandRejected: The caller is no operator, or one of another tenant (`forbidden`).
        """
        reached = self.reach(tenant)
        if self.server and tenant is None:
            return everybody
        return lambda owner: tenant_of(owner) == reached

    def audited(self, tenant: str | None) -> tuple[bool, str | None]:
        """Return the part of the audit log that a request for `tenant` concerns, None for all that the caller may read:
        whether it is the whole log, and otherwise the tenant.

        Raises:
            CommandRejected: The caller is no auditor, or one of another tenant (`forbidden`).
        """
        if not self.audits:
            raise CommandRejected("forbidden", f"That needs the role {AUDITOR}.")
        if self.audits_server:
            return tenant is None, tenant
        if tenant not in (None, self.tenant):
            raise CommandRejected("forbidden", f"That needs the role {SERVER_AUDITOR}: it is another tenant's.")
        return False, self.tenant


def rights_of(owner: str, roles: Collection[str], *, tenants: bool) -> Rights:
    """Return the rights of a user with these roles. `tenants`: the server has tenants."""
    server = SERVER_OPERATOR in roles or (OPERATOR in roles and not tenants)
    audits_server = SERVER_AUDITOR in roles or (AUDITOR in roles and not tenants)
    audits = audits_server or AUDITOR in roles
    return Rights(server, server or OPERATOR in roles, tenant_of(owner), tenants, audits, audits_server)
