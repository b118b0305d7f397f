/** Values of tools: tables where they hold some, else as indented JSON. Always as text. */

import { copyButton } from "./copy.js";
import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { showTable } from "./tables.js";
import { asTable } from "../client/tables.js";

const MAX_TEXT = 20_000;
const MAX_TABLES = 6;

/** An element showing any JSON value. */
export function showValue(value) {
  const table = asTable(value);
  if (table) return showTable(table);
  const tables = value && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).map(([name, member]) => [name, asTable(member)]).filter(([, found]) => found) : [];
  if (tables.length === 0 || tables.length > MAX_TABLES) return showJson(value);
  const names = new Set(tables.map(([name]) => name));
  const rest = Object.entries(value).filter(([name]) => !names.has(name));
  return el("div.value-parts", {}, rest.length > 0 && showJson(Object.fromEntries(rest)),
    tables.map(([name, found]) => [el("h5", {}, name), showTable(found, { name })]));
}

/** Indented JSON (plain text stays plain) with a copy button. */
export function showJson(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "null";
  const cut = text.length > MAX_TEXT;
  const pre = el("pre", { tabIndex: 0 }, cut ? text.slice(0, MAX_TEXT) : text);
  return el("div.json", {}, copyButton(() => text, t("value.copy")), pre, cut && el("p.hint", {}, t("value.cut")));
}
