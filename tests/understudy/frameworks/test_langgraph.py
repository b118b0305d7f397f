"""Graphs of LangGraph as agents: what is shown of them, what they ask, and what they know of the conversation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool as lc_tool
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.end_to_end.langgraph_agent import CALLS, agent, builder, careful, graph
from transport.wire.events import ToolStatus
from understudy import Agent, Budget
from understudy.frameworks.langgraph import langgraph
from understudy.testing import open_session, run_agent


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which calls are noted."""
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    (tmp_path / "calls").touch()
    return tmp_path / "calls"


def noted(calls: Path) -> list[str]:
    return [line.split()[0] for line in calls.read_text().splitlines()]


async def test_text_calls_and_usage_of_a_graph_are_those_of_the_run(calls: Path) -> None:
    run = await run_agent(agent, "hello")
    assert run.text.split() == [
        "I",
        "call",
        "first.",
        "I",
        "call",
        "second.",
        "Message",
        "1:",
        "one",
        "of",
        "hello",
        "and",
        "two",
        "of",
        "hello.",
    ]
    assert [(each.tool, each.arguments, each.result) for each in run.calls] == [
        ("first", {"text": "hello"}, "one of hello"),
        ("second", {"text": "hello"}, "two of hello"),
    ]
    assert (run.usage.input, run.usage.output, run.usage.turns) == (30, 15, 3)
    assert noted(calls) == ["model", "first", "model", "second", "model"]


async def test_a_call_that_fails_is_shown_without_its_reason() -> None:
    run = await run_agent(agent, "fail")
    assert run.calls[1].status == ToolStatus.FAILED
    assert "secret" not in str(run.calls[1].result)


async def test_a_graph_knows_the_conversation_and_each_branch_its_own() -> None:
    async with open_session(agent) as session:
        assert "Message 1:" in (await session.say("hello")).text
        assert "Message 2:" in (await session.say("again")).text
        assert "Message 3:" in (await session.say("and again")).text


async def test_what_another_agent_has_said_is_given_to_the_graph() -> None:
    async def speak(turn: Any) -> None:
        await turn.say("I am another.")

    async with open_session(agent, Agent("other", run=speak)) as session:
        await session.say("hello")
        await session.say("you?", agent="other")
        assert "Message 3:" in (await session.say("again")).text


async def test_an_interrupt_with_a_schema_is_a_form() -> None:
    run = await run_agent(agent, "form", answers=[{"city": "Oslo", "days": 3}])
    assert [each.arguments for each in run.calls] == [{"text": "Oslo for 3"}] * 2
    (asked,) = [each for each in run.events if each.type == "question_asked"]
    assert (asked.title, asked.text) == ("Where to?", "why: for the ticket")  # type: ignore[attr-defined]
    assert asked.schema["properties"]["days"]["type"] == "integer"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("answer", "text"), [(True, "yes or no"), (False, "no")])
async def test_an_interrupt_for_yes_or_no_has_one_field(answer: bool, text: str) -> None:
    run = await run_agent(agent, "yes or no", answers=[{"answer": answer}])
    assert run.calls[0].arguments == {"text": text}


async def test_a_question_that_is_declined_ends_the_run() -> None:
    run = await run_agent(agent, "form", answers=[None])
    assert (run.calls, run.error) == ((), None)
    assert "declined" in run.text


async def test_a_review_of_a_call_is_consent_to_it(calls: Path) -> None:
    run = await run_agent(careful, "hello", approve=True)
    assert [(each.tool, each.status) for each in run.calls] == [("first", "ok"), ("second", "ok")]
    assert noted(calls).count("second") == 1


async def test_a_call_that_is_denied_is_not_made_and_the_graph_is_told(calls: Path) -> None:
    run = await run_agent(careful, "hello", approve=False)
    assert [(each.tool, each.status) for each in run.calls] == [("first", "ok"), ("second", "denied")]
    assert "second" not in noted(calls)
    assert "rejected" in run.text


async def test_a_call_is_made_with_the_arguments_that_its_user_allows() -> None:
    run = await run_agent(careful, "hello", approve=lambda _: {"text": "other"})
    assert run.calls[1].result == "two of other"


async def test_a_budget_ends_a_graph(calls: Path) -> None:
    run = await run_agent(Agent("planner", run=langgraph(graph), budget=Budget(calls=1)), "hello")
    assert (run.data or {})["budget"]["ended_by"] == "calls"
    assert len(run.calls) == 1


def test_what_is_no_graph_or_cannot_be_stored_is_refused() -> None:
    with pytest.raises(TypeError, match="compile"):
        langgraph(builder)
    plain = StateGraph(TypedDict("Plain", {"number": int}))
    plain.add_node("one", lambda _: {"number": 1})
    plain.add_edge(START, "one")
    with pytest.raises(ValueError, match="make_input"):
        langgraph(plain.compile())
    differing = StateGraph(TypedDict("Differing", {"messages": Annotated[list, DeltaChannel(lambda a, b: a + b)]}))
    differing.add_node("one", lambda _: {"messages": []})
    differing.add_edge(START, "one")
    with pytest.raises(ValueError, match="DeltaChannel"):
        langgraph(differing.compile())


def speaking(message: Any) -> Any:
    """Return a graph whose one node returns this as its message."""
    made = StateGraph(MessagesState)
    made.add_node("speak", lambda state: {"messages": [message]})
    made.add_edge(START, "speak")
    return made.compile()


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant", "content": "hello world"}, ("ai", "hello world"), AIMessage("hello world"), ("assistant",
     [{"type": "text", "text": "hello world"}])],
)  # fmt: skip
async def test_the_last_message_is_the_answer_whatever_its_form(message: Any) -> None:
    assert (await run_agent(Agent("speaker", run=langgraph(speaking(message))), "hi")).text == "hello world"


async def test_a_graph_that_says_nothing_has_failed() -> None:
    """An empty text is no answer."""
    for message in ("", HumanMessage("only a question")):
        run = await run_agent(Agent("speaker", run=langgraph(speaking(("ai", "") if message == "" else message))), "hi")
        assert (run.text, run.error and run.error.code) == ("", "agent_failed")


class Calling(BaseChatModel):
    """A model that calls one tool, again and again; or writes a text."""

    tool_name: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    text: str = ""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> "Calling":
        return self

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        calls = [ToolCall(name=self.tool_name, args=self.arguments, id="call-1")] if self.tool_name else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text, tool_calls=calls))])


class Trip(BaseModel):
    """A trip."""

    city: str


@lc_tool(return_direct=True)
def lookup(order: str) -> str:
    """Look up an order; what it returns is the answer."""
    return f"order {order} is on its way"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("model", "options", "text"),
    [
        (Calling(tool_name="lookup", arguments={"order": "7"}), {"tools": [lookup]}, "order 7 is on its way"),
        (
            Calling(tool_name="Trip", arguments={"city": "Rome"}),
            {"response_format": ToolStrategy(Trip)},
            '{"city": "Rome"}',
        ),
        (Calling(text='{"city": "Rome"}'), {"response_format": ProviderStrategy(Trip)}, '{"city": "Rome"}'),
    ],
)
async def test_an_answer_that_is_no_text_of_a_model_is_shown_once(
    model: Any, options: dict[str, Any], text: str
) -> None:
    run = await run_agent(Agent("one", run=langgraph(create_agent(model, **options))), "hi")
    assert (run.text, run.error) == (text, None)


@dataclass
class Customer:
    """What a graph may be told beside its state."""

    name: str


async def test_a_graph_is_given_its_context() -> None:
    def greet(state: MessagesState, runtime: Runtime[Customer]) -> dict[str, Any]:
        return {"messages": [AIMessage(f"hello {runtime.context.name}")]}

    made = StateGraph(MessagesState, context_schema=Customer)
    made.add_node("greet", greet)
    made.add_edge(START, "greet")
    run = langgraph(made.compile(), context=lambda turn: Customer(turn.message))
    assert (await run_agent(Agent("greeter", run=run), "Ada")).text == "hello Ada"


async def test_a_graph_without_messages_answers_with_its_state() -> None:
    class Sum(TypedDict):
        a: int
        total: int

    made = StateGraph(Sum)
    made.add_node("add", lambda state: {"total": state["a"] + 1})
    made.add_edge(START, "add")
    run = langgraph(made.compile(), make_input=lambda turn: {"a": 1})
    assert (await run_agent(Agent("adder", run=run), "go")).text == '{"a": 1, "total": 2}'
