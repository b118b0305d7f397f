/** Clears the browser's storage and memory at the end of a session. */

import { KEY } from "./session.js";

export const USER = "understudy.user"; // whose words are kept
const THEME = "understudy.theme"; // says nothing of anybody

/**
 * Forgets when the session is over, here or in another tab. `parts()` gives what holds words in memory, each with a
 * `clear`; `onEnd()` is called afterwards.
 */
export function forgetAtSessionEnd({ session, storage, window, parts, onEnd }) {
  const end = (kept) => {
    for (const part of parts()) part.clear();
    storage.clear("understudy.", kept);
    onEnd();
  };
  session.onOver = () => end([THEME]);
  window?.addEventListener?.("storage", ({ key, newValue }) => {
    if (key === KEY && newValue === null) end([THEME, KEY, USER]); // the other tab may have begun a new session
  });
}
