"""An alert of operators: it overtakes what waits for its users."""

from actors import Actor, ActorSystem, ChildSpec, Context, Lane, StopMode
from transport.auth.identity import Identity
from transport.wire.messages import Deliver
from understudy.auth.rights import everybody
from understudy.chat.presence import Presence
from understudy.extensions.notices.alert_routes import send
from understudy.wire.events import Alert, Envelope


class Hearing(Actor):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def receive(self, message: object, context: Context) -> None:
        self.heard.append("alert" if isinstance(message, Deliver) else str(message))


async def test_an_alert_overtakes_queued_events() -> None:
    presence, hearers = Presence(2), [Hearing(), Hearing()]
    async with ActorSystem("system") as system:
        refs = [await system.spawn(ChildSpec(f"h{n}", lambda n=n: hearers[n])) for n in range(2)]  # type: ignore[misc]
        for number, ref in enumerate(refs):
            presence.register(Identity(f"user{number}", "s"), f"c{number}", ref)
            ref.tell("queued")
            ref.tell("high", lane=Lane.HIGH)
        assert send(presence, Envelope(Alert("Maintenance at noon."), 1.5), everybody) == 2
        for ref in refs:
            await ref.stop(mode=StopMode.AFTER_DRAIN)
    assert [hearer.heard for hearer in hearers] == [["alert", "high", "queued"]] * 2
    assert Alert("x").priority.value == "alert"
