/** One step of a run as a row: an agent at work, a thought, a tool call, a handoff. */

import { arrange, el, setText } from "../elements/dom.js";
import { hasMessage, t } from "../client/messages.js";
import { sentences } from "../client/threads/findings.js";
import { icon } from "../elements/icons.js";
import { kindsFound } from "../answer/redactions.js";
import { showJson, showValue } from "../tables/tables.js";
import { monogram } from "../composer/agents.js";
import { cardUndo } from "./undo.js";
import { duration, humanised } from "../client/format.js";
import { callTitle, tally } from "./run_summary.js";

const ENDED = Object.freeze({ ok: "check", denied: "refused" });

/**
 * A row for `step`. `until` is when it ended (server ms) or null while it goes on; `page` is {agents, clock, onUndo,
 * onRetryStep}; a call of an `ended` run can be undone, and the run be done again from it: it gives the turn, and is null
 * of a run at work; `inner` are the steps of the subagents that a call asks.
 */
export function stepRow(step, until, page, ended = null, inner = []) {
  const time = el("span.step-time");
  if (until === null && step.at) page.clock.count(time, step.at);
  else if (step.at && until) time.textContent = duration(step.durationMs ?? until - step.at);
  return el(`li.step.step-${step.kind}`, { "data-status": until === null ? "running" : step.status ?? "done" }, ROWS[step.kind](step, time, page, ended, inner));
}

/** A row for many calls, which unfolds into theirs: {element, update(group, ends, row)}. */
export function groupRow() {
  const title = el("span.step-title");
  const note = el("span.step-note");
  const time = el("span.step-time");
  const list = el("ol.steps");
  const details = el("details.tool", {}, el("summary", {},
    el("div.step-row", {}, el("span.step-mark", {}, icon("check")), el("span.step-text", {}, title, note), time), icon("chevron")), list);
  let show = () => {};
  details.addEventListener("toggle", () => show());
  return {
    element: el("li.step.step-group", { "data-status": "ok" }, details),
    update({ steps, calls, grows }, ends, row) {
      setText(title, t("run.calls", { count: calls.length }));
      setText(note, `${tally(calls, humanised)}${grows && calls.at(-1).summary ? ` · ${calls.at(-1).summary}` : ""}`);
      setText(time, duration(ends.get(steps.at(-1).key) - steps[0].at));
      show = () => arrange(list, details.open ? steps.map(row) : []);
      show();
    },
  };
}

function row(mark, title, note, time, notices = []) {
  return el("div.step-row", {}, el("span.step-mark", {}, mark),
    el("span.step-text", {}, el("span.step-title", {}, title), note && el("span.step-note", {}, note), notices), time);
}

function agentRow(step, time, { agents }) {
  const title = agents.title(step.agentType, step.pillar);
  return row(monogram(title, step.agentType, step.pillar), title, step.text, time);
}

function subagentRow(step, time, { agents }) {
  const title = agents.named(step.name)?.title ?? humanised(step.name);
  const failed = step.status === "failed";
  const mark = step.status === "running" ? el("span.spinner") : failed ? icon("warning") : monogram(title, step.name, null);
  return row(mark, title, failed ? t("step.failed") : step.text, time);
}

function toolRow(step, time, page, runEnded, inner) {
  const running = step.status === "running";
  const asking = running && step.approval?.state === "open";
  const ended = `step.ended_${step.status}`;
  const note = asking ? t("run.waits_approval") : running ? latest(step) : step.summary || (hasMessage(ended) ? t(ended) : null);
  const notices = sentences(step.found ?? [], "tool").map(({ text, warns }) => (
    el(warns ? "span.step-note.warns" : "span.step-note", {}, warns && icon("warning"), text)
  ));
  const made = running ? 0 : inner.filter(({ kind }) => kind === "tool").length;
  if (made > 0) notices.push(el("span.step-note", {}, t("step.calls_below", { count: made })));
  const title = [callTitle(step), el("code.tool-name", {}, step.tool)];
  const details = el("details.tool", {}, el("summary", {},
    row(asking ? icon("shield") : running ? el("span.spinner") : icon(ENDED[step.status] ?? "warning"), title, note, time, notices), icon("chevron")));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(toolBody(step, running, runEnded && [cardUndo(step, page), retryButton(step, page, runEnded)]));
  });
  return details;
}

function toolBody(step, running, undo) {
  if (step.omitted) return el("div.tool-body", {}, el("p.hint", {}, t("step.loading")), undo);
  const empty = Object.keys(step.parameters).length === 0;
  return el("div.tool-body", {},
    el("h4", {}, t("step.parameters")), empty ? el("p.hint", {}, t("step.none")) : showJson(step.parameters),
    el("h4", {}, t("step.result")), running ? stillRunning(step) : showValue(step.result ?? null),
    step.found?.length > 0 && [el("h4", {}, t("step.found")), kindsFound(step.found)], undo);
}

/** Has the run done again from this call on, as another answer. */
function retryButton(step, page, turn) {
  return el("button.link.retry-step", { type: "button", onclick: () => page.onRetryStep(turn(), step) }, icon("retry"), t("step.retry"));
}

function stillRunning({ partial = [], yielded = 0 }) {
  if (partial.length === 0) return el("p.hint", {}, t("step.running"));
  const earlier = yielded - partial.length;
  return el("div", {}, el("p.hint", {}, earlier > 0 ? t("step.running_last", { shown: partial.length, all: yielded }) : t("step.running_so_far")), showValue(partial));
}

/** The latest item of a running call in a line; null if it has yielded none. */
function latest({ partial = [], yielded = 0 }) {
  if (partial.length === 0) return null;
  const item = partial.at(-1);
  const text = typeof item === "string" ? item : JSON.stringify(item);
  return `${yielded}: ${text.length > 120 ? `${text.slice(0, 119)}…` : text}`;
}

function handoffRow(step, time, { agents }) {
  const name = (agent) => agents.named(agent)?.title ?? humanised(agent);
  return row(icon("handoff"), [el("bdi", {}, name(step.from)), el("span.arrow", { "aria-label": t("step.hands_over") }, ` ${t("step.arrow")} `), el("bdi", {}, name(step.to))], step.text, null);
}

const ROWS = Object.freeze({
  agent: agentRow,
  thinking: (step, time) => row(icon("thought"), step.text, null, time),
  notice: ({ notice, text, reason }, time) => {
    const known = `step.${notice}`;
    return hasMessage(known) ? row(icon("warning"), t(known), reason, time) : row(icon("warning"), text, null, time);
  },
  tool: toolRow,
  handoff: handoffRow,
  continued: () => row(icon("continue"), t("step.continued"), null, null),
  subagent: subagentRow,
  steer: (step) => row(icon("send"), t(step.by ? "steer.of_operator" : "step.you_sent"), step.text, null),
});
