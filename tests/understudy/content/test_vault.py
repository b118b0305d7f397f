"""Placeholders of threads: ownership, lifetime, and restoring in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Placeholders
from understudy.content.vault import EACH, PlaceholderRestorer, Vault, equal_but_for_placeholders
from understudy.wire import events as wire

ADA = "ada@example.org"


def with_ada(vault: Vault, owner: str = "ada", thread: str = "t") -> str:
    name = vault.get_or_create(owner, thread, is_new=True).assign("pii.email", ADA)
    return name


def test_a_placeholder_means_something_in_its_own_thread_only() -> None:
    vault = Vault()
    assert with_ada(vault) == "[email-1]"
    vault.get_or_create("bob", "t", is_new=True)
    assert vault.restore_text("ada", "t", "to [email-1], [email-2]") == f"to {ADA}, [email-2]"
    for owner, thread in (("bob", "t"), ("ada", "u")):
        assert vault.restore_text(owner, thread, "to [email-1]") == "to [email-1]"
    vault.forget("ada", "t")
    assert vault.restore_text("ada", "t", "to [email-1]") == "to [email-1]"


def test_in_a_thread_that_is_not_new_numbers_are_new() -> None:
    """Numbers start high, so that unknown old placeholders never mean another text."""
    name = Vault().get_or_create("ada", "t", is_new=False).assign("pii.email", ADA)
    assert int(name.strip("[]").partition("-")[2]) > 1_000_000


def test_the_threads_not_used_for_the_longest_make_room() -> None:
    vault = Vault(limit=2)
    with_ada(vault, thread="a")
    with_ada(vault, thread="b")
    vault.get_or_create("ada", "a", is_new=False)
    with_ada(vault, thread="c")
    assert len(vault) == 2
    assert [vault.has("ada", thread) for thread in "abc"] == [True, False, True]
    names = [
        vault.get_or_create("ada", "a", is_new=False).assign("pii.email", str(number)) for number in range(EACH + 1)
    ]
    assert sum(name is None for name in names) == 2  # the address and the others fill `EACH`


def test_events_show_their_user_the_words_and_no_others() -> None:
    vault, usage = Vault(), wire.Usage()
    with_ada(vault)
    around = wire.Envelope(wire.FinalResponse("", wire.RunStatus.SUCCESS, usage), 0.0, 1, "t")
    shown = {
        wire.MessageAccepted("m", "r", "[email-1]"): ADA,
        wire.FinalResponse("[email-1]", wire.RunStatus.SUCCESS, usage): ADA,
        wire.AgentCompleted("a", "[email-1]", wire.RunStatus.SUCCESS, usage, 0.0): ADA,
        wire.AgentThinking("a", "[email-1]", 0.0): "[email-1]",
    }
    for event, text in shown.items():
        shown = vault.restore_envelope("ada", around.replace(event=event)).event
        assert text in (getattr(shown, name, None) for name in ("content", "message", "result", "thought"))
        assert vault.restore_envelope("bob", around.replace(event=event)).event is event
        assert vault.restore_envelope("ada", around.replace(event=event, thread_id=None)).event is event


PIECES = [
    "[email-1]", "[email-", "[", "]", "[[email-1]", "e", "[phone-12]", "[email-1", " ", "[x]", "[email_x-3]", "\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.integers(1, 7))
def test_restoring_does_not_depend_on_the_pieces(parts: list[str], size: int) -> None:
    placeholders = Placeholders()
    placeholders.assign("pii.email", ADA)
    text, restoring = "".join(parts), PlaceholderRestorer(placeholders)
    out = "".join(restoring.feed(text[at : at + size]) for at in range(0, len(text), size)) + restoring.flush()
    assert out == placeholders.restore(text)


def test_text_that_cannot_become_a_placeholder_is_not_held() -> None:
    restoring = PlaceholderRestorer(Placeholders())
    assert restoring.feed("a [link") == "a "
    assert restoring.feed("](x) and [No") == "[link](x) and [No"
    assert restoring.feed("[" + "a" * 41) == "[" + "a" * 41


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ("a", "a", True), ("a", "b", False), ("to [email-1]", "to [email-1000001]", True),
        ("to [email-1]", "to [phone-1]", False), ("to [email-1] now", "to [email-2] then", False),
    ],
)  # fmt: skip
def test_texts_are_alike_but_for_the_numbers(first: str, other: str, same: bool) -> None:
    """A message that is sent again after a restart is the same message."""
    assert equal_but_for_placeholders(first, other) is same
