/** The dialog of the user's schedules: a list with pause and delete, and a form for a new one. */

import { PRESETS, timingOf, timingText, when } from "./timing.js";
import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/dialog.js";
import { confirmed, dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { el, freshId, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";

const PATH = "/api/schedules";
const NEWS = new Set(["message_accepted", "final_response", "error"]); // of chats that are not open

export class Schedules {
  /** `page` is what `extend` is given. */
  constructor(page) {
    this.page = page;
    learn(MESSAGES);
    page.chat.client.on("foreign", ({ type }) => NEWS.has(type) && this.dialog?.isConnected && this.#read()); // one may have fired
  }

  show() {
    const id = freshId("schedules");
    this.list = el("ul.schedules-list");
    this.hint = el("p", { role: "status" }, t("schedules.reading"));
    this.dialog = el("dialog.dialog.schedules", { "aria-labelledby": id },
      dialogHead(id, t("schedules.title")),
      this.hint, this.list, this.#form());
    showUntilClosed(this.dialog);
    this.#read();
  }

  async #read() {
    try {
      const { schedules } = await this.page.ask("GET", PATH);
      this.list.replaceChildren(...schedules.map((one) => this.#row(one)));
      setText(this.hint, schedules.length > 0 ? "" : t("schedules.none"));
    } catch (fault) {
      setText(this.hint, fault.message);
    }
    this.hint.hidden = this.hint.textContent === "";
  }

  #row(schedule) {
    const title = schedule.name || schedule.message;
    const pause = t(schedule.enabled ? "schedules.pause" : "schedules.resume");
    const { last } = schedule;
    const outcome = last === null ? null
      : last.run_id === null ? el("p.schedule-refused", {}, last.message)
        : el("button.link", { type: "button", onclick: () => this.#open(last.thread_id) }, t("schedules.last", { when: when(last.due_at) }));
    return el("li.schedule", {},
      el("div.schedule-what", {}, el("strong", { dir: "auto" }, title), el("p", {}, `${this.#agentTitle(schedule.agent)} · ${timingText(schedule)}`),
        el("p", {}, schedule.enabled ? t("schedules.next", { when: when(schedule.next_due_at) }) : t("schedules.paused")), outcome),
      el("button.secondary", { type: "button", "aria-label": t("action.of", { action: pause, title }), onclick: () => this.#do(this.page.ask("PATCH", pathOf(schedule.id), { enabled: !schedule.enabled })) }, pause),
      el("button.quiet.icon-button", { type: "button", title: t("action.delete"), "aria-label": t("action.of", { action: t("action.delete"), title }), onclick: () => this.#remove(schedule.id, title) }, icon("trash")));
  }

  #form() {
    const agent = el("select.field-input", {}, this.page.chat.agents.list.map((one) => el("option", { value: one.name }, one.title || one.name)));
    const message = el("textarea.field-input", { rows: 3, required: true, dir: "auto" });
    const preset = el("select.field-input", {}, PRESETS.map(({ value }) => el("option", { value }, t(`schedules.preset_${value}`))));
    const time = el("input.field-input", { type: "time", value: "09:00", required: true });
    const cron = el("input.field-input", { type: "text", placeholder: "0 9 * * 1-5", autocomplete: "off", spellcheck: false });
    const zone = el("input.field-input", { type: "text", required: true, value: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" });
    const [timeField, cronField] = [labelled(t("schedules.time"), time), labelled(t("schedules.preset_cron"), cron)];
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
      const made = await this.#do(this.page.ask("POST", PATH, {
        agent: agent.value, message: message.value, time_zone: zone.value.trim(), ...timingOf(preset.value, time.value, cron.value),
      }));
      if (made) message.value = "";
    } },
    el("h3", {}, t("schedules.new")), labelled(t("schedules.agent"), agent), labelled(t("schedules.message"), message),
    el("div.schedule-when", {}, labelled(t("schedules.when"), preset), timeField, cronField, labelled(t("schedules.zone"), zone)), this.fault,
    el("div.dialog-actions", {}, el("button.primary", { type: "submit" }, t("schedules.make"))));
  }

  #agentTitle(name) {
    return this.page.chat.agents.list.find((one) => one.name === name)?.title || name || t("schedules.any_agent");
  }

  #open(threadId) {
    this.dialog.close();
    this.page.chat.open(threadId);
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
    const agreed = await confirmed({ title: t("schedules.delete_title"), text: t("schedules.delete_text", { title }), agree: t("action.delete") });
    if (agreed) await this.#do(this.page.ask("DELETE", pathOf(id)));
  }
}

function pathOf(id) {
  return `${PATH}/${encodeURIComponent(id)}`;
}

function labelled(words, input) {
  return el("label.schedule-field", {}, el("span", {}, words), input);
}
