/**
 * Findings of the sanitizer in a message, a result or an answer, in words for people. Pure.
 *
 * A row is {category, kind, action, count}. Positions are not kept: where a secret stood is never shown.
 */

import { listed, t } from "../messages.js";

const CATEGORIES = new Set(["secret", "pii", "markup", "injection", "invisible", "terminal"]); // each with messages of its own

const SELF_EXPLAINING = new Set(["secret", "pii"]);

const ACTIONS = new Set(["remove", "mask", "tokenise", "flag", "block"]);

const WHERE = new Set(["inbound", "tool", "outbound"]);
const DIRECTIONS = Object.freeze({ input: "inbound", output: "outbound" }); // as older logs have it

/** The spelling for people of words in the names of kinds. */
const SPELLED = Object.freeze(Object.fromEntries([
  "AWS", "GitHub", "GitLab", "OpenAI", "JWT", "IBAN", "BIC", "IP", "API", "URL", "URI", "SSH", "PGP", "npm", "PyPI", "SVG", "CSS", "CSI",
  "OSC", "DCS", "SSN", "NHS", "NINO", "SendGrid", "HTML", "ID", "VAT", "GCP", "DigitalOcean", "HuggingFace", "PayPal", "IPv4", "IPv6", "MAC", "EIN",
  "ITIN", "MBI", "NPI", "UTR", "BSN", "CPF", "CNPJ", "PESEL", "CUIT", "CURP", "RFC", "SIN", "PPS", "VIN", "DEA", "NIR", "NIF", "CNP", "DNI",
].map((word) => [word.toLowerCase(), word])));

/** "inbound", "tool" or "outbound". */
export function directionOf(word) {
  if (WHERE.has(word)) return word;
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
const actionOf = (action) => (ACTIONS.has(action) ? action : "remove");

const unread = (row) => row.kind.endsWith(".unread");
const left = (row) => row.action === "flag" && !unread(row);

/** Whether a text still holds what looks like orders to the agent. */
export function suspicious(rows) {
  return rows.some((row) => left(row) && row.category === "injection");
}

/** Returns sentences about a text's findings: {text, warns} for each action that was taken. */
export function sentences(rows, direction) {
  const held = rows.filter((row) => row.action === "block");
  const out = rows.filter((row) => row.action === "remove" || row.action === "mask");
  const swapped = rows.filter((row) => row.action === "tokenise");
  const said = [];
  if (held.length > 0) said.push({ text: t(`found.held_${direction}`, { amounts: amounts(held) }), warns: true });
  if (out.length > 0) said.push({ text: t(`found.out_${direction}`, { amounts: amounts(out) }), warns: false });
  if (swapped.length > 0) said.push({ text: t("found.swapped", { amounts: amounts(swapped) }), warns: false });
  if (suspicious(rows)) said.push({ text: t(`found.orders_${direction}`), warns: true });
  const noticed = rows.filter((row) => left(row) && row.category !== "injection");
  if (noticed.length > 0) said.push({ text: t(`found.noticed_${direction}`, { amounts: amounts(noticed) }), warns: false });
  if (direction === "inbound" && rows.some((row) => row.category === "secret" && row.action !== "block" && !unread(row))) said.push({ text: t("found.replace"), warns: true });
  if (rows.some(unread)) said.push({ text: t(`found.unread_${direction}`), warns: true });
  return said;
}

/** "2 secrets and 1 piece of personal data". */
function amounts(rows) {
  const counts = new Map();
  for (const { category, count: number } of rows) counts.set(category, (counts.get(category) ?? 0) + number);
  return listed([...counts].map(([category, count]) => (
    CATEGORIES.has(category) ? t(`found.amount_${category}`, { count }) : t("found.amount_other", { count, category: plain(category) })
  )));
}

/** A row for people: what it is, what became of it, why. */
export function explained(row) {
  const meaning = unread(row) ? t("found.unread_why") : CATEGORIES.has(row.category) ? t(`found.why_${row.category}`) : "";
  return { name: nameOf(row.kind), count: row.count, done: t(`found.done_${row.action}`), meaning, kind: row.kind };
}

/** "secret.github.fine_grained" -> "GitHub fine grained". */
export function nameOf(kind) {
  const [category, ...rest] = kind.split(".");
  if (rest.length === 0) return upper(categoryName(category, "one"));
  if (rest.at(-1) === "unread") return t("found.unread_of", { category: categoryName(category, "all") });
  const words = rest.flatMap((part) => part.split("_")).map((word) => (Object.hasOwn(SPELLED, word) ? SPELLED[word] : word));
  if (category === "pii" && words.length > 1 && words[0].length === 2) words[0] = words[0].toUpperCase(); // a country
  const name = upper(words.join(" "));
  return SELF_EXPLAINING.has(category) || !CATEGORIES.has(category) ? name : t("found.kind_of", { name, category: categoryName(category, "one") });
}

const categoryName = (category, number) => (CATEGORIES.has(category) ? t(`found.${number}_${category}`) : plain(category));
const plain = (name) => name.replaceAll("_", " ");
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
