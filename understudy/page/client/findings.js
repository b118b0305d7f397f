/**
 * What was found in a message, a result or an answer, in words for people. Pure.
 *
 * A row is {category, kind, action, count}. Positions are not kept: where a secret stood is never shown.
 */

import { count } from "./format.js";

const CATEGORIES = Object.freeze({
  secret: ["secret", "secrets", "A key, a token or a password: anyone who has it can act as its owner."],
  pii: ["piece of personal data", "pieces of personal data", "Something that tells who or where a person is, or how to reach or charge them."],
  markup: ["piece of unsafe markup", "pieces of unsafe markup", "Markup or a link that could run something, or tell another server what is read here."],
  injection: ["planted instruction", "planted instructions", "Words that give orders to the agent, as pages and files do that want to take it over."],
  invisible: ["hidden character", "hidden characters", "Characters that are invisible and that programs read, or that show a text in another order."],
  terminal: ["control sequence", "control sequences", "Signs that drive the terminal in which the text is shown."],
});

const SELF_EXPLAINING = new Set(["secret", "pii"]);

const ACTIONS = Object.freeze({
  remove: "taken out", mask: "covered", tokenise: "replaced by a placeholder", flag: "left as it is", block: "held back",
});

const WHERE = Object.freeze({ inbound: "your message", tool: "this result", outbound: "this answer" });
const DIRECTIONS = Object.freeze({ input: "inbound", output: "outbound" }); // as older logs have it

/** How people spell what stands in the name of a kind. */
const SPELLED = Object.freeze(Object.fromEntries([
  "AWS", "GitHub", "GitLab", "OpenAI", "JWT", "IBAN", "BIC", "IP", "API", "URL", "URI", "SSH", "PGP", "npm", "PyPI", "SVG", "CSS", "CSI",
  "OSC", "DCS", "SSN", "NHS", "NINO", "SendGrid", "HTML", "ID", "VAT", "GCP", "DigitalOcean", "HuggingFace", "PayPal", "IPv4", "IPv6", "MAC", "EIN",
  "ITIN", "MBI", "NPI", "UTR", "BSN", "CPF", "CNPJ", "PESEL", "CUIT", "CURP", "RFC", "SIN", "PPS", "VIN", "DEA", "NIR", "NIF", "CNP", "DNI",
].map((word) => [word.toLowerCase(), word])));

/** "inbound", "tool" or "outbound". */
export function directionOf(word) {
  if (Object.hasOwn(WHERE, word)) return word;
  return Object.hasOwn(DIRECTIONS, word) ? DIRECTIONS[word] : "outbound";
}

/** Rows of a `sanitization_summary`: by kind and action, those that are only counted among them. */
export function rowsOfSummary({ counts, kinds, findings }) {
  const rows = new Map();
  const add = (kind, action, number) => {
    const key = `${kind} ${action}`;
    const row = rows.get(key) ?? { category: kind.split(".")[0], kind, action, count: 0 };
    rows.set(key, { ...row, count: row.count + number });
  };
  for (const { kind, action } of list(findings)) if (typeof kind === "string") add(kind, actionOf(action), 1);
  const known = (name) => [...rows.values()].filter(({ kind, category }) => kind === name || category === name);
  for (const [name, number] of Object.entries(kinds ?? counts ?? {})) {
    const more = number - known(name).reduce((sum, row) => sum + row.count, 0);
    if (more > 0) add(name, known(name)[0]?.action ?? "remove", more);
  }
  return [...rows.values()];
}

/** Rows as a `tool_completed` has them. */
export function rowsOfResult(findings) {
  return list(findings).filter(({ kind, count: number }) => typeof kind === "string" && number > 0)
    .map(({ kind, action, count: number }) => ({ category: kind.split(".")[0], kind, action: actionOf(action), count: number }));
}

const list = (value) => (Array.isArray(value) ? value.filter((each) => each !== null && typeof each === "object") : []);
const actionOf = (action) => (Object.hasOwn(ACTIONS, action) ? action : "remove");

const unread = (row) => row.kind.endsWith(".unread");
const left = (row) => row.action === "flag" && !unread(row);

/** Whether a text still holds what looks like orders to the agent. */
export function suspicious(rows) {
  return rows.some((row) => left(row) && row.category === "injection");
}

/** What to say of a text: {text, warns} for each thing that was done about it. */
export function sentences(rows, direction) {
  const where = WHERE[direction];
  const held = rows.filter((row) => row.action === "block");
  const out = rows.filter((row) => row.action === "remove" || row.action === "mask");
  const swapped = rows.filter((row) => row.action === "tokenise");
  const said = [];
  if (held.length > 0) said.push({ text: `Held back, because of ${amounts(held)} in ${where}.`, warns: true });
  if (out.length > 0) said.push({ text: `Taken out of ${where}: ${amounts(out)}.`, warns: false });
  if (swapped.length > 0) said.push({ text: `Replaced by placeholders for the agent: ${amounts(swapped)}.`, warns: false });
  if (suspicious(rows)) {
    const then = direction === "tool" ? "; it was treated as data" : "";
    said.push({ text: `${upper(where)} contains text that looks like instructions${then}.`, warns: true });
  }
  const noticed = rows.filter((row) => left(row) && row.category !== "injection");
  if (noticed.length > 0) said.push({ text: `Noticed in ${where} and left as it is: ${amounts(noticed)}.`, warns: false });
  if (rows.some(unread)) said.push({ text: `A part of ${where} could not be checked.`, warns: true });
  return said;
}

/** "2 secrets and 1 piece of personal data". */
function amounts(rows) {
  const counts = new Map();
  for (const { category, count: number } of rows) counts.set(category, (counts.get(category) ?? 0) + number);
  const parts = [...counts].map(([category, number]) => {
    const [one, many] = Object.hasOwn(CATEGORIES, category) ? CATEGORIES[category] : [plain(category), plain(category)];
    return count(number, one, many);
  });
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

/** A row for people: what it is, what became of it, why. */
export function explained(row) {
  const meaning = unread(row) ? "The check for this did not work, so there may be some." : CATEGORIES[row.category]?.[2] ?? "";
  return { name: nameOf(row.kind), count: row.count, done: ACTIONS[row.action], meaning, kind: row.kind };
}

/** "secret.github.fine_grained" -> "GitHub fine grained". */
export function nameOf(kind) {
  const [category, ...rest] = kind.split(".");
  if (rest.length === 0) return upper(CATEGORIES[category]?.[0] ?? plain(category));
  if (rest.at(-1) === "unread") return `Not checked for ${CATEGORIES[category]?.[1] ?? plain(category)}`;
  const words = rest.flatMap((part) => part.split("_")).map((word) => (Object.hasOwn(SPELLED, word) ? SPELLED[word] : word));
  if (category === "pii" && words.length > 1 && words[0].length === 2) words[0] = words[0].toUpperCase(); // a country
  const name = upper(words.join(" "));
  return SELF_EXPLAINING.has(category) || !Object.hasOwn(CATEGORIES, category) ? name : `${name} (${CATEGORIES[category][0]})`;
}

const plain = (name) => name.replaceAll("_", " ");
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
