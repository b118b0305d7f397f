/** Which steps of a run are shown as rows, and which are folded into one. Pure. */

import { suspicious } from "./findings.js";

const UNFOLDED = 6; // tool calls in a row that are shown one by one
const LATEST = 3; // of those of a run at work

/**
 * The rows for `steps`: a step, or {key, steps, calls} for a group of calls that all went well, with the thoughts between
 * them. Announcements of a call that follows are left out.
 */
export function grouped(steps, live) {
  const rows = [];
  let quiet = [];
  const flush = (last) => {
    const calls = quiet.filter(({ kind }) => kind === "tool");
    const cut = calls.length <= UNFOLDED ? 0 : live && last ? quiet.indexOf(calls.at(-LATEST)) : quiet.length;
    const folded = quiet.slice(0, cut);
    if (folded.length > 0) rows.push({ key: `group ${folded[0].key}`, steps: folded, calls: folded.filter(({ kind }) => kind === "tool") });
    rows.push(...quiet.slice(cut));
    quiet = [];
  };
  steps.forEach((step, index) => {
    if (announces(step, steps[index + 1], live)) return;
    if (isQuiet(step)) {
      quiet.push(step);
      return;
    }
    flush(step.status === "running" && live);
    rows.push(step);
  });
  flush(true);
  return rows;
}

/** "Check shelf ×17, Pay ×2": the tools of calls, the most used first. `name` gives a tool's words. */
export function tally(calls, name) {
  const counts = new Map();
  for (const { tool } of calls) counts.set(tool, (counts.get(tool) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]).map(([tool, times]) => (times > 1 ? `${name(tool)} ×${times}` : name(tool))).join(", ");
}

/** Servers announce each call of a language model by a thought, which says what the call's own row says. */
function announces(step, next, live) {
  return step.kind === "thinking" && step.text.startsWith("Next: ") && (next ? next.kind === "tool" : live);
}

function isQuiet(step) {
  if (step.kind === "thinking") return true;
  return step.kind === "tool" && step.status === "ok" && !step.approval && !step.undo && !suspicious(step.found ?? []);
}

/** The steps with those of each subagent below the call that asks it: [{step, depth}]. */
export function nested(steps) {
  const below = new Map(); // call id -> ids of its subagents
  for (const { kind, parent, agentId } of steps) {
    if (kind === "subagent" && steps.some((one) => one.kind === "tool" && one.callId === parent)) below.set(parent, [...(below.get(parent) ?? []), agentId]);
  }
  if (below.size === 0) return steps.map((step) => ({ step, depth: 0 }));
  const asked = new Set([...below.values()].flat());
  const owner = (step) => [step.agentId, step.by].find((id) => asked.has(id)) ?? null;
  const of = (agent, depth) => steps.filter((step) => owner(step) === agent).flatMap((step) => [
    { step, depth }, ...(step.kind === "tool" ? (below.get(step.callId) ?? []).flatMap((id) => of(id, depth + 1)) : []),
  ]);
  return of(null, 0);
}
