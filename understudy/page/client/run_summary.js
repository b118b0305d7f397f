/** What a run does now and what it did, in a line. Pure. */

import { suspicious } from "./threads/findings.js";
import { humanised } from "./format.js";
import { enumerated, isolated, number, t } from "./messages.js";

const FAILED = new Set(["failed", "timed_out", "killed"]);

/** What a call does, as a title. */
export function callTitle(step) {
  return step.text.replace(/\.$/u, "") || humanised(step.tool);
}

/** How many tools the steps have used, in how many calls, of which some failed and some were not allowed. */
export function tallied(steps) {
  const calls = steps.filter(({ kind }) => kind === "tool");
  const of = (wanted) => calls.filter(({ status }) => wanted(status)).length;
  return {
    tools: new Set(calls.map(({ tool }) => tool)).size, calls: calls.length,
    failed: of((status) => FAILED.has(status)), denied: of((status) => status === "denied"),
  };
}

/** What a turn at work does now. */
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

/** What the steps of a turn that has ended came to: "Used 3 tools, 1 failed". `names` are those of its agents, in order. */
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
