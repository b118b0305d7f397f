"""A conversation that only its provider finds too long is shortened, and its thread goes on."""

from understudy import Agent
from understudy.models.model import TOO_LONG, Emit, ModelFault, ModelUnavailable, Reply, TextDelta, Turn
from understudy.testing import open_session


class Narrow:
    """A model that takes so many characters of a conversation, and says no number."""

    name, notice = "narrow", ""

    def __init__(self, longest: int) -> None:
        self.longest, self.refused = longest, 0

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if sum(len(str(getattr(item, "content", ""))) for item in turn.items) > self.longest:
            self.refused += 1
            raise ModelUnavailable(TOO_LONG, False, "400", fault=ModelFault.TOO_LONG)
        await emit(TextDelta("Well."))
        return Reply("Well.")


async def test_each_message_of_a_long_thread_is_answered() -> None:
    model = Narrow(3_000)
    async with open_session(Agent("x", model=model)) as session:
        runs = [await session.say(f"{number}: " + "words " * 150) for number in range(8)]
    assert [run.text for run in runs] == ["Well."] * 8
    assert 0 < model.refused < 16


async def test_a_message_that_cannot_be_shortened_is_an_error() -> None:
    model = Narrow(100)
    async with open_session(Agent("x", model=model)) as session:
        runs = [await session.say(text) for text in ("words " * 150, "Hello")]
    assert "too long" in runs[0].error.message
    assert model.refused < 5, "it is not asked for ever"
