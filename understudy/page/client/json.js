/** JSON as servers take it: half of a pair of surrogates, as in a text that was cut by its length, is no character. */

/** The JSON of a value, with U+FFFD in place of each half. */
export function toJson(value) {
  return JSON.stringify(value, (_, each) => (typeof each === "string" ? each.replace(/\p{Surrogate}/gu, "\uFFFD") : each));
}
