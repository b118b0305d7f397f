"""Graphs of LangGraph as agents: what is shown of them, what they ask, and what they know of the conversation."""

from dataclasses import dataclass
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

from tests.extensions.frameworks.langgraph_agent import agent, builder, graph
from understudy import Agent, Budget
from understudy.extensions.frameworks.langgraph import langgraph
from understudy.testing import run_agent
from understudy.wire.events import ToolStatus


async def test_a_call_that_fails_is_shown_without_its_reason() -> None:
    run = await run_agent(agent, "crash")
    assert run.calls[1].status == ToolStatus.FAILED
    assert "secret" not in str(run.calls[1].result)


async def test_an_interrupt_with_a_schema_is_a_form() -> None:
    run = await run_agent(agent, "form", answers=[{"city": "Oslo", "days": 3}])
    assert [call.arguments for call in run.calls] == [{"text": "Oslo for 3"}] * 2
    (question,) = [event for event in run.events if event.type == "question_asked"]
    assert (question.title, question.text) == ("Where to?", "why: for the ticket")  # type: ignore[attr-defined]
    assert question.schema["properties"]["days"]["type"] == "integer"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("answer", "text"), [(True, "yes or no"), (False, "no")])
async def test_an_interrupt_for_yes_or_no_has_one_field(answer: bool, text: str) -> None:
    run = await run_agent(agent, "yes or no", answers=[{"answer": answer}])
    assert run.calls[0].arguments == {"text": text}


async def test_a_question_that_is_declined_ends_the_run() -> None:
    run = await run_agent(agent, "form", answers=[None])
    assert (run.calls, run.error) == ((), None)
    assert "declined" in run.text


async def test_a_budget_ends_a_graph() -> None:
    run = await run_agent(Agent("planner", run=langgraph(graph), budget=Budget(calls=1)), "hello")
    assert (run.data or {})["budget"]["ended_by"] == "calls"
    assert len(run.calls) == 1


def test_what_is_no_graph_or_cannot_be_stored_is_refused() -> None:
    with pytest.raises(TypeError, match="compile"):
        langgraph(builder)
    with pytest.raises(ValueError, match="make_input"):
        langgraph(of_one_node(TypedDict("Plain", {"number": int}), lambda _: {"number": 1}))
    differing = Annotated[list, DeltaChannel(lambda a, b: a + b)]
    with pytest.raises(ValueError, match="DeltaChannel"):
        langgraph(of_one_node(TypedDict("Differing", {"messages": differing}), lambda _: {"messages": []}))


def of_one_node(state: Any, node: Any, **more: Any) -> Any:
    builder = StateGraph(state, **more)
    builder.add_node("one", node)
    builder.add_edge(START, "one")
    return builder.compile()


def speaking(message: Any) -> Any:
    return of_one_node(MessagesState, lambda _: {"messages": [message]})


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant", "content": "hello world"}, ("ai", "hello world"), AIMessage("hello world"), ("assistant",
     [{"type": "text", "text": "hello world"}])],
)  # fmt: skip
async def test_the_last_message_is_the_answer_whatever_its_form(message: Any) -> None:
    assert (await run_agent(Agent("speaker", run=langgraph(speaking(message))), "hi")).text == "hello world"


async def test_a_graph_that_says_nothing_has_failed() -> None:
    for message in ("", HumanMessage("only a question")):
        run = await run_agent(Agent("speaker", run=langgraph(speaking(("ai", "") if message == "" else message))), "hi")
        assert (run.text, run.error and run.error.code) == ("", "agent_failed")


class Calling(BaseChatModel):
    """A model that calls one tool again and again, or writes a text."""

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

    graph = of_one_node(MessagesState, greet, context_schema=Customer)
    run = langgraph(graph, context=lambda turn: Customer(turn.message))
    assert (await run_agent(Agent("greeter", run=run), "Ada")).text == "hello Ada"


async def test_a_graph_without_messages_answers_with_its_state() -> None:
    class Sum(TypedDict):
        a: int
        total: int

    graph = of_one_node(Sum, lambda state: {"total": state["a"] + 1})
    run = langgraph(graph, make_input=lambda turn: {"a": 1})
    assert (await run_agent(Agent("adder", run=run), "go")).text == '{"a": 1, "total": 2}'
