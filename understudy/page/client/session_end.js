/** Clears the browser's storage and memory at the end of a session. */

import { KEY } from "./session.js";

export const USER = "understudy.user"; // whose words are kept
export const LEFT = "understudy.left"; // what was being written when a session ran out, for its user alone
const PREFERENCES = ["understudy.theme", "understudy.density", "understudy.language", "understudy.dir"]; // say nothing of anybody

const COPIES = ["understudy.draft.", "understudy.history.", "understudy.files", "understudy.agents", "understudy.threads"];

const CACHES_MS = 1_000; // the page is drawn anew afterwards, whatever the browser does with them

/** Deletes what a service worker keeps; the files of the page are fetched again. */
async function clearCaches(caches) {
  try {
    await Promise.all((await caches.keys()).map((name) => caches.delete(name)));
  } catch {
    // not in a page of another site's frame, or in a private window: then nothing is kept there either
  }
}

const clearCachesSoon = (caches) => Promise.race([clearCaches(caches), new Promise((resolve) => setTimeout(resolve, CACHES_MS))]);

/** Forgets drafts and what can be read from the server again; who is signed in, and what waits to be sent, stay. */
export async function clearCopies(storage, caches) {
  for (const prefix of COPIES) storage.clear(prefix, []);
  if (caches) await clearCachesSoon(caches);
}

/**
 * Forgets when the session is over, here or in another tab. `parts()` gives what holds words in memory, each with a
 * `clear`; `onEnd()` is called afterwards. Before, `onRunOut()` may set aside what its user is to find again (`LEFT`), if the session
 * was not ended but has run out. The storage is closed until a session is used again.
 */
export function forgetAtSessionEnd({ session, storage, window, parts, onRunOut = () => {}, onEnd }) {
  const end = async (kept, ranOut) => {
    if (ranOut) onRunOut();
    for (const part of parts()) part.clear();
    storage.clear("understudy.", kept);
    storage.close();
    if (window?.caches) await clearCachesSoon(window.caches);
    onEnd();
  };
  session.onOver = ({ ranOut }) => end(ranOut ? [...PREFERENCES, LEFT] : PREFERENCES, ranOut);
  window?.addEventListener?.("storage", ({ key, newValue }) => {
    if (key === KEY && newValue === null) end([...PREFERENCES, KEY, USER, LEFT], storage.getItem(LEFT) !== null); // the other tab may have begun a new session
  });
}
