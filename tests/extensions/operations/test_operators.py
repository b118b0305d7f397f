"""Which routes are for operators of the whole server, and which for operators of a tenant too."""

import json
import re
from typing import Any

import pytest
import trio

from tests.rigs.http import request
from tests.rigs.tenants import ACME_OPERATOR, ADA, PLAIN_OPERATOR, SERVER_OPERATOR, of_tenants

SERVER_WIDE: dict[tuple[str, str], dict[str, Any] | None] = {
    ("GET", "/api/admin/accounts"): None,
    ("POST", "/api/admin/accounts"): {"name": "eve"},
    ("PATCH", "/api/admin/accounts/{name}"): {"disabled": True},
    ("POST", "/api/admin/accounts/{name}/invite"): {"hours": 1},
    ("GET", "/api/admin/models"): None,
    ("POST", "/api/admin/models"): {"port": 1, "model": "m"},
    ("GET", "/api/admin/settings"): None,
    ("GET", "/api/observer/changes"): None,
    ("GET", "/api/observer/connections"): None,
    ("GET", "/api/observer/find"): None,
    ("GET", "/api/observer/health"): None,
    ("GET", "/api/observer/incidents"): None,
    ("POST", "/api/observer/kill"): {"path": "/system/observe/recovery"},
    ("GET", "/api/observer/tree"): None,
    ("GET", "/api/stops"): None,
    ("PUT", "/api/stops/{kind}/{name}"): {"reason": "It misbehaves."},
    ("DELETE", "/api/stops/{kind}/{name}"): None,
}
"""Routes for operators of the server only, with a valid body."""
OF_TENANT = {
    ("GET", "/api/admin/overview"), ("GET", "/api/admin/schedules"), ("GET", "/api/admin/sign-ins"),
    ("GET", "/api/admin/spending"), ("GET", "/api/admin/users"), ("GET", "/api/admin/users/{user}/runs"),
    ("GET", "/api/observer/counts"), ("GET", "/api/observer/runs"), ("GET", "/api/observer/users"),
}  # fmt: skip
"""Routes that answer an operator of a tenant about that tenant's users."""
OF_RUN = {
    ("GET", "/api/admin/runs/{run_id}"), ("GET", "/api/admin/runs/{run_id}/events"),
    ("POST", "/api/admin/runs/{run_id}/commands"), ("POST", "/api/admin/runs/{run_id}/hand-back"),
    ("POST", "/api/admin/runs/{run_id}/take-over"),
    ("GET", "/api/observer/runs/{run_id}"), ("POST", "/api/observer/runs/{run_id}/stop"),
}  # fmt: skip
"""Routes about one run, which is not found if it is another tenant's."""
PARTS = {"name": "ada", "kind": "agent", "user": "ada", "run_id": "r1"}


async def answer_to(running: Any, route: tuple[str, str], who: str | None, query: str = "") -> tuple[int, str]:
    """Return the status of an answer, and the code and message of its error."""
    (method, path), body = route, SERVER_WIDE.get(route) or b""
    with trio.fail_after(60):
        status, _, answer = await request(running.address, method, path.format(**PARTS) + query, token=who, body=body)
    return status, json.dumps(answer["error"]) if status >= 400 else ""


@pytest.mark.promise("owasp.authorisation")
@pytest.mark.promise("wire.endpoint-observer")
@pytest.mark.parametrize("route", SERVER_WIDE, ids=" ".join)
async def test_a_server_wide_route_refuses_users_and_operators_of_a_tenant(serve: Any, route: tuple[str, str]) -> None:
    running = await of_tenants(serve, observer_kill=True)
    for nobody in (None, "nonsense"):
        assert (await answer_to(running, route, nobody))[0] == 401
    for caller in (ADA, ACME_OPERATOR, PLAIN_OPERATOR):
        status, error = await answer_to(running, route, caller)
        assert (status, "That needs the role server_operator." in error) == (403, True), error
    recovery = running.system.explain("/system/observe/recovery")
    assert recovery.restarts == 0
    if route != ("GET", "/api/observer/changes"):  # whose answer does not end
        assert (await answer_to(running, route, SERVER_OPERATOR))[0] not in (401, 403)


@pytest.mark.parametrize("route", sorted(OF_TENANT), ids=" ".join)
async def test_an_operator_of_a_tenant_reads_about_that_tenant_only(serve: Any, route: tuple[str, str]) -> None:
    running = await of_tenants(serve)
    assert (await answer_to(running, route, None))[0] == 401
    assert (await answer_to(running, route, ADA))[0] == 403
    for caller, query in ((ACME_OPERATOR, ""), (ACME_OPERATOR, "?tenant=acme"), (SERVER_OPERATOR, "?tenant=other")):
        assert (await answer_to(running, route, caller, query))[0] == 200
    for caller in (ACME_OPERATOR, PLAIN_OPERATOR):
        assert (await answer_to(running, route, caller, "?tenant=other"))[0] == 403


async def test_the_metrics_of_the_server_are_refused_to_an_operator_of_a_tenant(serve: Any) -> None:
    running = await of_tenants(serve)
    for caller, expected in ((ACME_OPERATOR, 403), (SERVER_OPERATOR, 200)):
        assert (await answer_to(running, ("GET", "/metrics"), caller))[0] == expected


async def test_a_route_about_a_run_needs_the_role_of_an_operator(serve: Any) -> None:
    running = await of_tenants(serve)
    for route in OF_RUN:
        assert [(await answer_to(running, route, caller))[0] for caller in (None, ADA)] == [401, 403], route


async def test_every_route_for_operators_is_in_these_tables(serve: Any) -> None:
    running = await of_tenants(serve)
    _, _, document = await request(running.address, "GET", "/openapi.json")
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    of_operators = {route for route in routes if re.match("/api/(admin|observer|stops)", route[1])}
    assert of_operators == SERVER_WIDE.keys() | OF_TENANT | OF_RUN
