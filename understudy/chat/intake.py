"""A message as it is taken in: scrubbed, and made the job of a run that is still to begin."""

import trio

from sanitization import Scrubber
from transport.events import Envelope, Typing
from understudy.chat.arc import Arc
from understudy.chat.live import LiveRun
from understudy.chat.messages import Accept, Job

SCRUB_INLINE = 1024
"""Characters scrubbed on the spot; longer texts go to a worker thread, so that no step holds the loop."""


async def take_in(ask: Accept, owner: str, thread_id: str, scrubber: Scrubber) -> LiveRun:
    """Make a run of a message; what must not be stored is out of its text from here on."""
    content = ask.say.content
    if len(content) > SCRUB_INLINE:
        scrubbed = await trio.to_thread.run_sync(scrubber.scrub, content)
    else:
        scrubbed = scrubber.scrub(content)
    job = Job(
        run_id=ask.run_id,
        owner=owner,
        thread_id=thread_id,
        message_id=ask.message_id,
        content=scrubbed.text,
        references=ask.say.references,
        agent=ask.route.agent,
        findings=tuple(scrubbed.findings),
    )
    around = Envelope(
        event=Typing(),
        timestamp=0.0,
        thread_id=thread_id,
        run_id=ask.run_id,
        message_id=ask.message_id,
        conversation_id=ask.route.conversation_id,
        agent_type=ask.route.agent_type,
        pillar=ask.route.pillar,
    )
    return LiveRun(job, Arc(job.run_id), around)
