/** Formats numbers, times and names for people. Pure. */

import { number, t } from "./messages.js";

const TENTHS = Object.freeze({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
const COST = Object.freeze({ maximumSignificantDigits: 3 });

/** "0.4 s", "12 s", "3 min 5 s". */
export function duration(ms) {
  if (!(ms >= 0)) return "";
  if (ms < 1000) return t("time.seconds", { seconds: number(Math.max(Math.round(ms / 100) / 10, 0.1), TENTHS) });
  if (ms < 10_000) return t("time.seconds", { seconds: number(Math.floor(ms / 100) / 10, TENTHS) });
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? t("time.seconds", { seconds }) : t("time.minutes", { minutes: Math.floor(seconds / 60), seconds: seconds % 60 });
}

/** "812 B", "1.4 KB", "3.2 MB" (powers of 1024). */
export function size(bytes) {
  if (bytes < 1024) return t("size.b", { value: bytes });
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "kb"] : [bytes / 1024 ** 2, "mb"];
  return t(`size.${unit}`, { value: value < 10 ? number(value, TENTHS) : Math.round(value) });
}

/** "4 turns · 12,300 tokens in, 93 % cached · 480 out, 64 reasoning · 0.31 EUR"; empty for a model that counts words. */
export function used(usage, model, currency, costs = true) {
  if (!usage?.input || !model || model.name === "offline") return "";
  const { turns, input, cached, output, reasoning, cost } = usage;
  return [
    t("used.turns", { count: turns }),
    cached > 0 ? t("used.in_cached", { tokens: input, percent: Math.floor((100 * cached) / input) }) : t("used.in", { tokens: input }),
    reasoning > 0 ? t("used.out_reasoning", { tokens: output, reasoning }) : t("used.out", { tokens: output }),
    costs && cost !== undefined && t("used.cost", { cost: number(cost, COST), currency: currency ?? "" }).trim(),
  ].filter(Boolean).join(" · ");
}

/** "query_table" -> "Query table". */
export function humanised(name) {
  const text = String(name ?? "").replaceAll(/[_-]+/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "Ada King Lovelace" -> "AL"; "ada@example.org" -> "A". */
export function initials(name) {
  const words = String(name ?? "").split("@")[0].split(/[\s._-]+/).filter(Boolean);
  return [words[0], ...(words.length > 1 ? [words.at(-1)] : [])].map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase();
}

/** Milliseconds of a time given as Unix seconds or ISO text; 0 when it is neither. */
export function moment(value) {
  if (typeof value === "number") return value * 1000;
  const parsed = Date.parse(value ?? "");
  return Number.isNaN(parsed) ? 0 : parsed;
}

const DAY_MS = 86_400_000;

/** Under which heading a thread of that time stands. Days begin at the reader's midnight. */
export function period(at, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (at >= midnight) return t("time.today");
  if (at >= midnight - DAY_MS) return t("time.yesterday");
  if (at >= midnight - 6 * DAY_MS) return t("time.week");
  return at >= midnight - 29 * DAY_MS ? t("time.month") : t("time.older");
}

/** Text to be said aloud: in one line, at most `most` characters, and cut behind a sentence, else behind a word. */
export function spoken(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  if (line.length <= most) return line;
  const part = line.slice(0, most);
  const sentence = Math.max(...[". ", "! ", "? ", "… ", "。", "؟ "].map((end) => part.lastIndexOf(end)));
  return sentence > most / 3 ? part.slice(0, sentence + 1) : `${part.slice(0, part.lastIndexOf(" ") > 0 ? part.lastIndexOf(" ") : most)}…`;
}
