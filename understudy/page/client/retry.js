/** What a run that is done again from one of its calls on has done since. Pure. */

const MAY_HAVE = new Set(["ok", "timed_out", "killed", "cancelled"]);

/**
 * The calls from `step` on that may have taken effect: {undoable, lasting}, each oldest first. `tools` are the server's:
 * what can be repeated without harm has no effect; of a tool that is not among them that is not known.
 */
export function effectsFrom({ steps }, step, tools) {
  const harmless = new Set(tools.filter(({ repeatable }) => repeatable).map(({ name }) => name));
  const from = steps.slice(Math.max(steps.findIndex(({ key }) => key === step.key), 0));
  const done = from.filter(({ kind, status, tool, undo }) => (
    kind === "tool" && MAY_HAVE.has(status) && !harmless.has(tool) && undo?.state !== "undone"
  ));
  const open = ({ undo }) => undo?.state === "open" || undo?.state === "failed";
  return { undoable: done.filter(open), lasting: done.filter((one) => !open(one)) };
}
