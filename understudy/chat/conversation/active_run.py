"""A run as its conversation sees it: the arc, the answer so far, and the envelope its events are put in."""

import trio
from attrs import define, field

from actors import ActorRef
from transport.wire.events import AskedAgent, Block, Envelope, Event, PartialResult
from understudy.chat.conversation.resume import ResumeAttempt
from understudy.chat.messages import Decide, RunRequest
from understudy.chat.run_protocol import RunProtocol


@define(eq=False)
class ActiveRun:
    """One run that has not ended. `ref` is None while it waits for its turn.

    `again`: it answers a message once more; `request_id` is the client's name for the request to do so. `taken` is
    set of a run that lost its server, and is taken up. `keeping` is set while a step of it is being kept that is not
    finished. `decisions` of its user are not answered yet. `asked` is the agent that the message was addressed to.
    """

    request: RunRequest
    protocol: RunProtocol
    envelope_template: Envelope
    ref: ActorRef | None = None
    stopped: bool = False
    regenerates: bool = False
    request_id: str | None = None
    attempt: ResumeAttempt | None = None
    checkpointing: trio.Event | None = None
    decisions: list[Decide] = field(factory=list)
    addressed: AskedAgent = field(init=False)
    _pieces: list[str] = field(factory=list, init=False, repr=False)
    _blocks: list[Block] = field(factory=list, init=False, repr=False)
    _shown: list[str] = field(factory=list, init=False, repr=False)
    _length: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.addressed = self.envelope_template.asked_agent or AskedAgent(
            self.envelope_template.agent_type or "", self.envelope_template.pillar
        )

    @property
    def text(self) -> str:
        """The answer streamed so far, as it is stored."""
        return "".join(self._pieces)

    def set_speaker(self, agent_type: str, pillar: str | None) -> None:
        """From now on the events come from this agent."""
        asked = None if (agent_type, pillar) == (self.addressed.agent_type, self.addressed.pillar) else self.addressed
        self.envelope_template = self.envelope_template.replace(agent_type=agent_type, pillar=pillar, asked_agent=asked)

    def append_text(self, text: str, blocks: tuple[Block, ...], kept: str | None = None) -> PartialResult:
        """Take in the next piece of the answer and give the event that shows it; `kept` is how it is stored."""
        piece = PartialResult(text, self._length, blocks)
        self._pieces.append(text if kept is None else kept)
        self._shown.append(text)
        self._blocks.extend(blocks)
        self._length += len(text)
        return piece

    def restart_text(self) -> PartialResult:
        """The answer begins anew; gives the event that says so: nothing is shown of it."""
        self._pieces.clear()
        self._shown.clear()
        self._blocks.clear()
        self._length = 0
        return PartialResult("", 0)

    def snapshot(self) -> Event | None:
        """Give the whole text so far as one event from offset 0; None when there is none."""
        if not self._length:
            return None
        return PartialResult("".join(self._shown), 0, tuple(self._blocks))
