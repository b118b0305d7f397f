/**
 * JSON as servers take it, and as it was stored. Half of a pair of surrogates, as in a text that was cut by its length, is no character.
 */

/** The JSON of a value, with U+FFFD in place of each half. */
export function toJson(value) {
  return JSON.stringify(value, (_, each) => (typeof each === "string" ? each.replace(/\p{Surrogate}/gu, "\uFFFD") : each));
}

/** What was stored as JSON; null if that was nothing, or something else. */
export function fromJson(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
