/** What the command palette finds for what is typed. Pure. */

const MOST = 40; // entries shown

/** Text without case and accents, so that "resume" finds "Résumé". */
export function folded(text) {
  return text.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase();
}

/** How well all words of a query fit: 3 where the title begins with it, 2 at beginnings of words, 1 anywhere, 0 not at all. */
function fit(query, { title, words = "" }) {
  const asked = folded(query).split(/\s+/).filter(Boolean);
  const all = folded(`${title} ${words}`);
  if (!asked.every((word) => all.includes(word))) return 0;
  const name = folded(title);
  if (name.startsWith(asked.join(" "))) return 3;
  return asked.every((word) => all.split(/[^\p{L}\p{N}]+/u).some((part) => part.startsWith(word))) ? 2 : 1;
}

/**
 * The entries to show, best first: `groups` are lists of {id, title, words}, each id once. Without a query they stand as
 * they are given; entries of the same fit keep their order.
 */
export function found(query, groups) {
  const seen = new Set();
  const all = groups.flat().filter(({ id }) => !seen.has(id) && seen.add(id));
  if (query.trim() === "") return all.slice(0, MOST);
  return all.map((entry) => [entry.found ? Math.max(fit(query, entry), 1) : fit(query, entry), entry]) // the server has found it in a message
    .filter(([fits]) => fits > 0).sort(([one], [other]) => other - one).map(([, entry]) => entry).slice(0, MOST);
}
