"""States: the table between them, their names, their errors."""

from typing import ClassVar

import pytest

from actors import InvalidSpec, StartFailed
from actors.behaviours.state_machine import TransitionRefused, check_table
from tests.actors.behaviours.lights import Light, start, to


class OneWay(Light):
    transitions: ClassVar = {"red": {"green"}, "green": {"dark", "green"}, "dark": ()}


async def test_a_table_is_kept_to(autojump_clock, system):
    light = await start(system, OneWay)

    def refused(machine, _):
        with pytest.raises(TransitionRefused, match="no transition leads from red to dark") as caught:
            machine.become(machine.dark)
        return caught.value

    assert isinstance(await light.do(refused), LookupError)
    assert await light.state() == "red"
    await light.do(to("green"))
    await light.do(to("green", reenter=True))
    await light.do(to("dark"))
    assert light.news() == ["red -> green", "green -> green"]
    assert await light.state() == "dark"


def test_a_table_with_a_gap_is_refused_when_the_class_is_made():
    with pytest.raises(InvalidSpec, match="red leads to 'grene', which has no row of its own"):

        class Gap(Light):
            transitions: ClassVar = {"red": {"grene"}, "green": {"red"}}


def test_a_table_that_gives_a_word_for_a_row_is_refused():
    with pytest.raises(InvalidSpec, match="transitions"):
        check_table({"a": "b", "b": "a"})


async def test_an_initial_state_the_table_does_not_know_is_refused(autojump_clock, system):
    class Off(OneWay):
        async def initial(self, context):
            return self.anywhere

    with pytest.raises(StartFailed, match="has no row for anywhere, the initial state"):
        await start(system, Off)
