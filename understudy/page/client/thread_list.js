/** The list of chats as pages of it are read, newest first. Pure. */

const FIRST = 40; // chats of a page
const MOST = 200; // chats that the server gives at a time

/** A list of which nothing was read. */
export const NO_THREADS = Object.freeze({ threads: [], cursor: null });

/** How many chats to read at the top of a list, so that what is shown of it stays up to date. */
export function wantedAtTop({ threads }) {
  return Math.min(Math.max(threads.length, FIRST), MOST);
}

/** The list after its top was read again: the chats below it stay, unless others may be missing between the two. */
export function refreshed(list, page) {
  const read = { threads: page.threads, cursor: page.next_cursor ?? null };
  const last = page.threads.at(-1);
  const at = list.threads.findIndex((thread) => thread.id === last?.id && thread.updated_at === last.updated_at);
  if (read.cursor === null || at < 0 || at === list.threads.length - 1) return read;
  const ids = new Set(page.threads.map((thread) => thread.id));
  const below = list.threads.slice(at + 1).filter((thread) => !ids.has(thread.id));
  return { threads: [...page.threads, ...below], cursor: list.cursor };
}

/** The list with the next page of it. */
export function extended(list, page) {
  const ids = new Set(list.threads.map((thread) => thread.id));
  return { threads: [...list.threads, ...page.threads.filter((thread) => !ids.has(thread.id))], cursor: page.next_cursor ?? null };
}

export function without(list, threadId) {
  return { ...list, threads: list.threads.filter((thread) => thread.id !== threadId) };
}
