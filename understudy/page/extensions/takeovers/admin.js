/** An operator's actions on a run: take it over, read it, speak to it, and hand it back. */

import { moment, shortId, who } from "../../observer/labels.js";
import { el, freshId } from "../../elements/dom.js";

const SHOWN = 30;

/** The path of a run for the operator who takes it over. */
export const runPath = (row) => `admin/runs/${encodeURIComponent(row.run_id)}`;

/** The text of an event of a run: what somebody wrote, or else the server's sentence. */
export function eventText({ data, message }) {
  return data.content || data.result || message || data.message || "";
}

/** A run that the operator has taken over: what it waits for, what it did last, a box to steer it, and its return. */
class TakenRun {
  /** `tried(work)` runs a request, says a refusal, and resolves to whether it succeeded. */
  constructor(api, row, tried) {
    Object.assign(this, { api, row, tried, waiting: "" });
    this.head = el("p");
    this.waits = el("div.taken-waits");
    this.events = el("ol.taken-events", { "aria-label": "Last events", tabIndex: 0 });
    this.element = el("div.taken", {}, this.head, this.waits, this.#steerForm(), this.events);
  }

  /** Shows the run if it is taken over by this operator; otherwise asks for a reason. */
  async open() {
    try {
      await this.#read();
    } catch (refused) {
      if (refused.status !== 403) throw refused;
      this.element.replaceChildren(this.#reasonForm());
      this.element.querySelector("input").focus();
    }
  }

  /** Reads the run again, once it is shown. */
  async refresh() {
    if (this.head.isConnected && this.head.textContent) await this.#read();
  }

  async #read() {
    const { api, row } = this;
    const [state, { events }] = [await api.ask("GET", runPath(row)), await api.ask("GET", `${runPath(row)}/events?limit=${SHOWN}`)];
    this.head.textContent = `Run ${shortId(row.run_id)} of ${who(row)} (${state.status}). Taken over by ${state.taken_over.by}: ${state.taken_over.reason}`;
    this.events.replaceChildren(...events.map((event) => el("li", {}, el("span.hint", {}, `${moment(Date.parse(event.timestamp) / 1000)} ${event.type} `), el("span", { dir: "auto" }, eventText(event)))));
    const waiting = JSON.stringify(state.waits_for);
    if (waiting === this.waiting) return; // what is typed stays
    this.waiting = waiting;
    this.waits.replaceChildren(...state.waits_for.map((asked) => (asked.kind === "approval" ? this.#approval(asked) : this.#question(asked))));
  }

  #reasonForm() {
    const id = freshId("reason");
    const reason = el("input.dialog-input", { id, required: true, maxLength: 200, autocomplete: "off" });
    const send = async (event) => {
      event.preventDefault();
      await this.tried(async () => {
        await this.api.ask("POST", `${runPath(this.row)}/take-over`, { reason: reason.value });
        this.element.replaceChildren(this.head, this.waits, this.#steerForm(), this.events);
        await this.#read();
      });
    };
    return el("form.stop-form", { onsubmit: send },
      el("label", { for: id }, "Reason, for the user and for auditors"), reason, el("button.primary", { type: "submit" }, "Take it over"));
  }

  #steerForm() {
    const id = freshId("steer");
    const text = el("input.dialog-input", { id, required: true, autocomplete: "off", dir: "auto" });
    const send = async (event) => {
      event.preventDefault();
      if (await this.#command({ type: "steer", content: text.value })) text.value = "";
    };
    return el("form.stop-form", { onsubmit: send }, el("label", { for: id }, "Message to the run"), text, el("button.primary", { type: "submit" }, "Send"),
      el("button.secondary", { type: "button", onclick: () => this.#handBack() }, "Hand it back"));
  }

  #approval({ call_id: call, tool_name: name, parameters }) {
    const decide = (decision) => () => this.#command({ type: "approve", call_id: call, decision });
    return el("div", {}, el("p", {}, `It waits for consent to ${name}.`), el("pre", {}, JSON.stringify(parameters, null, 2)),
      el("div.dialog-actions", {}, el("button.secondary", { type: "button", onclick: decide("deny") }, "Deny"), el("button.primary", { type: "button", onclick: decide("allow") }, "Allow")));
  }

  #question({ question_id: question, title, schema }) {
    const id = freshId("answer");
    const names = Object.keys(schema.properties ?? {});
    const given = el("input.dialog-input", { id, autocomplete: "off", placeholder: JSON.stringify(Object.fromEntries(names.map((name) => [name, ""]))) });
    const send = async (event) => {
      event.preventDefault();
      let answer;
      try {
        answer = JSON.parse(given.value);
      } catch {
        given.setCustomValidity("That is not JSON.");
        given.reportValidity();
        return;
      }
      await this.#command({ type: "answer", question_id: question, answer });
    };
    given.addEventListener("input", () => given.setCustomValidity(""));
    return el("form.stop-form", { onsubmit: send }, el("p", { dir: "auto" }, `It asks: ${title}`), el("label", { for: id }, "Answer, as JSON"), given,
      el("div.dialog-actions", {}, el("button.secondary", { type: "button", onclick: () => this.#command({ type: "answer", question_id: question, decline: true }) }, "Decline"),
        el("button.primary", { type: "submit" }, "Answer")));
  }

  #handBack() {
    return this.tried(async () => {
      await this.api.ask("POST", `${runPath(this.row)}/hand-back`);
      this.head.textContent = this.waiting = "";
      this.element.replaceChildren(this.#reasonForm());
    });
  }

  #command(body) {
    return this.tried(async () => {
      await this.api.ask("POST", `${runPath(this.row)}/commands`, body);
      await this.#read();
    });
  }
}

/** The actions on rows of other extensions' sections, by the section's name. */
export const ACTS = Object.freeze({
  runs: [{ label: "Take it over", panel: (api, row, tried) => new TakenRun(api, row, tried) }],
});
