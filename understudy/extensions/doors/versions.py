"""The last message in the history that a client sends: a new one, an edit of one, or one that is stored already.

Such a client edits by sending the message again under its id, or a shorter history. Here an edited message has an id of
its own, which follows from the earlier one's and from all that the message holds.
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
    """Return the message as the version that it is here, and that one if it is stored.

    `anew`: it is to be answered once more, and is another version with another agent or `context`, too.
    """
    store = web_context().store
    earlier = await store.message(caller.user, say.message_id or "")
    if earlier is None or earlier.thread_id != say.thread_id:
        return say, None
    if await _is_same(caller, earlier, say, files, anew=anew):
        return _repeat(say, earlier), earlier
    held = [earlier.id, say.content, *say.references]
    held += [msgspec.json.encode([say.agent_type, say.pillar, say.context]).decode()] if anew else []
    digest = hashlib.sha256("\0".join(held).encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.content)
    name = digest.hexdigest()[:32]
    if (known := await store.message(caller.user, name)) is not None:
        return _repeat(say, known), known
    if say.agent_type is None and say.pillar is None:
        say = evolve(say, agent_type=earlier.agent_type, pillar=earlier.pillar)
    return _version(say, message_id=name, parent_id=earlier.parent_id, branch_of=earlier.id), None


async def new_version(
    caller: Identity, say: Say, files: Sequence[NewFile], shown: Sequence[str], request_id: str | None = None
) -> Say:
    """Return a message that is not stored as it is to be sent, with its files stored.

    It follows the answer that its client shows, if that is not the newest: `shown` are the ids of the answer and the
    message of the user before it.
    """
    stored = await store_files(caller, files, say)
    version = _version(say, references=(*say.references, *stored), request_id=request_id)
    if version.branch_of is None and version.parent_id is None:
        run = await shown_run(caller, say.thread_id or "", shown)
        version = evolve(version, parent_id=None if run is None else f"{ANSWER}{run.id}")
    return version


async def shown_run(caller: Identity, thread_id: str, shown: Sequence[str]) -> RunRecord | None:
    """Return the run in a thread of the first of these ids that is known: of an answer, or the newest of a message."""
    store = web_context().store
    thread = await store.thread(caller.user, thread_id)
    newest = None if thread is None or thread.newest_run is None else await store.run(thread.newest_run)
    message = None if newest is None else await store.message(caller.user, newest.message_id)
    for name in shown:
        if newest is not None and message is not None and name in (message.id, message.branch_of):
            return newest
        runs = await store.read(queries.runs_of, caller.user, [name])
        for run in (await store.run(name.removeprefix(ANSWER)), *reversed(runs)):
            if run is not None and (run.owner, run.thread_id) == (caller.user, thread_id):
                return run
    return None


def _repeat(say: Say, known: Message) -> Say:
    """Return a message with the place and the files of the stored one, with which it is the same."""
    place = {"parent_id": known.parent_id, "branch_of": known.branch_of}
    return _version(say, message_id=known.id, references=known.references, **place)


def _version(say: Say, **changes: Any) -> Version:
    return Version(**asdict(say, recurse=False) | changes)


async def _is_same(caller: Identity, earlier: Message, say: Say, files: Sequence[NewFile], *, anew: bool) -> bool:
    """Return whether a stored message has the text and the files that its client sends, and what `anew` compares."""
    context = web_context()
    content_filter, ids = context.content_filter, earlier.references
    placeholders = content_filter.vault.get(caller.user, earlier.thread_id)
    filtered = await content_filter.filter_message(caller.user, say.content, placeholders)
    if not equal_but_for_placeholders(earlier.content, filtered.text):
        return False
    kept = ids[: len(say.references)] == say.references and len(ids) == len(say.references) + len(files)
    attached = await context.services.attachments(caller.user).rows(ids) if files and kept else []
    rows = {row.id: row for row in attached}
    for name, file in zip(ids[len(say.references) :], files, strict=False):
        kept = kept and name in rows and await _sum_of(file) == rows[name].sha256
        kept = kept and await content_filter.filter_note(caller.user, file.name) == rows[name].name
    agents = (None, None), (earlier.agent_type, earlier.pillar)
    kept = kept and (not anew or (say.agent_type, say.pillar) in agents)
    if not kept or not anew or not say.context:
        return kept
    accepted = (await read_acceptance(context.store, earlier, earlier.run_id or "")).event
    sent = (await content_filter.filter_context({"context": say.context})).value["context"]
    one, other = (msgspec.json.encode(value or {}).decode() for value in (getattr(accepted, "context", None), sent))
    return equal_but_for_placeholders(one, other)


async def _sum_of(file: NewFile) -> str:
    """Return the SHA-256 of a file as it would be stored."""
    content_filter, digest = web_context().content_filter, hashlib.sha256()
    async with aclosing(content_filter.filter_file(content_filter.new_file_filter(), file.chunks())) as passing:
        async for chunk in passing:
            digest.update(chunk)
    return digest.hexdigest()


async def store_files(caller: Identity, files: Sequence[NewFile | str], say: Say | None = None) -> list[str]:
    """Store the new files of a message. Return the ids of all.

    Raises:
        CommandRejected: There is no room for the files; or `say` is refused, for which nothing is stored then.
    """
    new = [file for file in files if isinstance(file, NewFile)]
    if new and say is not None:
        await web_context().chat.commands.check(caller, say)
    stored = web_context().services.attachments(caller.user)
    if new:
        await stored.check_room(sum(len(new_file.content) for new_file in new))
    ids = []
    for file in files:
        if isinstance(file, NewFile):
            row, _ = await stored.upload(file.name, file.media_type, file.chunks())
            ids.append(row.id)
        else:
            ids.append(file)
    return ids
