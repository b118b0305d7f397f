"""Local accounts over HTTP, with the commands of the operator, on one server and on two nodes."""

from functools import partial
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
import trio

from tests.extensions.accounts.person import GOOD, Person, command, invite_in
from tests.rigs.chat_client import connected
from tests.rigs.tokens import SECRET
from tests.servers.postgresql import Postgres
from understudy.app.server import Running
from understudy.extensions.accounts import passwords
from understudy.extensions.accounts.local_accounts import FREE_OF_PAIR

pytestmark = [pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")]


@pytest.fixture(autouse=True)
def _light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with little work, as each of these tests hashes a dozen; the real work has tests of its own."""
    light = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "Passwords", partial(passwords.Passwords, light))


async def until_held(people: list[Person]) -> httpx.Response:
    """Try wrong passwords, one person after the other, until one of them has to wait. Return that answer.

    The waits double, so on the slowest machine too an attempt comes too soon once.
    """
    wrong = {"name": "ada", "password": "wrong"}
    for number in range(30):
        answer = await people[number % len(people)].post("/auth/password", wrong)
        if answer.status_code == 429:
            assert number >= FREE_OF_PAIR
            return answer
        assert answer.status_code == 401
    raise AssertionError("nobody has to wait")


async def test_from_an_invite_to_a_disabled_account(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running: Running = await serve(accounts_enabled=True)
        place = ["--data-dir", str(tmp_path / "data")]
        person = Person(running.address)
        sign_in_form = (await person.send("GET", "/auth", None, {})).json()
        assert sign_in_form == {"by": "accounts", "provider": None}
        assert (await person.post("/api/sessions", None)).status_code == 401
        link = await command("invite", "Ada", "--role", "operator", "--group", "support", *place)
        assert (await person.post("/auth/invite", {"invite": invite_in(link)})).json() == {"user": "ada"}
        assert (await person.join(invite_in(link)))["user"] == "ada"
        me = (await person.me()).json()
        assert (me["name"], me["roles"], me["groups"], me["anonymous"]) == ("ada", ["operator"], ["support"], False)
        again = await person.post("/auth/join", {"invite": invite_in(link), "password": GOOD})
        assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")

        await command("accounts", "set", "ada", "--group", "sales", "--force", *place)
        await person.until_refused()
        await person.sign_in("ADA")
        assert (await person.me()).json()["groups"] == ["sales"]
        async with connected(running.address, person.token) as client:
            await command("accounts", "disable", "ada", *place)
            assert await client.until_closed() == 4401
        wrong = await person.post("/auth/password", {"name": "ada", "password": GOOD})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "unauthenticated")

        link = await command("accounts", "reset", "ada", *place)
        assert (await person.post("/auth/password", {"name": "ada", "password": GOOD})).status_code == 401
        await person.join(invite_in(link), "another " + GOOD)
        await person.sign_in("ada", "another " + GOOD)
        listed = (await command("accounts", "list", *place)).split("\t")
        assert listed[:4] == ["ada", "active", "", "sales"]
        actions = await command("audit", "--user", "ada", *place)
        for action in ("invited", "joined", "changed", "disabled", "signed_in", "sign_in_refused"):
            assert f"account.{action}" in actions
        assert GOOD not in actions


async def test_an_operator_invites_and_changes_accounts_in_the_page(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        link = await command("invite", "olga", "--role", "server_operator", "--data-dir", str(tmp_path / "data"))
        olga, ada = (Person(running.address) for _ in range(2))
        await olga.join(invite_in(link))

        async def ask(person: Person, method: str, path: str, body: Any = None, status: int = 200) -> Any:
            answer = await person.send(
                method, f"/api/admin/accounts{path}", body, {"Authorization": f"Bearer {person.token}"}
            )
            assert answer.status_code == status, answer.text
            return answer.json()

        invite = await ask(olga, "POST", "", {"name": "Ada", "groups": ["support"]}, 201)
        assert (invite["name"], invite["path"][:6]) == ("ada", "/join#")
        refusal = await ask(olga, "POST", "", {"name": "ada"}, 400)
        assert refusal["error"]["message"].startswith("There is an account of that name")
        await ada.join(invite["path"].removeprefix("/join#"))
        await ask(ada, "GET", "", None, 403)
        states = {account["name"]: account["state"] for account in (await ask(olga, "GET", ""))["accounts"]}
        assert states == {"ada": "active", "olga": "active"}

        changed = await ask(olga, "PATCH", "/ada", {"roles": ["operator"]})
        assert (changed["roles"], changed["groups"]) == (["operator"], ["support"])
        await ada.until_refused()
        await ada.sign_in("ada")
        assert (await ada.me()).json()["roles"] == ["operator"]
        assert (await ask(olga, "PATCH", "/ada", {"disabled": True}))["state"] == "disabled"
        await ada.until_refused()
        assert (await ada.post("/auth/password", {"name": "ada", "password": GOOD})).status_code == 401
        again = await ask(olga, "POST", "/ada/invite", {"hours": 1}, 201)
        await ada.join(again["path"].removeprefix("/join#"))

        for method, path, body, status in (
            ("PATCH", "/olga", {"disabled": True}, 400), ("POST", "/olga/invite", {}, 400),
            ("PATCH", "/nobody", {"disabled": True}, 404), ("POST", "/nobody/invite", {}, 404),
            ("PATCH", "/ada", {}, 400), ("PATCH", "/ada", {"roles": [], "disabled": True}, 400),
            ("PATCH", "/ada", {"roles": ["a,b"]}, 400), ("POST", "", {"name": "a b"}, 400),
            ("POST", "", {"name": "eve", "hours": 0}, 400),
        ):  # fmt: skip
            await ask(olga, method, path, body, status)
        audit = await command("audit", "--user", "ada", "--data-dir", str(tmp_path / "data"))
        for action in ("invited", "changed", "disabled"):
            assert f"account.{action}" in audit
        assert invite["path"].removeprefix("/join#") not in audit


async def test_a_user_changes_the_password_and_their_other_sessions_end(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        link = await command("invite", "ada", "--data-dir", str(tmp_path / "data"))
        laptop, phone = (Person(running.address) for _ in range(2))
        await laptop.join(invite_in(link))
        await phone.sign_in("ada")
        new = {"password": GOOD, "new_password": "another " + GOOD}
        refused = [
            await laptop.send("PUT", "/auth/password", body, {"Authorization": f"Bearer {token}"})
            for token, body in (
                ("none", new),
                (laptop.token, new | {"password": "wrong"}),
                (laptop.token, new | {"new_password": "short"}),
                (laptop.token, {"password": GOOD}),
            )
        ]
        assert [answer.status_code for answer in refused] == [401, 403, 400, 400]
        async with connected(running.address, phone.token) as client:
            changed = await laptop.send("PUT", "/auth/password", new, {"Authorization": f"Bearer {laptop.token}"})
            assert (changed.status_code, changed.json()["user"]) == (200, "ada")
            assert await client.until_closed() == 4401
        assert [(await person.me()).status_code for person in (laptop, phone)] == [401, 401]
        session = (laptop.token, changed.json()["session"])
        laptop.token = changed.json()["session_token"]
        me = (await laptop.me()).json()
        assert (me["session"], me["user"]) == (session[1], "ada")
        assert (await phone.post("/auth/password", {"name": "ada", "password": GOOD})).status_code == 401
        await phone.sign_in("ada", "another " + GOOD)
        audit = await command("audit", "--user", "ada", "--data-dir", str(tmp_path / "data"))
        assert "account.password_changed" in audit
        assert GOOD not in audit


@pytest.mark.promise("wire.error-last-operator")
async def test_the_only_operator_is_not_erased(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        place = ["--data-dir", str(tmp_path / "data")]
        ada, kim = (Person(running.address) for _ in range(2))
        await ada.join(invite_in(await command("invite", "ada", "--role", "operator", *place)))
        bearer = {"Authorization": f"Bearer {ada.token}"}
        for method, path, body in (("DELETE", "/api/me", {"confirm": "ada"}), ("DELETE", "/api/users/ada?own=1", None)):
            answer = await ada.send(method, path, body, bearer)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_operator")
            assert "invite another operator first" in answer.json()["error"]["message"]
        assert (await ada.me()).status_code == 200
        invite = invite_in(await command("invite", "kim", "--role", "operator", *place))
        assert (await ada.send("DELETE", "/api/me", {"confirm": "ada"}, bearer)).status_code == 409
        await kim.join(invite)
        assert (await ada.send("DELETE", "/api/me", {"confirm": "ada"}, bearer)).status_code == 200
        assert [(await person.me()).status_code for person in (ada, kim)] == [401, 200]


async def test_of_two_operators_who_erase_each_other_one_is_left(serve: Any, tmp_path: Path) -> None:
    """Both requests are there before either is carried out."""
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        place = ["--data-dir", str(tmp_path / "data")]
        people = {name: Person(running.address) for name in ("ada", "kim")}
        for name, person in people.items():
            await person.join(invite_in(await command("invite", name, "--role", "operator", *place)))
        answers: dict[str, httpx.Response] = {}

        async def erase(name: str, other: str) -> None:
            bearer = {"Authorization": f"Bearer {people[name].token}"}
            answers[name] = await people[name].send("DELETE", f"/api/users/{other}", None, bearer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(erase, "ada", "kim")
            nursery.start_soon(erase, "kim", "ada")
        (left,) = [name for name, answer in answers.items() if answer.status_code == 200]
        (refused,) = [answer for answer in answers.values() if answer.status_code != 200]
        assert refused.status_code in (401, 409), refused.text
        assert (await people[left].me()).status_code == 200
        assert (await command("accounts", "list", *place)).split("\t")[:2] == [left, "active"]


async def test_an_export_has_the_account_without_the_password(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        place = ["--data-dir", str(tmp_path / "data")]
        ada = Person(running.address)
        await ada.join(invite_in(await command("invite", "ada", "--group", "desk", *place)))
        answer = await ada.send("GET", "/api/me/export", None, {"Authorization": f"Bearer {ada.token}"})
        account = answer.json()["account"]
        assert account.pop("created_at") > 0
        assert account == {
            "roles": [], "groups": ["desk"], "disabled_at": None, "password": True, "invited_until": None
        }  # fmt: skip
        assert answer.json()["passkeys"] == []
        assert "argon2" not in answer.text


async def test_signing_out_ends_one_session_or_all(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        link = await command("invite", "ada", "--data-dir", str(tmp_path / "data"))
        laptop, phone, tablet = (Person(running.address) for _ in range(3))
        await laptop.join(invite_in(link))
        await phone.sign_in("ada")
        await tablet.sign_in("ada")
        out = await laptop.post("/auth/sign-out", {"everywhere": False}, Authorization=f"Bearer {laptop.token}")
        assert (out.status_code, out.json()) == (200, {"url": None})
        assert [(await person.me()).status_code for person in (laptop, phone, tablet)] == [401, 200, 200]
        await phone.post("/auth/sign-out", {"everywhere": True}, Authorization=f"Bearer {phone.token}")
        assert [(await person.me()).status_code for person in (phone, tablet)] == [401, 401]
        await laptop.sign_in("ada")
        assert (await laptop.me()).status_code == 200


async def test_what_is_no_sign_in_is_refused(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        person = Person(running.address)
        right = {"name": "ada", "password": GOOD}
        for origin in ("https://evil.example", "null"):
            answer = await person.post("/auth/password", right, Origin=origin)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert (await person.post("/auth/password", right, Origin=running.address)).status_code == 401
        bodies: list[Any] = [
            {}, [], {"name": "ada"}, {"name": 1, "password": GOOD}, right | {"password": "x" * 2000},
            right | {"name": "x" * 2000}, right | {"password": None},
        ]  # fmt: skip
        for body in bodies:
            answer = await person.post("/auth/password", body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_command"), body
        assert (await person.post("/auth/password", right | {"password": "x" * 10_000})).status_code == 413
        odd = await person.post("/auth/password", {"name": "a\0da\U0001f600", "password": "\0\u202e"})
        assert odd.status_code == 401
        other = await serve(data_dir=tmp_path / "data-2", secret=SECRET)
        for path, body in (
            ("password", right),
            ("invite", {"invite": "x"}),
            ("join", {"invite": "x", "password": "y"}),
        ):
            answer = await Person(other.address).post(f"/auth/{path}", body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_too_many_attempts_are_told_when_to_come_back(serve: Any, tmp_path: Path) -> None:
    with trio.fail_after(120):
        running = await serve(accounts_enabled=True)
        link = await command("invite", "ada", "--data-dir", str(tmp_path / "data"))
        person = Person(running.address)
        await person.join(invite_in(link))
        answer = await until_held([person])
        while answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            await trio.sleep(float(answer.headers["Retry-After"]))
            answer = await person.post("/auth/password", {"name": "ada", "password": GOOD})
        assert answer.status_code == 201
        assert (await person.me()).status_code == 200


async def test_two_nodes_know_the_same_accounts_and_count_attempts_together(
    serve: Any, tmp_path: Path, postgres: Postgres
) -> None:
    with trio.fail_after(180):
        shared = {"database_url": postgres.create(), "secret": SECRET, "accounts_enabled": True}
        nodes = [await serve(data_dir=tmp_path / name, **shared) for name in ("a", "b")]
        place = ["--data-dir", str(tmp_path / "a"), "--database-url", shared["database_url"]]
        a, b = (Person(node.address) for node in nodes)
        await a.join(invite_in(await command("invite", "ada", *place)))
        await b.sign_in("ada")
        a.token, b.token = b.token, a.token
        assert [(await person.me()).status_code for person in (a, b)] == [200, 200]
        await until_held([a, b])
        await command("accounts", "disable", "ada", *place)
        await a.until_refused()
        await b.until_refused()
