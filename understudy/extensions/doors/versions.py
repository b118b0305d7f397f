"""Decides whether the last message in a client's history is new, an edit of a stored one, or stored already.

Such a client edits by sending the message again under its id, or a shorter history. Here an edited message has an id of
its own: a digest of the earlier message's id and the new content, so sending it again finds the stored edit.
"""

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from attrs import asdict, evolve

from transport.auth.identity import Identity
from understudy.chat.conversation.event_log import read_acceptance
from understudy.chat.messages import Version
from understudy.content.vault import equal_but_for_placeholders
from understudy.extensions.doors.message_content import NewFile
from understudy.storage import queries
from understudy.storage.records import Message, RunRecord
from understudy.web.context import web_context
from understudy.wire.commands import Say
from understudy.wire.events import ANSWER


async def stored_version(
    caller: Identity, say: Say, files: Sequence[NewFile], *, anew: bool
) -> tuple[Say, Message | None]:
    """Return the message under the id of its version here, and that version if it is stored, else None.

    `anew`: the client wants another answer, so another agent or `context` makes another version too.
    """
    store = web_context().store
    earlier = await store.message(caller.user, say.message_id or "")
    if earlier is None or earlier.thread_id != say.thread_id:
        return say, None
    if await _is_same(caller, earlier, say, files, anew=anew):
        return _repeat(say, earlier), earlier
    parts = [earlier.id, say.content, *say.references]
    parts += [msgspec.json.encode([say.agent_type, say.pillar, say.context]).decode()] if anew else []
    digest = hashlib.sha256("\0".join(parts).encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.content)
    name = digest.hexdigest()[:32]
    if (stored := await store.message(caller.user, name)) is not None:
        return _repeat(say, stored), stored
    if say.agent_type is None and say.pillar is None:
        say = evolve(say, agent_type=earlier.agent_type, pillar=earlier.pillar)
    return _version(say, message_id=name, parent_id=earlier.parent_id, branch_of=earlier.id), None


async def new_version(
    caller: Identity, say: Say, files: Sequence[NewFile], shown: Sequence[str], request_id: str | None = None
) -> Say:
    """Store the files of a new message. Return the message as it must be sent.

    It follows the answer that the client shows: `shown` has the ids of that answer and of the user's message before it.
    """
    file_ids = await store_files(caller, files, say)
    version = _version(say, references=(*say.references, *file_ids), request_id=request_id)
    if version.branch_of is None and version.parent_id is None:
        run = await shown_run(caller, say.thread_id or "", shown)
        version = evolve(version, parent_id=None if run is None else f"{ANSWER}{run.id}")
    return version


async def shown_run(caller: Identity, thread_id: str, shown: Sequence[str]) -> RunRecord | None:
    """Return the run of the first of these ids that a thread has: an answer's, or the newest of a message; or None."""
    store = web_context().store
    thread = await store.thread(caller.user, thread_id)
    newest = None if thread is None or thread.newest_run is None else await store.run(thread.newest_run)
    message = None if newest is None else await store.message(caller.user, newest.message_id)
    for message_id in shown:
        if newest is not None and message is not None and message_id in (message.id, message.branch_of):
            return newest
        runs = await store.read(queries.runs_of, caller.user, [message_id])
        for run in (await store.run(message_id.removeprefix(ANSWER)), *reversed(runs)):
            if run is not None and (run.owner, run.thread_id) == (caller.user, thread_id):
                return run
    return None


def _repeat(say: Say, stored: Message) -> Say:
    """Return a message with the id, the place in the thread and the files of the stored version of it."""
    place = {"parent_id": stored.parent_id, "branch_of": stored.branch_of}
    return _version(say, message_id=stored.id, references=stored.references, **place)


def _version(say: Say, **changes: Any) -> Version:
    return Version(**asdict(say, recurse=False) | changes)


async def _is_same(caller: Identity, earlier: Message, say: Say, files: Sequence[NewFile], *, anew: bool) -> bool:
    """Return whether a stored message has the text and files sent and, with `anew`, the agent and context too."""
    context = web_context()
    content_filter, file_ids = context.content_filter, earlier.references
    placeholders = content_filter.vault.get(caller.user, earlier.thread_id)
    filtered = await content_filter.filter_message(caller.user, say.content, placeholders)
    if not equal_but_for_placeholders(earlier.content, filtered.text):
        return False
    same = file_ids[: len(say.references)] == say.references and len(file_ids) == len(say.references) + len(files)
    attached = await context.services.attachments(caller.user).rows(file_ids) if files and same else []
    rows = {row.id: row for row in attached}
    for file_id, file in zip(file_ids[len(say.references) :], files, strict=False):
        same = same and file_id in rows and await _stored_digest(file) == rows[file_id].sha256
        same = same and await content_filter.filter_note(caller.user, file.name) == rows[file_id].name
    agents = (None, None), (earlier.agent_type, earlier.pillar)
    same = same and (not anew or (say.agent_type, say.pillar) in agents)
    if not same or not anew or not say.context:
        return same
    accepted = (await read_acceptance(context.store, earlier, earlier.run_id or "")).event
    sent = (await content_filter.filter_context({"context": say.context})).value["context"]
    old, new = (msgspec.json.encode(value or {}).decode() for value in (getattr(accepted, "context", None), sent))
    return equal_but_for_placeholders(old, new)


async def _stored_digest(file: NewFile) -> str:
    """Return the SHA-256 of a file as it would be stored, after the content filter."""
    content_filter, digest = web_context().content_filter, hashlib.sha256()
    async with aclosing(content_filter.filter_file(content_filter.new_file_filter(), file.chunks())) as passing:
        async for chunk in passing:
            digest.update(chunk)
    return digest.hexdigest()


async def store_files(caller: Identity, files: Sequence[NewFile | str], say: Say | None = None) -> list[str]:
    """Store the new ones of `files`. Return the ids of all, in order.

    Raises:
        CommandRejected: There is no room for the files, or the command `say` would be refused; nothing is stored then.
    """
    new = [file for file in files if isinstance(file, NewFile)]
    if new and say is not None:
        await web_context().chat.commands.check(caller, say)
    attachments = web_context().services.attachments(caller.user)
    if new:
        await attachments.check_room(sum(len(new_file.content) for new_file in new))
    ids = []
    for file in files:
        if isinstance(file, NewFile):
            row, _ = await attachments.upload(file.name, file.media_type, file.chunks())
            ids.append(row.id)
        else:
            ids.append(file)
    return ids
