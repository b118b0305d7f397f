"""Messages that mean something said before run the last call with what they change, or take from it what they lack."""

from typing import Any

import pytest

from understudy.agents.registry import all_agents
from understudy.models.model import FileCard, Item, MessageItem, ToolRequest, Turn, tool_result
from understudy.models.offline import OfflineModel

AGENTS = all_agents()
SALES = FileCard("f-1", "sales.csv", "text/csv", 120, ("date", "region", "product", "revenue"))
ASKED = ("insights", "answer_question", {"file_id": "f-1", "question": "total revenue by region"})
READ = "total revenue by region"
PLANS = ("business_outcomes", "compare_scenarios", {"scenarios": {"Build": [-100, 60, 70]}, "rate_percent": 8})
BREAK_EVEN = ("business_outcomes", "break_even", {"fixed_costs": 900, "price": 40, "variable_cost": 22})
OUTLINED = ("content", "outline_text", {"text": "# Trip\nOn 2 March 2026."})


async def ignore(event: object) -> None:
    """Ignore the event."""


@pytest.mark.parametrize(
    ("last", "text", "name", "changes"),
    [
        (ASKED, "and by product?", "answer_question", {"question": "and by product?", "before": READ}),
        (ASKED, "Only for the North", "answer_question", {"question": "Only for the North", "before": READ}),
        # A value alone, which only the table knows: a question, and no analysis of all the rest.
        (ASKED, "how many pears were sold", "answer_question", {"question": "how many pears were sold"}),
        (ASKED, "Chart that by month", "answer_question", {"question": "Chart that by month", "before": READ}),
        (PLANS, "What if the discount rate were 12% instead?", "compare_scenarios", {"rate_percent": 12}),
        (PLANS, "How sensitive is that?", "sensitivity_analysis", {}),
        (BREAK_EVEN, "What if the price drops by 10%?", "break_even", {"price": 36}),
        (BREAK_EVEN, "And if the price were 18?", "break_even", {"price": 18}),
        (OUTLINED, "What dates are in it?", "extract_facts", {"kinds": ["dates"]}),
    ],
)
async def test_a_message_continues_the_last_call(last: Any, text: str, name: str, changes: dict[str, Any]) -> None:
    agent, tool, arguments = last
    call = ToolRequest("call-1", tool, arguments)
    items: list[Item] = [
        MessageItem("user", "the first request", (SALES,)),
        call.item(),
        tool_result(call, "ok", {"question": READ}, ""),
    ]
    items += [MessageItem("assistant", "An answer."), MessageItem("user", text)]
    card = AGENTS[agent].card()
    reply = await OfflineModel().respond(Turn(card, tuple(items), tools=card.tools), ignore)
    assert [(each.name, dict(each.arguments)) for each in reply.calls] == [(name, {**arguments, **changes})]


@pytest.mark.parametrize(
    ("agent", "text", "name", "arguments"),
    [
        (
            "business_outcomes",
            "Should we buy a machine for 20000 that saves us 6000 a year over 2 years, at 5%?",
            "compare_scenarios",
            {"scenarios": {"Scenario 1": [-20000, 6000, 6000]}, "rate_percent": 5.0},
        ),
        (
            "business_outcomes",
            "How many must we sell at 15 each if every piece costs 9 and we pay 1200 in fixed costs?",
            "break_even",
            {"fixed_costs": 1200, "price": 15, "variable_cost": 9},
        ),
        (
            "content",
            "Remove personal data from: call tom@example.org",
            "sanitize_content",
            {"text": "call tom@example.org", "policy": "strict"},
        ),
    ],
)
async def test_a_first_message_in_plain_words_is_understood(
    agent: str, text: str, name: str, arguments: dict[str, Any]
) -> None:
    card = AGENTS[agent].card()
    reply = await OfflineModel().respond(Turn(card, (MessageItem("user", text),), tools=card.tools), ignore)
    assert [(each.name, dict(each.arguments)) for each in reply.calls] == [(name, arguments)]
