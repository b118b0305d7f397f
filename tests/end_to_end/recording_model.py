"""A model that answers with the number of its turn and records the input of each turn."""

from attrs import define, field

from understudy import Agent
from understudy.models.model import CallItem, Emit, Reply, TextDelta, Turn


@define
class RecordingModel:
    """Answers `answer 1`, `answer 2` and so on. `turns` are the inputs it received."""

    turns: list[Turn] = field(factory=list)
    name: str = "recording"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.turns.append(turn)
        text = f"answer {len(self.turns)}"
        await emit(TextDelta(text))
        return Reply(text=text)

    def prompt(self, turn: int = -1) -> list[str]:
        """Return the texts of the messages of one turn, by default the last one."""
        return [item.content for item in self.turns[turn].items if not isinstance(item, CallItem)]

    def agent(self) -> Agent:
        return Agent("script", model=self)
