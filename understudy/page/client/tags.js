/** Tags of chats: their form, in searches, and which to offer. Pure. */

export const MOST_TAGS = 8; // of a chat
export const MAX_TAG = 32; // characters
const SUGGESTED = 8;
const FORM = new RegExp(`^[\\p{L}\\p{M}\\p{N}_-]{1,${MAX_TAG}}$`, "u");

/** The form in which the server keeps a tag; null for what cannot be one. */
export function tagOf(typed) {
  const tag = typed.toLowerCase().normalize("NFC").trim().split(/\s+/).join("-").replace(/^#/, "");
  return FORM.test(tag) ? tag : null;
}

/** {query, tags} of what was typed to search: `#work` is a tag, whatever cannot be one is searched for as it is. */
export function searched(typed) {
  const tags = new Set();
  const words = typed.trim().split(/\s+/).filter((word) => {
    const tag = word.startsWith("#") && tags.size < MOST_TAGS ? tagOf(word) : null;
    if (tag !== null) tags.add(tag);
    return tag === null;
  });
  return { query: words.join(" "), tags: [...tags] };
}

/** Returns the typed search with the tag added, or removed if it was there. */
export function toggled(typed, tag) {
  const words = typed.trim().split(/\s+/).filter(Boolean);
  const rest = words.filter((word) => !(word.startsWith("#") && tagOf(word) === tag));
  return (rest.length < words.length ? rest : [`#${tag}`, ...words]).join(" ");
}

/** The tags of these chats, most used first. */
export function counted(threads) {
  const times = new Map();
  for (const { tags = [] } of new Map(threads.map((thread) => [thread.id, thread])).values()) { // a pinned one is listed twice
    for (const tag of tags) times.set(tag, (times.get(tag) ?? 0) + 1);
  }
  return [...times].sort(([one, often], [other, oftener]) => oftener - often || one.localeCompare(other)).map(([tag]) => tag);
}

/** Which of the known tags to offer beside the chosen ones: those that begin with what is typed first. */
export function suggested(known, chosen, typed) {
  const part = typed.trim().toLowerCase().replace(/^#/, "");
  const fits = known.filter((tag) => !chosen.includes(tag) && tag.includes(part));
  return [...fits.filter((tag) => tag.startsWith(part)), ...fits.filter((tag) => !tag.startsWith(part))].slice(0, SUGGESTED);
}
