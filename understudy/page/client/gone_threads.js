/** Threads of which something is kept here although the server does not have them any more. */

import { isPending } from "./turns.js";

/** Whether the server has had a thread, as far as `client` knows, and nothing of it is still to be sent. */
export function isOnServer({ threads, freshThreads, outbox }, threadId) {
  return !freshThreads.has(threadId) && !threads.state(threadId)?.turns.some(isPending) && outbox.waiting(threadId).length === 0;
}

/**
 * The ids of the threads that were deleted while `client` was away. Those of the list of chats, `listed`, are not asked
 * for: only the few that are older, archived or gone. None when the server cannot say; the next connection asks again.
 */
export async function goneThreads(client, listed) {
  const there = new Set(listed.map(({ id }) => id));
  const gone = [];
  for (const threadId of client.threads.known) {
    if (there.has(threadId) || !isOnServer(client, threadId)) continue;
    try {
      await client.api.thread(threadId);
    } catch (fault) {
      if (fault.status !== 404) return [];
      if (isOnServer(client, threadId)) gone.push(threadId); // else it was begun anew meanwhile
    }
  }
  return gone;
}
