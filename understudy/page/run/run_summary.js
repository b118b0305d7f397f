/** A run in one line, while it works and afterwards, and the choice of its steps that are shown as rows. Pure. */

import { suspicious } from "../client/threads/findings.js";
import { humanised } from "../client/format.js";
import { enumerated, isolated, number, t } from "../client/messages.js";

// A run in one line.

const FAILED = new Set(["failed", "timed_out", "killed"]);

/** Returns the title of a call. */
export function callTitle(step) {
  return step.text.replace(/\.$/u, "") || humanised(step.tool);
}

/** Counts the tools that the steps used, and their calls: all, failed, and not allowed. */
export function tallied(steps) {
  const calls = steps.filter(({ kind }) => kind === "tool");
  const of = (wanted) => calls.filter(({ status }) => wanted(status)).length;
  return {
    tools: new Set(calls.map(({ tool }) => tool)).size, calls: calls.length,
    failed: of((status) => FAILED.has(status)), denied: of((status) => status === "denied"),
  };
}

/** Returns the present activity of a turn at work. */
export function activity(turn) {
  if (turn.stopping) return t("run.stopping");
  if (turn.progress?.note) {
    const { done, total, note } = turn.progress;
    return total > 0 ? `${note} · ${number(Math.min(Math.round((done / total) * 100), 100))} %` : note;
  }
  const tools = turn.steps.filter((step) => step.kind === "tool" && step.status === "running");
  if (tools.some((step) => step.approval?.state === "open")) return t("run.waits_approval");
  if (turn.questions.some(({ state }) => state === "open")) return t("run.waits_answer");
  if (tools.length > 1) return t("run.running", { count: tools.length });
  if (tools.length === 1) return callTitle(tools[0]);
  if (turn.stream.text !== "") return t("run.writing");
  const last = turn.steps.findLast((step) => step.kind === "thinking" || step.kind === "handoff");
  return last?.kind === "thinking" && last.text ? last.text : t("run.working");
}

/** Returns the summary of an ended turn's steps: "Used 3 tools, 1 failed". `names` are those of its agents, in order. */
export function summary(turn, steps, names) {
  const { tools, calls, failed, denied } = tallied(steps);
  const used = [
    tools > 0 ? t("run.used", { count: tools }) : t("run.thought"),
    ...(calls > tools ? [t("run.calls", { count: calls })] : []),
  ].join(" · ");
  const bad = [failed > 0 && t("run.failed", { count: failed }), denied > 0 && t("run.denied", { count: denied })];
  return [
    turn.status === "cancelled" && t("run.stopped"), enumerated([used, ...bad].filter(Boolean)), names.length > 1 && names.map(isolated).join(` ${t("step.arrow")} `),
    steps.some((step) => suspicious(step.found ?? [])) && t("run.suspicious"),
  ].filter(Boolean).join(" · ");
}

// Which steps of a run are shown as rows, and which are folded into one.

const UNFOLDED = 6; // tool calls in a row that are shown one by one

/**
 * The rows for `steps`: a step, or {key, steps, calls, grows} for a group of calls that all went well, with the thoughts
 * between them. Announcements of a call that follows are left out. `grows`: the next call of a run at work joins it, so
 * that the rows below it stay where they are. `below` is that of `nested`.
 */
export function grouped(steps, live, below = new Map()) {
  const rows = [];
  let quiet = [];
  const flush = (last) => {
    const calls = quiet.filter(({ kind }) => kind === "tool");
    const grows = live && last;
    const cut = calls.length <= UNFOLDED ? 0 : grows ? quiet.indexOf(calls.at(-1)) + 1 : quiet.length;
    const folded = quiet.slice(0, cut);
    if (folded.length > 0) rows.push({ key: `group ${folded[0].key}`, steps: folded, calls, grows });
    rows.push(...quiet.slice(cut));
    quiet = [];
  };
  steps.forEach((step, index) => {
    if (announces(step, steps[index + 1], live)) return;
    if (isQuiet(step, below)) {
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
  return enumerated([...counts].sort((one, other) => other[1] - one[1]).map(([tool, times]) => (times > 1 ? `${name(tool)} ×${times}` : name(tool))));
}

/** Servers announce each call of a language model by a thought, which says what the call's own row says. */
function announces(step, next, live) {
  return step.kind === "thinking" && step.text.startsWith("Next: ") && (next ? next.kind === "tool" : live);
}

/** Whether a step went well and asks for nothing, nor does what a subagent did for it. */
export function isQuiet(step, below) {
  if (step.kind === "thinking") return true;
  if (step.kind !== "tool" || step.status !== "ok" || step.approval || step.undo || suspicious(step.found ?? [])) return false;
  return (below.get(step.callId) ?? []).every((one) => one.kind === "subagent" || isQuiet(one, below));
}

/** The steps of the run's own agents, and those of subagents: {top, below}; `below` has them by the id of the call that asks. */
export function nested(steps) {
  const calls = new Set(steps.filter(({ kind }) => kind === "tool").map(({ callId }) => callId));
  const asking = new Map(); // id of a subagent -> the call that asks it
  for (const { kind, parent, agentId } of steps) if (kind === "subagent" && calls.has(parent)) asking.set(agentId, parent);
  const [top, below] = [[], new Map()];
  for (const step of steps) {
    const call = asking.get(step.agentId);
    if (call === undefined) top.push(step);
    else if (below.has(call)) below.get(call).push(step);
    else below.set(call, [step]);
  }
  return { top, below };
}
