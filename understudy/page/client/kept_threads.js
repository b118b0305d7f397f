/** The top of the list of chats, kept so that a reload shows it at once, also without a network. */

const KEY = "understudy.threads";
const MOST = 100;

/** The list as it was kept: {threads, cursor} without a cursor; empty when nothing was. */
export function keptThreads(storage) {
  try {
    const threads = JSON.parse(storage.getItem(KEY) ?? "[]");
    return { threads: threads.filter((thread) => typeof thread?.id === "string"), cursor: null };
  } catch {
    return { threads: [], cursor: null };
  }
}

/** Keeps the newest of a list; none to forget them. It may be lost: the server has it. */
export function keepThreads(storage, { threads }) {
  if (threads.length === 0) storage.removeItem(KEY);
  else storage.offer(KEY, JSON.stringify(threads.slice(0, MOST)));
}
