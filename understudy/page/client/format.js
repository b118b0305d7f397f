/** Formats numbers, times and names for people. Pure. */

/** "0.4 s", "12 s", "3 min 5 s". */
export function duration(ms) {
  if (!(ms >= 0)) return "";
  if (ms < 1000) return `${Math.max(Math.round(ms / 100) / 10, 0.1).toFixed(1)} s`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** "812 B", "1.4 KB", "3.2 MB" (powers of 1024). */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KB"] : [bytes / 1024 ** 2, "MB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** "1 tool", "3 tools". */
export function count(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** "4 turns · 12,300 tokens in, 93 % cached · 480 out, 64 reasoning · 0.31 EUR"; empty for a model that counts words. */
export function used(usage, model, currency) {
  if (!usage?.input || !model || model.name === "offline") return "";
  const number = (value) => value.toLocaleString("en");
  const cached = usage.cached > 0 ? `, ${Math.floor((100 * usage.cached) / usage.input)} % cached` : "";
  const reasoning = usage.reasoning > 0 ? `, ${number(usage.reasoning)} reasoning` : "";
  const cost = usage.cost === undefined ? "" : ` · ${Number(usage.cost.toPrecision(3))} ${currency ?? ""}`.trimEnd();
  return `${count(usage.turns, "turn")} · ${number(usage.input)} tokens in${cached} · ${number(usage.output)} out${reasoning}${cost}`;
}

/** "query_table" -> "Query table". */
export function humanised(name) {
  const text = String(name ?? "").replaceAll(/[_-]+/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
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
  if (at >= midnight) return "Today";
  if (at >= midnight - DAY_MS) return "Yesterday";
  if (at >= midnight - 6 * DAY_MS) return "This week";
  return at >= midnight - 29 * DAY_MS ? "This month" : "Older";
}
