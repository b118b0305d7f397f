"""Hashing of passwords: its bounds, and the same work for whom there is no password."""

from typing import Literal

import argon2
import trio

from transport.wire.errors import CommandRejected
from understudy.extensions.accounts.passwords import AT_ONCE, WAITING, Passwords


class Watched(argon2.PasswordHasher):
    """Notes the parameters of the hashes with which it compares: they are the work that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = list[argon2.Parameters]()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        self.compared.append(argon2.extract_parameters(str(hash)))
        return super().verify(hash, password)


async def test_a_password_fits_its_hash_only() -> None:
    passwords = Passwords()
    with trio.fail_after(60):
        hashed = await passwords.hash("tree sky blue lamp")
        assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert await passwords.verify("tree sky blue lamp", hashed)
        assert not await passwords.verify("tree sky blue lamb", hashed)
        assert not await passwords.verify("tree sky blue lamp", "no hash at all")
        assert hashed != await passwords.hash("tree sky blue lamp"), "each has a salt of its own"


async def test_nobody_and_somebody_cost_the_same_work() -> None:
    """Without a hash one is computed all the same, and the decoy's own password does not fit."""
    passwords = Passwords(hasher := Watched())
    with trio.fail_after(60):
        hashed = await passwords.hash("tree sky blue lamp")
        for stored in (hashed, ""):
            before = passwords.computed
            assert not await passwords.verify("a password that nobody has", stored)
            assert passwords.computed == before + 1
    of_user, of_nobody = hasher.compared
    assert of_user == of_nobody == argon2.extract_parameters(hashed)


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    weaker = argon2.PasswordHasher(memory_cost=1024)
    with trio.fail_after(60):
        old = await Passwords(weaker).hash("tree sky blue lamp")
        passwords = Passwords()
        assert await passwords.verify("tree sky blue lamp", old)
        assert passwords.is_outdated(old)
        assert not passwords.is_outdated(await passwords.hash("tree sky blue lamp"))


async def test_a_flood_is_refused_and_takes_a_bounded_number_of_threads() -> None:
    passwords = Passwords(argon2.PasswordHasher(memory_cost=1024, time_cost=1))
    hashed = await passwords.hash("tree sky blue lamp")
    refused, most = list[str](), [0]

    async def attempt() -> None:
        try:
            assert not await passwords.verify("another password", hashed)
        except CommandRejected as rejected:
            refused.append(rejected.code)
        most[0] = max(most[0], passwords._slots.borrowed_tokens)

    with trio.fail_after(60):
        assert not await passwords.verify("another password", "")  # the decoy is there
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE + WAITING + 30):
                nursery.start_soon(attempt)
        assert refused == ["busy"] * 30
        assert 0 < most[0] <= AT_ONCE
        assert await passwords.verify("tree sky blue lamp", hashed), "afterwards there is room again"
