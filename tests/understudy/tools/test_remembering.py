"""`remember`, `search_memory` and `forget`, on a notebook in memory."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.remembering import MAX_FACT, forget, remember, search_memory

Attach = Callable[..., ToolContext]


@pytest.mark.parametrize(
    ("fact", "name"),
    [
        ("I prefer euros", "prefer_euros"),
        ("that my favourite colour is green", "favourite_colour"),
        ("my name is Ada", "name"),
        ("Живу в Києві", "fact"),
    ],
)
async def test_a_fact_gets_a_name_of_its_own_words(attach: Attach, fact: str, name: str) -> None:
    context = attach()
    assert (await remember.call({"fact": fact}, context)).value == {"name": name, "fact": fact}
    assert await context.recall(name) == fact


async def test_a_subject_has_one_fact_and_other_facts_do_not_replace_each_other(attach: Attach) -> None:
    context = attach()
    for fact in ("my colour is green", "my colour is blue", "Живу", "Їм", "Їм", "I like tea", "I like tea"):
        result = await remember.call({"fact": fact}, context)
    memories = {entry.name: entry.value for entry in await context.memory.search("", 50)}
    assert memories == {"colour": "my colour is blue", "fact": "Живу", "fact_2": "Їм", "like_tea": "I like tea"}
    assert result.summary == "Remembered as like_tea for 365 days"
    assert "in place of" in (await remember.call({"fact": "my colour is red"}, context)).summary


@pytest.mark.parametrize("fact", ["", " \n", "x" * (MAX_FACT + 1)])
async def test_an_invalid_fact_is_refused(attach: Attach, fact: str) -> None:
    with pytest.raises(ToolError) as refused:
        await remember.call({"fact": fact}, attach())
    assert refused.value.code == "invalid_arguments"


async def test_it_is_found_by_its_words(attach: Attach) -> None:
    context = attach()
    for fact in ("I prefer euros", "my bank account is in euros in Vienna", "I like tea"):
        await remember.call({"fact": fact}, context)
    memories = await search_memory.call({"query": "Vienna EURO"}, context)
    assert [entry["name"] for entry in memories.value] == ["bank_account", "prefer_euros"]
    assert memories.value[1]["value"] == "I prefer euros"
    assert len((await search_memory.call({}, context)).value) == 3
    assert (await search_memory.call({"query": "ea"}, context)).summary == "Nothing like that is remembered"
    assert len((await search_memory.call({"limit": 1}, context)).value) == 1


async def test_one_fact_is_forgotten_by_its_words_if_they_fit_no_other(attach: Attach) -> None:
    context = attach()
    for fact in ("I prefer euros", "I prefer tea", "my tea is green", "my green tea is from Uji"):
        await remember.call({"fact": fact}, context)
    with pytest.raises(ToolError, match="prefer_euros") as several:
        await forget.call({"what": "what I prefer"}, context)
    assert several.value.code == "invalid_arguments"
    assert (await forget.call({"what": "that I prefer euros"}, context)).value == {"forgotten": ["prefer_euros"]}
    assert (await forget.call({"what": "green tea"}, context)).value == {"forgotten": ["green_tea"]}
    with pytest.raises(ToolError) as none:
        await forget.call({"what": "coffee"}, context)
    assert none.value.code == "not_found"
    with pytest.raises(ToolError, match="Say what to forget"):
        await forget.call({"what": "my"}, context)


async def test_all_is_forgotten_only_with_approval(attach: Attach) -> None:
    context = attach()
    for fact in ("I like tea", "I like milk"):
        await remember.call({"fact": fact}, context)
    assert forget.approval({"everything": True})
    assert not forget.approval({"what": "tea"})
    assert (await forget.call({"everything": True}, context)).value == {"forgotten": ["like_milk", "like_tea"]}
    assert (await forget.call({"everything": True}, context)).summary == "Nothing was remembered"
