"""The choice of the agent and the thread of a message."""

import pytest

from transport.wire.errors import CommandRejected
from understudy.chat.routing import Route, route
from understudy.wire.commands import Say

AGENTS = {"guide": None, "insights": "insights", "numbers": "figures", "support": None}


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (Say("x"), Route("guide", "guide", None, "guide_s", "guide_s")),
        (Say("x", thread_id="t"), Route("guide", "guide", None, "t", "guide_s")),
        (Say("x", conversation_id="c"), Route("guide", "guide", None, "c", "c")),
        (Say("x", thread_id="t", conversation_id="c"), Route("guide", "guide", None, "t", "c")),
        (Say("x", agent_type="support"), Route("support", "support", None, "support_s", "support_s")),
        (
            Say("x", agent_type="liaison", pillar="insights"),
            Route("insights", "liaison", "insights", *["insights_s"] * 2),
        ),
        (Say("x", agent_type="default_guide"), Route("guide", "default_guide", None, "guide_s", "guide_s")),
        (Say("x", pillar="figures"), Route("numbers", "liaison", "figures", "numbers_s", "numbers_s")),
    ],
)
def test_the_agent_and_the_thread_follow_from_what_was_said(say: Say, expected: Route) -> None:
    assert route(say, "s", AGENTS) == expected


@pytest.mark.parametrize(
    ("say", "default", "expected"),
    [
        (Say("x"), "numbers", ("numbers", "liaison", "figures")),
        (Say("x"), "secret", ("support", "support", None)),
        (Say("x", agent_type="guide"), None, ("support", "guide", None)),
        (Say("x", agent_type="guide"), "numbers", ("numbers", "guide", None)),
        (Say("x", agent_type="default_guide"), "numbers", ("numbers", "default_guide", None)),
    ],
)
def test_without_a_guide_the_default_agent_answers_to_its_names(
    say: Say, default: str | None, expected: tuple[str, str, str | None]
) -> None:
    target = route(say, "s", {"support": None, "numbers": "figures"}, default)
    assert (target.agent, target.agent_type, target.pillar) == expected


@pytest.mark.parametrize(
    ("say", "code", "text"),
    [
        (Say("x", agent_type="liaison"), "pillar_required", "pillar is required for liaison agent"),
        (Say("x", agent_type="oracle"), "unknown_agent_type", "Unknown agent_type: oracle"),
        (Say("x", agent_type="insights"), "unknown_agent_type", "Unknown agent_type: insights"),
        (Say("x", agent_type="liaison", pillar="stars"), "unknown_pillar", "Unknown pillar: stars"),
        (Say("x", thread_id=""), "invalid_command", "thread_id"),
        (Say("x", message_id="m" * 129), "invalid_command", "message_id"),
        (Say("x", conversation_id="a\nb"), "invalid_command", "conversation_id"),
    ],
)
def test_a_message_that_cannot_be_routed_is_refused_by_name(say: Say, code: str, text: str) -> None:
    """Each kind of wrong addressee has its error code, and the exact text that published clients match."""
    with pytest.raises(CommandRejected) as refused:
        route(say, "s", AGENTS)
    assert refused.value.code == code
    assert text in refused.value.message
    with pytest.raises(CommandRejected, match="Unknown agent_type: guide"):
        route(Say("x"), "s", {}, "secret")
    with pytest.raises(CommandRejected, match="Unknown agent_type: guide"):
        route(Say("x", agent_type="guide"), "s", {"support": None}, "secret")
