"""The way of a plain message through the code: the two tables at the top of the architecture page.

`STEPS` and `WALK` are the only lists of it. `tests/docs/test_message_way.py` sends a message and fails if a step is not
passed, in this order, or if a file of the chat on its way is in no step: then mend the line of the step here, and run
`python -m docs.tables`.
"""

from typing import Final

from attrs import frozen

CHAT: Final = "understudy/chat"


@frozen
class Step:
    """A step: what happens, the function of a file where it does, and the other files that it passes.

    `apart`: another task does it, while the next steps go on.
    """

    what: str
    file: str
    function: str
    others: tuple[str, ...] = ()
    apart: bool = False


STEPS: Final = (
    Step(
        "The connection reads a frame of the socket, and a command of the frame",
        "transport/connection/websocket.py",
        "WebSocketConnection._receive_command",
        ("transport/server/socket.py", "transport/server/websocket.py", "understudy/wire/commands.py"),
    ),
    Step(
        "It checks the session and the rate limits",
        "transport/connection/websocket.py",
        "WebSocketConnection._handle_command",
        ("transport/connection/limits.py", "understudy/web/user_connections.py"),
    ),
    Step(
        "The dispatcher calls the function of the command",
        f"{CHAT}/commands/dispatcher.py",
        "CommandDispatcher.dispatch",
        (f"{CHAT}/commands/request.py",),
    ),
    Step(
        "It chooses the agent, and checks rights, stops and ids",
        f"{CHAT}/commands/accept.py",
        "check_say",
        (f"{CHAT}/routing.py", f"{CHAT}/stops.py", f"{CHAT}/services.py"),
    ),
    Step(
        "It checks quotas, and has the content filter sanitize the text",
        f"{CHAT}/commands/accept.py",
        "accept",
        ("understudy/content/filter.py", "understudy/storage/quotas.py"),
    ),
    Step(
        "The registry finds or starts the actor of the thread, and asks it; on another node it is a proxy",
        f"{CHAT}/registry.py",
        "ConversationRegistry.ask",
        (f"{CHAT}/storage_away.py",),
    ),
    Step(
        "The conversation takes one message after another",
        f"{CHAT}/conversation/conversation.py",
        "Conversation.handle",
        (f"{CHAT}/messages.py",),
    ),
    Step(
        "It reserves a permit or a place in the queue, and makes the message's run",
        f"{CHAT}/conversation/acceptance.py",
        "Acceptance.accept",
        (f"{CHAT}/run_limiter.py", f"{CHAT}/conversation/active_run.py", f"{CHAT}/conversation/streamed_text.py"),
    ),
    Step(
        "The log folds the events into the state of their run, numbers them, and encodes each once",
        f"{CHAT}/conversation/thread_log.py",
        "ThreadLog.append",
        (f"{CHAT}/run_state/state.py", f"{CHAT}/run_state/records.py", f"{CHAT}/envelope.py"),
    ),
    Step(
        "The writer commits what waits in one transaction: an acknowledged message is stored from here on",
        "understudy/storage/writer.py",
        "StoreWriter.commit",
        ("understudy/storage/store.py", "understudy/storage/changes.py"),
    ),
    Step(
        "What was committed is kept for the next message, and published",
        f"{CHAT}/conversation/subscribers.py",
        "Subscribers.publish",
        (f"{CHAT}/conversation/branch.py", f"{CHAT}/presence.py"),
    ),
    Step(
        "An outbox writes every durable event once, in order",
        "transport/outbox/outbox.py",
        "Outbox.receive",
        ("transport/outbox/send_queue.py", "transport/outbox/delivery.py"),
        apart=True,
    ),
    Step(
        "The conversation starts the run",
        f"{CHAT}/conversation/run_queue.py",
        "RunQueue.start",
        (f"{CHAT}/conversation/workers.py",),
    ),
    Step(
        "The run, an actor, works within its deadline",
        f"{CHAT}/run/run.py",
        "Run._work",
        (f"{CHAT}/run_state/past.py", f"{CHAT}/run/deadline.py", f"{CHAT}/run/part.py", f"{CHAT}/run/work.py"),
    ),
    Step(
        "It reads the conversation, and fits it into the model's window",
        f"{CHAT}/run/history.py",
        "load_conversation",
        (f"{CHAT}/run_state/turns.py", f"{CHAT}/run/window.py"),
    ),
    Step(
        "Its loop takes a turn, if there is enough left to spend",
        f"{CHAT}/run/loop.py",
        "answer_by_model",
        (f"{CHAT}/run/meter.py", f"{CHAT}/run/equipped.py"),
    ),
    Step(
        "The model is asked; its thought is redacted",
        f"{CHAT}/run/turn.py",
        "ModelRequest.reply",
        ("understudy/models/registry.py",),
    ),
    Step(
        "The reply's calls are checked",
        f"{CHAT}/run/executor.py",
        "ToolExecutor.execute",
        (f"{CHAT}/run/call.py", "understudy/tools/parameters.py"),
    ),
    Step(
        "The tool call, an actor under the run, runs the tool",
        f"{CHAT}/run/call_attempt.py",
        "ToolCall._call",
        (f"{CHAT}/run/progress_notes.py", "understudy/tools/tool.py", "understudy/tools/execution.py"),
    ),
    Step(
        "Its result is sanitized",
        f"{CHAT}/run/tool_outcome.py",
        "ToolOutcome.recorded",
    ),
    Step(
        "The run itself commits turn, call and result, as the acceptance was; then the model is asked again",
        f"{CHAT}/conversation/run_log.py",
        "RunLog.record",
        (f"{CHAT}/run/thoughts.py",),
    ),
    Step(
        "The answer is redacted as it is written, and shown in windows",
        f"{CHAT}/answer/stream.py",
        "AnswerStream.feed",
    ),
    Step(
        "The run's end is committed with its answer and published",
        f"{CHAT}/run/work.py",
        "RunWork.finish",
    ),
    Step(
        "The permit is released, and the next run starts",
        f"{CHAT}/conversation/run_queue.py",
        "RunQueue.exited",
    ),
)


@frozen
class Place:
    """A function on the walk, and how it gets to the next one.

    By a call; or by a `message`, the class that the next one matches; or through a `table` of functions.
    """

    file: str
    function: str
    message: str = ""
    table: str = ""


WALK: Final = (
    Place("transport/connection/websocket.py", "WebSocketConnection._handle_command"),
    Place("understudy/chat/commands/dispatcher.py", "CommandDispatcher.dispatch", table="_functions"),
    Place("understudy/chat/commands/accept.py", "accept_say"),
    Place("understudy/chat/commands/accept.py", "accept"),
    Place("understudy/chat/commands/accept.py", "ask_for_run"),
    Place("understudy/chat/registry.py", "ConversationRegistry.ask", message="Accept"),
    Place("understudy/chat/conversation/conversation.py", "Conversation.handle"),
    Place("understudy/chat/conversation/acceptance.py", "Acceptance.accept"),
    Place("understudy/chat/conversation/acceptance.py", "Acceptance._admit"),
    Place("understudy/chat/conversation/acceptance.py", "Acceptance._store_message"),
    Place("understudy/chat/conversation/thread_log.py", "ThreadLog.append"),
    Place("understudy/chat/conversation/thread_log.py", "ThreadLog.commit"),
    Place("understudy/storage/store.py", "Store.commit", message="WriteRequest"),
    Place("understudy/storage/writer.py", "StoreWriter.receive"),
)
"""From the socket to the commit; what it takes with it is in the arguments."""
MOST_FILES: Final = 9
"""Files of the walk at most. It is to be seven: a change may only lower it."""


def step_rows() -> list[tuple[str, ...]]:
    """Return the steps, each with its file, the other files that it passes, and its function."""
    return [(step.what, f"`{step.file}`", _listed(step), f"`{step.function}`") for step in STEPS]


def walk_rows() -> list[tuple[str, ...]]:
    """Return the files of the walk, with their functions in the order in which they call each other."""
    rows: list[tuple[str, ...]] = []
    for place in WALK:
        how = f"the message `{place.message}`" if place.message else f"`{place.table}`" if place.table else "a call"
        if rows and rows[-1][0] == f"`{place.file}`":
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}, `{place.function}`", how)
        else:
            rows.append((f"`{place.file}`", f"`{place.function}`", how))
    rows[-1] = (*rows[-1][:2], "it commits when its mailbox is empty")
    return rows


def _listed(step: Step) -> str:
    folder = f"{step.file.rpartition('/')[0]}/"
    return ", ".join(f"`{other.removeprefix(folder)}`" for other in step.others)
