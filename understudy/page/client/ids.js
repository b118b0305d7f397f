/** Makes ids, and reads and writes JSON as the server takes it. */

const AUTOMATIC = "auto-"; // before ids of messages that nobody sent, and of the threads that were made for them

/** Whether nobody sent the message of this id, or a thread of this id was made for such messages. */
export function isAutomatic(id) {
  return typeof id === "string" && id.startsWith(AUTOMATIC);
}

/** A random id, also where `crypto.randomUUID` is missing (pages that are not on https or localhost). */
export function randomId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

// JSON as servers take it, and as it was stored. Half of a pair of surrogates, as in a text that was cut by its length, is no character.

/** The JSON of a value, with U+FFFD in place of each half. */
export function toJson(value) {
  return JSON.stringify(value, (_, each) => (typeof each === "string" ? each.replace(/\p{Surrogate}/gu, "\uFFFD") : each));
}

/** Parses stored JSON; null if there is none, or the text is not JSON. */
export function fromJson(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
