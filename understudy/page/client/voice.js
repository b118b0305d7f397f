/** Speech that the browser turns into text, at the caret of a message. Pure. */

const FAULTS = Object.freeze({
  "not-allowed": "voice.not_allowed", "service-not-allowed": "voice.not_allowed", "audio-capture": "voice.no_microphone",
  "no-speech": "voice.no_speech", network: "voice.network", "language-not-supported": "voice.no_language",
});

/** Begins to dictate into a text, in place of what is selected in it. */
export function dictation(text, start = text.length, end = start) {
  return Object.freeze({ before: text.slice(0, start), after: text.slice(end), said: "" });
}

/** What was heard so far: `results` are the texts of all parts, and replace those of before. */
export function heard(state, results) {
  const said = results.map((text) => text.trim()).filter(Boolean).join(" ");
  return said === state.said ? state : Object.freeze({ ...state, said });
}

/** {text, caret} of the message with what was heard; words are kept apart by a space. */
export function written({ before, after, said }) {
  if (said === "") return { text: before + after, caret: before.length };
  const head = before + (before === "" || /\s$/u.test(before) ? "" : " ") + said;
  return { text: head + (after === "" || /^[\s.,;:!?…)]/u.test(after) ? "" : " ") + after, caret: head.length };
}

/** The message of an error by the browser's name of it; null for one that the user made. */
export function voiceFault(name) {
  if (name === "aborted") return null;
  return Object.hasOwn(FAULTS, name) ? FAULTS[name] : "voice.failed";
}
