/** Labels of the operators' page. Pure. */

const HEX = /^[0-9a-f]{16,}$/;

/** The last name of a path; the middle of a long made-up one is left out. */
export function nameOf(path) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return HEX.test(name) ? `${name.slice(0, 10)}…` : name;
}

/** "1 restart", "3 restarts". */
export function count(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** The beginning of an id that a program made; searches take it for the whole. */
export function shortId(id) {
  return HEX.test(id) ? id.slice(0, 12) : id;
}

/** "2026-11-23 09:05", with `seconds` "2026-11-23 09:05:07", in the time of the browser; "" for none. */
export function moment(unix, { seconds = false } = {}) {
  if (unix === null || unix === undefined) return "";
  const at = new Date(unix * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const minute = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
  return seconds ? `${minute}:${two(at.getSeconds())}` : minute;
}

/** The path above, "" for the root. */
export function above(path) {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

/** "4 s", "12 min", "3 h", "5 d". */
export function age(ms) {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** A state as people say it. */
export const STATES = Object.freeze({
  starting: "starting", running: "running", backing_off: "restarting", stopping: "stopping", stopped: "stopped", gone: "gone",
});

/** The decision of a supervisor, put after the name of the dead actor. */
export const DECISIONS = Object.freeze({
  restart: "started again", back_off: "started again after a rest", stop: "not started again", resume: "went on",
  escalate: "its supervisor failed too",
});

/** The names of kinds of spans of a run. */
export const KINDS = Object.freeze({
  queue: "Waits for its turn", agent: "Agent", model: "Model", tool: "Tool", consent: "Consent to", question: "Waits for an answer", subagent: "Subagent",
});

/** A user, with the tenant if there is one. */
export function who({ user, tenant }) {
  return tenant ? `${user} (${tenant})` : user;
}

/** Returns the thing that a run waits for: "tool query_table", "consent to pay". */
export function waiting({ waits_for: kind, waits_for_name: name }) {
  const word = { queue: "its turn", consent: "consent to", question: "an answer", subagent: "agent" }[kind] ?? kind;
  return name ? `${word} ${name}` : word;
}

/** "0.31 EUR"; empty for nothing. */
export function money(cost, currency) {
  return cost > 0 ? `${Number(cost.toPrecision(3))} ${currency ?? ""}`.trimEnd() : "";
}

/** Seconds of a scale: "0.5 s", "2 min", "1 h 30 min". */
export function seconds(passed) {
  if (passed < 60) return `${Number(passed.toFixed(1))} s`;
  const minutes = Math.floor(passed / 60);
  if (minutes < 60) return passed % 60 >= 1 ? `${minutes} min ${Math.floor(passed % 60)} s` : `${minutes} min`;
  return minutes % 60 > 0 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** Returns the number of waiting messages in all lanes. */
export function queued(node) {
  return Object.values(node.depth ?? {}).reduce((sum, count) => sum + count, 0);
}
