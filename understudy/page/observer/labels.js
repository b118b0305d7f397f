/** Labels of the operators' page. Pure. */

const HEX = /^[0-9a-f]{16,}$/;

/** The last name of a path; the middle of a long made-up one is left out. */
export function nameOf(path) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return HEX.test(name) ? `${name.slice(0, 10)}…` : name;
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

/** How many messages wait, in all lanes. */
export function queued(node) {
  return Object.values(node.depth ?? {}).reduce((sum, count) => sum + count, 0);
}
