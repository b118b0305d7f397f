"""Two stages for the same scripts: an actor in a real system, and the same actor under a recorder."""

from __future__ import annotations

from typing import Any

import trio

from actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Ask,
    ChildSpec,
    Crashed,
    DeathPact,
    Exit,
    Restart,
    Shutdown,
    StopMode,
)
from actors.testing import Probe, Recorder, TaskStarted, Told, advance, settle

PATH = "/test/actor"


class Crash(Exception):
    """The actor crashed by its cause, or was killed."""


class RealStage:
    """The actor lives in a system, and so do its peers, who are probes."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.probes: dict[str, Probe] = {}
        self.ref: ActorRef

    async def open(self, actor: Actor) -> None:
        self.ref = await self.system.spawn(ChildSpec("actor", lambda: actor, restart=Restart.TEMPORARY))

    async def peer(self, name: str) -> ActorRef:
        """Another actor, that can be told things, asked and ended."""
        self.probes[name] = await Probe.open(self.system, name)
        return self.probes[name].ref

    def answer(self, name: str, kind: type[Ask[Any]], answer: Any) -> None:
        self.probes[name].answer(kind, answer)

    async def told(self, name: str) -> list[object]:
        await settle()
        return [message for message in self.probes[name].seen if not isinstance(message, Ask)]

    async def ask(self, request: Ask[Any]) -> Any:
        alive = self.ref.alive
        try:
            return await self.ref.ask(request)
        except ActorDied as error:
            if alive and error.__cause__ is not None and error.path == PATH:
                raise Crash from error.__cause__
            raise

    async def end(self, ref: ActorRef) -> Exit:
        reason = await ref.stop(StopMode.AFTER_DRAIN)
        await settle()
        return reason

    async def advance(self, seconds: float) -> None:
        await advance(seconds)

    async def stop(self) -> None:
        await self.ref.stop(StopMode.AFTER_MESSAGE)


class RecordedStage:
    """The actor runs alone; what it tells itself is delivered, and its own tasks are run, by the stage."""

    def __init__(self) -> None:
        self.recorder: Recorder
        self.now_s = 0.0
        self.seen: list[Any] = []

    async def open(self, actor: Actor) -> None:
        self.recorder = Recorder(actor, PATH)
        await self.recorder.start()

    async def peer(self, name: str) -> ActorRef:
        return self.recorder.actor_at(f"/test/{name}")

    def answer(self, name: str, kind: type[Ask[Any]], answer: Any) -> None:
        self.recorder.answer(kind, answer)

    async def told(self, name: str) -> list[object]:
        await self._follow()
        told = [effect for effect in self.seen if isinstance(effect, Told) and effect.to == f"/test/{name}"]
        return [effect.message for effect in told]

    async def ask(self, request: Ask[Any]) -> Any:
        try:
            return await self.recorder.ask(request)
        except Exception as error:
            if isinstance(self.recorder.exit, Crashed) and self.recorder.exit.error is error:
                raise Crash from error
            raise
        finally:
            if self.recorder.exit is None:
                await self._follow()

    async def end(self, ref: ActorRef) -> Exit:
        try:
            await self.recorder.end(ref, Shutdown())
        except DeathPact:
            return Shutdown()
        await self._follow()
        return Shutdown()

    async def advance(self, seconds: float) -> None:
        """Let the timers fire that are due; all are set before the first call."""
        self.now_s += seconds
        for key, timer in sorted(self.recorder.timers.items(), key=lambda item: item[1].delay_s):
            if timer.delay_s <= self.now_s:
                await self.recorder.fire(key)
        await trio.sleep(seconds)

    async def stop(self) -> None:
        await self.recorder.stop()

    async def _follow(self) -> None:
        while effects := self.recorder.take_effects():
            self.seen += effects
            for effect in effects:
                if isinstance(effect, Told) and effect.to == PATH:
                    await self.recorder.receive(effect.message)
                elif isinstance(effect, TaskStarted):
                    await effect.function(*effect.args)
