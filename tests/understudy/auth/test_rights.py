"""The rights that roles grant: over the users of a tenant, or over the whole server."""

import pytest

from transport.wire.errors import CommandRejected
from understudy.auth.rights import rights_of
from understudy.storage.owners import owner_of

ADA, BOB, PLAIN = owner_of("ada", "acme"), owner_of("bob", "other"), owner_of("ada")
USERS = (ADA, BOB, PLAIN)


@pytest.mark.parametrize(
    ("owner", "roles", "tenants", "reached"),
    [
        (ADA, ["operator"], True, {ADA}),
        (PLAIN, ["operator"], True, {PLAIN}),
        (PLAIN, ["operator"], False, set(USERS)),
        (ADA, ["server_operator"], True, set(USERS)),
        (PLAIN, ["server_operator"], False, set(USERS)),
    ],
)
def test_a_role_reaches_these_users(owner: str, roles: list[str], tenants: bool, reached: set[str]) -> None:
    rights = rights_of(owner, roles, tenants=tenants)
    rights.check_users()
    assert {user for user in USERS if rights.whose()(user)} == reached


@pytest.mark.parametrize("roles", [[], ["Operator", "operators", "reader"]])
@pytest.mark.parametrize("tenants", [True, False])
def test_other_roles_grant_no_rights(roles: list[str], tenants: bool) -> None:
    rights = rights_of(ADA, roles, tenants=tenants)
    for refused in (rights.check_users, rights.check_server, rights.whose, lambda: rights.reach("acme")):
        with pytest.raises(CommandRejected) as caught:
            refused()
        assert caught.value.code == "forbidden"


def test_only_an_operator_of_the_server_reaches_another_tenant() -> None:
    of_tenant = rights_of(ADA, ["operator"], tenants=True)
    assert (of_tenant.reach(None), of_tenant.reach("acme")) == ("acme", "acme")
    with pytest.raises(CommandRejected, match="server_operator"):
        of_tenant.reach("other")
    with pytest.raises(CommandRejected, match="the role server_operator"):
        of_tenant.check_server()
    of_server = rights_of(PLAIN, ["server_operator"], tenants=True)
    of_server.check_server()
    assert (of_server.reach(None), of_server.reach("other")) == (None, "other")
    assert [of_server.whose("other")(user) for user in USERS] == [False, True, False]


@pytest.mark.parametrize(
    ("owner", "roles", "tenants", "audited"),
    [
        (ADA, ["auditor"], True, (False, "acme")),
        (PLAIN, ["auditor"], True, (False, None)),
        (PLAIN, ["auditor"], False, (True, None)),
        (ADA, ["server_auditor"], True, (True, None)),
        (PLAIN, ["server_auditor"], False, (True, None)),
    ],
)
def test_an_auditor_reads_the_log_of_a_tenant_or_of_all_and_is_no_operator(
    owner: str, roles: list[str], tenants: bool, audited: tuple[bool, str | None]
) -> None:
    rights = rights_of(owner, roles, tenants=tenants)
    assert rights.audited(None) == audited
    for refused in (rights.check_users, rights.check_server, rights.whose):
        with pytest.raises(CommandRejected):
            refused()


@pytest.mark.parametrize("role", ["operator", "server_operator", "Auditor", "metrics"])
@pytest.mark.parametrize("tenants", [True, False])
def test_other_roles_do_not_read_the_audit_log(role: str, tenants: bool) -> None:
    with pytest.raises(CommandRejected, match="the role auditor"):
        rights_of(ADA, [role], tenants=tenants).audited(None)
    assert rights_of(ADA, ["server_auditor"], tenants=True).audited("other") == (False, "other")
    with pytest.raises(CommandRejected, match="server_auditor"):
        rights_of(ADA, ["auditor"], tenants=True).audited("other")
