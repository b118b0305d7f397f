/** The dialog of the user's schedules: a list with pause and delete, and a form for a new one. */

import { isScheduled, PRESETS, timingOf, timingText } from "../client/schedules.js";
import { confirmed } from "./dialog.js";
import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";

/** The mark of what a schedule sent or made; null for anything else. */
export function scheduleMark(id, words) {
  return isScheduled(id) ? el("span.schedule-mark", { role: "img", "aria-label": words, title: words }, icon("clock")) : null;
}

export class Schedules {
  /** `api` is the server's; `agents` the catalogue; `open(threadId)` shows a chat. */
  constructor(api, agents, open) {
    Object.assign(this, { api, agents, open });
    this.button = el("button.quiet.side-button", { type: "button", "aria-haspopup": "dialog", onclick: () => this.show() }, icon("clock"), "Schedules");
  }

  show() {
    const id = freshId("schedules");
    this.list = el("ul.schedules-list");
    this.hint = el("p", { role: "status" }, "Reading your schedules…");
    this.dialog = el("dialog.dialog.schedules", { "aria-labelledby": id, onclose: () => this.dialog.remove() },
      el("div.schedules-head", {}, el("h2", { id }, "Schedules"),
        el("button.quiet.icon-button", { type: "button", "aria-label": "Close the schedules", onclick: () => this.dialog.close() }, icon("close"))),
      this.hint, this.list, this.#form());
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.#read();
  }

  /** Reads the open list again: a schedule may have fired. */
  refresh() {
    if (this.dialog?.isConnected) this.#read();
  }

  async #read() {
    try {
      const { schedules } = await this.api.schedules();
      this.list.replaceChildren(...schedules.map((one) => this.#row(one)));
      setText(this.hint, schedules.length > 0 ? "" : "An agent can work for you at set times, with nobody present.");
    } catch (fault) {
      setText(this.hint, fault.message);
    }
    this.hint.hidden = this.hint.textContent === "";
  }

  #row(schedule) {
    const title = schedule.name || schedule.message;
    const pause = schedule.enabled ? "Pause" : "Resume";
    const { last } = schedule;
    const outcome = last === null ? null
      : last.run_id === null ? el("p.schedule-refused", {}, last.message)
        : el("button.link", { type: "button", onclick: () => this.#open(last.thread_id) }, `Last run ${when(last.due_at)}`);
    return el("li.schedule", {},
      el("div.schedule-what", {}, el("strong", { dir: "auto" }, title), el("p", {}, `${this.#agentTitle(schedule.agent)} · ${timingText(schedule)}`),
        el("p", {}, schedule.enabled ? `Next ${when(schedule.next_due_at)}` : "Paused"), outcome),
      el("button.secondary", { type: "button", "aria-label": `${pause}: ${title}`, onclick: () => this.#do(this.api.changeSchedule(schedule.id, { enabled: !schedule.enabled })) }, pause),
      el("button.quiet.icon-button", { type: "button", title: "Delete", "aria-label": `Delete: ${title}`, onclick: () => this.#remove(schedule.id, title) }, icon("trash")));
  }

  #form() {
    const agent = el("select.field-input", {}, this.agents.list.map((one) => el("option", { value: one.name }, one.title || one.name)));
    const message = el("textarea.field-input", { rows: 3, required: true, dir: "auto" });
    const preset = el("select.field-input", {}, PRESETS.map(({ value, label }) => el("option", { value }, label)));
    const time = el("input.field-input", { type: "time", value: "09:00", required: true });
    const cron = el("input.field-input", { type: "text", placeholder: "0 9 * * MON-FRI", autocomplete: "off", spellcheck: false });
    const zone = el("input.field-input", { type: "text", required: true, value: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" });
    const [timeField, cronField] = [labelled("At", time), labelled("Cron expression", cron)];
    this.fault = el("p.schedule-refused", { role: "alert", hidden: true });
    const chosen = () => {
      const { value, timed } = PRESETS.find((one) => one.value === preset.value);
      timeField.hidden = !timed;
      time.disabled = !timed;
      cronField.hidden = value !== "cron";
      cron.required = value === "cron";
    };
    preset.addEventListener("change", chosen);
    chosen();
    return el("form.schedule-form", { onsubmit: async (event) => {
      event.preventDefault();
      const made = await this.#do(this.api.makeSchedule({
        agent: agent.value, message: message.value, time_zone: zone.value.trim(), ...timingOf(preset.value, time.value, cron.value),
      }));
      if (made) message.value = "";
    } },
    el("h3", {}, "New schedule"), labelled("Agent", agent), labelled("Message", message),
    el("div.schedule-when", {}, labelled("When", preset), timeField, cronField, labelled("Time zone", zone)), this.fault,
    el("div.dialog-actions", {}, el("button.primary", { type: "submit" }, "Make schedule")));
  }

  #agentTitle(name) {
    return this.agents.list.find((one) => one.name === name)?.title || name || "Any agent";
  }

  #open(threadId) {
    this.dialog.close();
    this.open(threadId);
  }

  /** Waits for a change, and reads the list again; what was refused stands in the dialog. */
  async #do(change) {
    this.fault.hidden = true;
    try {
      await change;
    } catch (fault) {
      setText(this.fault, fault.message);
      this.fault.hidden = false;
      return false;
    }
    await this.#read();
    return true;
  }

  async #remove(id, title) {
    const agreed = await confirmed({ title: "Delete this schedule?", text: `“${title}” will not run any more. Its chats stay.`, agree: "Delete" });
    if (agreed) await this.#do(this.api.removeSchedule(id));
  }
}

function labelled(words, input) {
  return el("label.schedule-field", {}, el("span", {}, words), input);
}

function when(at) {
  return at === null ? "never" : new Date(at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
