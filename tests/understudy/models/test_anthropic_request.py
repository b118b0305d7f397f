"""The request of the Messages API for a turn. Random histories are held against its rules in `tests/benchmarks`."""

from typing import Any

import pytest
from attrs import evolve

from understudy.models.anthropic_request import FROM_SERVER, Abilities, build_request, encode_state
from understudy.models.model import (
    AgentCard,
    CallItem,
    DocumentPart,
    FileCard,
    HandoffItem,
    ImagePart,
    Item,
    MessageItem,
    ModelSettings,
    NoteItem,
    OutputFormat,
    ReasoningItem,
    ToolCard,
    Turn,
    tool_result,
)

LOOKUP = ToolCard("lookup", "Look up an order.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
ME = AgentCard("support", "Support", "Looks up orders.", (LOOKUP,))
THINKING = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "tool_use"}]
CALLED: tuple[Item, ...] = (
    MessageItem("user", "Where is A-17?"),
    ReasoningItem("Hm.", encode_state(THINKING, "m")),
    CallItem("c1", "lookup", {"order_id": "A-17"}),
    evolve(tool_result(CallItem("c1", "lookup"), "failed", summary="It is away."), call_id="c1"),  # type: ignore[arg-type]
)


def a_turn(*items: Item, **more: Any) -> Turn:
    return Turn(ME, items or (MessageItem("user", "Hello"),), "Be brief.", (LOOKUP,), **more)


def kinds(body: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(each["role"], [block["type"] for block in each["content"]]) for each in body["messages"]]


def test_what_stays_is_marked_for_the_cache_and_notes_follow_it() -> None:
    """Four marks: tools, instructions, and the last two messages of the user, of which the first was marked before."""
    body = build_request(a_turn(*CALLED, notes=(NoteItem("3 turns are left."),)), "m")
    asked, called, answered = body["messages"]
    assert [block for block in called["content"] if "cache_control" in block] == []
    marked = [body["tools"][-1], body["system"][-1], asked["content"][-1], answered["content"][0]]
    assert all(each["cache_control"] == {"type": "ephemeral"} for each in marked)
    assert answered["content"][1] == {"type": "text", "text": f"{FROM_SERVER}\n3 turns are left."}
    assert answered["content"][0]["is_error"] is True
    before = build_request(a_turn(CALLED[0]), "m")
    assert before["messages"][0] == asked
    assert (before["tools"], before["system"]) == (body["tools"], body["system"])


def test_an_interrupted_answer_ends_with_the_user() -> None:
    body = build_request(a_turn(partial_text="Your parcel is "), "m")
    assert kinds(body) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    assert "Go on exactly there" in body["messages"][-1]["content"][0]["text"]
    assert kinds(build_request(a_turn(MessageItem("assistant", "Hello.")), "m"))[-1][0] == "user"


def test_thinking_is_given_back_to_its_model_alone_and_only_if_it_is_unchanged() -> None:
    assert kinds(build_request(a_turn(*CALLED), "m"))[1] == ("assistant", ["thinking", "tool_use"])
    assert kinds(build_request(a_turn(*CALLED), "other"))[1] == ("assistant", ["tool_use"])
    changed = (CALLED[0], evolve(CALLED[1], content="(redacted)"), *CALLED[2:])
    assert kinds(build_request(a_turn(*changed), "m"))[1] == ("assistant", ["tool_use"])


def test_a_changed_text_follows_its_thinking() -> None:
    """If a part of it was redacted, its pieces cannot be told apart any more."""
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "I call Ann."},
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "Done."},
    ]
    said = ReasoningItem("Hm.", encode_state(blocks, "m"))
    whole = build_request(a_turn(said, MessageItem("assistant", "I call Ann.Done.")), "m")
    assert kinds(whole)[1] == ("assistant", ["text", "thinking", "text"])
    redacted = build_request(a_turn(said, MessageItem("assistant", "I call [NAME].Done.")), "m")
    assert kinds(redacted)[1] == ("assistant", ["thinking", "text"])


def test_the_choice_of_a_tool_excludes_thinking() -> None:
    """And a turn that may not call at all is told of the tools nevertheless."""
    forced = build_request(a_turn(settings=ModelSettings("high", tool_choice="lookup", parallel_calls=False)), "m")
    assert forced["tool_choice"] == {"type": "tool", "name": "lookup", "disable_parallel_tool_use": True}
    assert ("thinking" in forced, forced["output_config"]) == (False, {"effort": "high"})
    free = build_request(a_turn(*CALLED, settings=ModelSettings("minimal", tool_choice="required")), "m")
    assert free["tool_choice"] == {"type": "auto"}
    assert (free["thinking"]["type"], free["output_config"]) == ("adaptive", {"effort": "low"})
    closing = build_request(evolve(a_turn(*CALLED), tools=()), "m")
    assert (closing["tool_choice"], [each["name"] for each in closing["tools"]]) == ({"type": "none"}, ["lookup"])


def test_files_and_images_and_handoffs_are_of_the_users_side() -> None:
    image, paper = ImagePart("f", "image/png", b"png"), DocumentPart("p", "a.pdf", b"%PDF")
    asked = MessageItem("user", "Look", (FileCard("f", "a.png"),), (image,), (paper,))
    body = build_request(a_turn(asked, HandoffItem("guide", "support", "It can.")), "m")
    assert kinds(body) == [("user", ["document", "image", "text", "text"])]
    read, shown, said, told = body["messages"][0]["content"]
    assert (read["title"], read["source"]["media_type"]) == ("a.pdf", "application/pdf")
    assert shown["source"] == {"type": "base64", "media_type": "image/png", "data": "cG5n"}
    assert "a.png" in said["text"]
    assert "handed this request over" in told["text"]


@pytest.mark.parametrize(("effort", "sent"), [("max", "max"), ("xhigh", "high"), ("high", "high"), ("minimal", None)])
def test_an_effort_that_a_model_lacks_is_the_next_lower_one(effort: Any, sent: str | None) -> None:
    abilities = Abilities(efforts=frozenset({"medium", "high", "max"}))
    body = build_request(a_turn(settings=ModelSettings(effort)), "m", abilities)
    assert body.get("output_config") == (sent and {"effort": sent})


def test_an_answer_in_a_form_is_bound_to_it_or_asked_for() -> None:
    """By the API if it can; else the request says so, and the server checks what comes."""
    form = OutputFormat("answer", {"type": "object", "properties": {}, "additionalProperties": False})
    bound = build_request(a_turn(output=form, settings=ModelSettings("low")), "m")
    assert bound["output_config"]["format"] == {"type": "json_schema", "schema": dict(form.schema)}
    assert bound["output_config"]["effort"] == "low"
    for asked in (
        build_request(a_turn(output=form), "m", Abilities(structured=False)),
        build_request(a_turn(output=evolve(form, strict=False)), "m"),
    ):
        assert "output_config" not in asked
        assert "additionalProperties" in asked["messages"][-1]["content"][-1]["text"]
