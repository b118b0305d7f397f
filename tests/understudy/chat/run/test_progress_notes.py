"""The progress notes of a run: paced before they are scanned, from whichever thread they come."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.rigs.tool_context import a_context
from tests.rigs.tool_loop import opened
from understudy.chat.run.progress_notes import BRAKE_S, PUBLISH_S, ProgressNotes
from understudy.tools.tool import Tool, ToolContext, tool

NOTES = 1_000


async def flooded(context: ToolContext) -> None:
    for number in range(NOTES):
        context.progress(number, None, "note")
        if not number % 100:
            await trio.lowlevel.checkpoint()


on_tools_loop = tool(name="on_tools_loop")(flooded)
on_server_loop = tool(name="on_server_loop", on_server_loop=True)(flooded)


@tool
def in_thread(context: ToolContext) -> None:
    for number in range(NOTES):
        context.progress(number, None, "note")


@pytest.mark.parametrize("flood", [on_tools_loop, on_server_loop, in_thread], ids=lambda flood: flood.name)
async def test_a_flood_is_scanned_by_time_and_its_last_note_is_shown(flood: Tool) -> None:
    scanned: list[float] = []

    async def scan(done: float, *_: Any) -> None:
        await trio.sleep(0.001)
        scanned.append(done)

    notes = ProgressNotes(scan)
    async with opened() as loop, trio.open_nursery() as nursery:
        notes.start_soon = nursery.start_soon
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        async with notes.of_call() as progress:
            await flood.call({}, a_context(progress), loop)
        lasted_s = trio.current_time() - began
        progress(-1.0, None, "from a thread that was given up")
        await trio.sleep(2 * PUBLISH_S)
        nursery.cancel_scope.cancel()
    assert len(scanned) <= lasted_s / PUBLISH_S + 2
    assert scanned[-1] == NOTES - 1
    assert flood is on_server_loop or lasted_s > 0.8 * NOTES * BRAKE_S


async def test_calls_of_a_run_take_turns(autojump_clock: trio.testing.MockClock) -> None:
    shown: list[tuple[float, str]] = []

    async def publish(_done: float, _total: float | None, note: str) -> None:
        shown.append((trio.current_time() - began, note))

    notes, began = ProgressNotes(publish), trio.current_time()
    async with trio.open_nursery() as nursery:
        notes.start_soon = nursery.start_soon
        async with notes.of_call() as loud, notes.of_call() as quiet:
            for step in range(40):
                loud(step, None, f"loud {step}")
                if step == 1:
                    quiet(1, None, "quiet")
                await trio.sleep(PUBLISH_S / 10)
        nursery.cancel_scope.cancel()
    times, texts = [round(at, 2) for at, _ in shown], [note for _, note in shown]
    assert times == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert texts[0] == "loud 0"
    assert texts[1:3] in (["quiet", "loud 20"], ["loud 10", "quiet"], ["quiet", "loud 19"])
    assert texts[-1] == "loud 39"
