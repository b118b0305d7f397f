"""A model for tests that answers with the number of its turn, and remembers what it was told in each."""

from attrs import define, field

from understudy import Agent
from understudy.models.model import Emit, Reply, TextDelta, Turn


@define
class RecordingModel:
    """Answers `answer 1`, `answer 2` and so on. `turns` are what it was asked."""

    turns: list[Turn] = field(factory=list)
    name: str = "recording"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Remember the turn and answer with its number."""
        self.turns.append(turn)
        text = f"answer {len(self.turns)}"
        await emit(TextDelta(text))
        return Reply(text=text)

    def prompt(self, turn: int = -1) -> list[str]:
        """Return the texts of the messages of one turn, the last one unless another is named."""
        return [message.content for message in self.turns[turn].messages]

    def agent(self) -> Agent:
        """Return an agent that has this model."""
        return Agent("script", model=self)
