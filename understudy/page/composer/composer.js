/** The form for the next message: text, files, the agent, send and stop. */

import { AgentPicker } from "./agents.js";
import { t } from "../client/messages.js";
import { Attachments } from "./attachments.js";
import { composing, el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";

const AROUND_BYTES = 16 * 1024; // of a command, for what surrounds the text
const WORDS = Object.freeze({ next: "composer.send_now", now: "composer.interrupt", after: "composer.queue" }); // on the button while a run works
const TYPING_MS = 5_000; // a tab in which the user types says so every three seconds

export class Composer {
  /**
   * `onSend({content, files, agent, mode})`, `onStop()`, `onAgent(agent)`, `onTyping()`, `onEditLast()`, true if it did; `banner` stands above the box;
   * `maxBytes()` is how many bytes a command may have, `maxFileBytes()` a file. `storage` keeps what the user agreed to.
   */
  constructor({ api, files, agents, drafts, storage, banner, maxBytes, maxFileBytes, onSend, onStop, onAgent, onTyping, onEditLast }) {
    Object.assign(this, { drafts, agents, maxBytes, onSend, onStop, onEditLast, threadId: null, chosen: null, known: true, live: false, steered: null, intake: null, sendWhenReady: false });
    this.text = el("textarea.composer-text", {
      id: "composer-text", rows: 1, placeholder: t("composer.placeholder"), "aria-label": t("composer.name"), enterKeyHint: "send", autocomplete: "off", dir: "auto",
    });
    this.attachments = new Attachments(api, files, () => this.#filesChanged(), maxFileBytes);
    this.voice = new LazyVoice(this.text, { storage, allowed: () => agents.model?.voice === true, onChange: () => this.changed() });
    this.picker = new AgentPicker(agents, (agent) => {
      this.pick(agent);
      this.text.focus();
      onAgent(agent);
    });
    this.input = el("input.offscreen", { type: "file", multiple: true, tabIndex: -1, "aria-hidden": "true" });
    this.sendButton = el("button.primary.round", { type: "submit", title: t("composer.send_hint"), "aria-label": t("action.send") }, icon("send"), this.sendWord = el("span"));
    this.mode = el("select.steer-mode", { "aria-label": t("composer.when_read"), title: t("composer.when_read"), hidden: true, onchange: () => this.#buttons() },
      el("option", { value: "next" }, t("composer.mode_next")), el("option", { value: "now" }, t("composer.mode_now")), el("option", { value: "after" }, t("composer.mode_after")));
    this.stopButton = el("button.stop", { type: "button", hidden: true, title: t("composer.stop_hint"), onclick: () => onStop() },
      el("span.stop-mark"), this.stopWord = el("span", {}, t("composer.stop")));
    this.notice = el("p.model-notice");
    this.fault = el("p.composer-fault", { role: "alert", hidden: true });
    this.typing = el("p.typing-notice", { role: "status" });
    this.early = this.text.value; // typed into the shell before the scripts came
    this.box = el("div.composer-box", { id: "composer-box" }, this.attachments.element, this.voice.element, this.text, el("div.composer-bar", {},
      this.attach = el("button.quiet.icon-button", { type: "button", title: t("composer.attach"), "aria-label": t("composer.attach"), onclick: () => this.input.click() }, icon("clip")),
      this.input, this.picker.element, el("span.spring"), this.mode, this.voice.button, this.stopButton, this.sendButton));
    this.element = el("form.composer", { id: "composer" }, banner, this.fault, this.typing, this.box, this.notice);
    this.#listen(onTyping);
  }

  /** Shows another thread's draft; `agent` is the one that thread talked to last, null while that is not known. */
  open(threadId, agent) {
    const draft = this.drafts.read(threadId);
    this.threadId = threadId;
    this.sendWhenReady = false;
    if (draft.text !== "" || this.early === "") this.text.value = draft.text;
    this.early = "";
    this.voice.cancel();
    this.intake?.hide();
    this.showTyping(false);
    this.attachments.restore(draft.files);
    this.chosen = draft.agent;
    this.follow(agent);
    this.changed();
  }

  /** Whether a message is being written, or has files. */
  get holds() {
    return this.text.value.trim() !== "" || this.attachments.uploading || this.attachments.ready.length > 0;
  }

  /** Shows for a few seconds, or no more, that the user is typing in this thread in another tab or client. */
  showTyping(typing = true) {
    clearTimeout(this.typed);
    setText(this.typing, typing ? t("composer.typing_elsewhere") : "");
    if (typing) this.typed = setTimeout(() => this.showTyping(false), TYPING_MS);
  }

  /** Chooses the agent that answers next in this thread, whoever did so far. */
  pick(agent) {
    this.chosen = agent.name;
    this.follow(agent);
    this.changed();
  }

  /** Shows the agent a thread talks to, unless its user chose one. While it is not known, nothing is sent. */
  follow(agent) {
    const shown = this.agents.list.find((one) => one.name === this.chosen) ?? agent;
    this.known = shown !== null;
    if (shown) this.picker.show(shown);
    this.showModel();
    this.#maySend();
  }

  /** `turn` is the one that is being worked on and can be stopped, or null; `steered` the one that a message can enter. */
  show(turn, steered = null) {
    Object.assign(this, { live: turn !== null, steered });
    this.text.placeholder = t(steered ? "composer.placeholder_live" : "composer.placeholder");
    this.stopButton.disabled = turn?.stopping ?? false;
    setText(this.stopWord, t(turn?.stopping ? "composer.stopping" : "composer.stop"));
    this.#buttons();
  }

  /** Shows which model the chosen agent has. */
  showModel() {
    this.voice.show();
    const model = this.picker.picked.model ?? this.agents.model;
    const text = (model?.name === "offline" && t("composer.model_offline")) || model?.notice || (model?.name ? t("composer.model", { name: model.name }) : "");
    setText(this.notice, text);
    this.notice.hidden = text === "" && this.agents.read === true; // until then its place is kept
  }

  /** Puts a text, and files to upload, in place of what is being written. */
  fill(text, files = []) {
    this.text.value = text;
    if (files.length > 0) this.attachments.restore([]);
    this.attachments.add(files);
    this.changed();
    this.focus();
  }

  focus() {
    this.text.focus({ preventScroll: true });
    this.text.setSelectionRange(this.text.value.length, this.text.value.length);
  }

  #listen(onTyping) {
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.text.addEventListener("input", () => {
      this.voice.cancel(); // the hands are quicker
      this.sendWhenReady = false;
      this.changed();
      onTyping();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "ArrowUp" && this.#untouched(event) && this.onEditLast()) event.preventDefault();
      if (event.key !== "Enter" || event.shiftKey || composing(event)) return;
      event.preventDefault();
      this.#send();
    });
    this.element.addEventListener("keydown", (event) => {
      if (!this.voice.key(event)) return;
      event.preventDefault();
      event.stopPropagation(); // it would stop the run
    });
    this.input.addEventListener("change", () => {
      this.attachments.add(this.input.files);
      this.input.value = "";
      this.text.focus();
    });
  }

  /** `intake` takes files that are dropped or pasted; `hide()` hides what it shows of them. Null while the server takes none. */
  takeFilesBy(intake) {
    if (intake === null) this.intake?.hide();
    this.intake = intake;
    this.attach.hidden = intake === null;
  }

  #send() {
    const content = this.text.value.trim();
    this.sendWhenReady = content !== "" && !this.#ready;
    this.#buttons();
    if (content === "" || !this.#ready) return;
    const tooLong = new TextEncoder().encode(content).length > this.maxBytes() - AROUND_BYTES;
    this.fault.hidden = !tooLong;
    this.fault.textContent = tooLong ? t("composer.too_long") : "";
    if (tooLong) return;
    const files = this.attachments.ready;
    const mode = this.#enters ? this.mode.value : "after";
    this.mode.value = "next";
    this.voice.cancel();
    this.intake?.hide();
    this.text.value = "";
    this.attachments.restore([]);
    this.changed();
    this.chosen = null; // who answers is from now on for the thread to say
    this.onSend({ content, files, agent: this.picker.picked, mode });
  }

  /** Whether a plain key was pressed in a box in which nothing is being written. */
  #untouched(event) {
    return this.text.value === "" && !this.holds && !composing(event) && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
  }

  /** Speaks to an agent from now on, as if it was picked from the menu. */
  choose(agent) {
    this.picker.choose(agent);
  }

  #filesChanged() {
    this.changed();
    this.#maySend();
  }

  /** Sends what waits for a file, or for its agent to be known; if a file failed, its sender decides. */
  #maySend() {
    this.#buttons();
    if (!this.sendWhenReady || !this.#ready) return;
    this.sendWhenReady = false;
    if (!this.attachments.failed) this.#send();
  }

  get #ready() {
    return this.known && !this.attachments.uploading;
  }

  /** Whether what is written can be read by the run at work: it has no files, and is for the run's agent. */
  get #enters() {
    const { steered, attachments, picker: { picked } } = this;
    return steered?.agentType === picked.agent_type && (steered?.pillar ?? null) === (picked.pillar ?? null) && !attachments.uploading && attachments.ready.length === 0;
  }

  /** Something was written, or attached. */
  changed() {
    if (this.threadId) this.drafts.write(this.threadId, { text: this.text.value, files: this.attachments.ready, agent: this.chosen });
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    this.#buttons();
  }

  #buttons() {
    const typed = this.text.value.trim() !== "";
    this.stopButton.hidden = !this.live;
    this.mode.hidden = !this.#enters || !typed;
    this.sendButton.hidden = this.live && !typed;
    const word = this.live ? t(WORDS[this.#enters ? this.mode.value : "after"]) : "";
    setText(this.sendWord, word);
    this.sendButton.setAttribute("aria-label", word || t("action.send"));
    const uploading = this.attachments.uploading ? t("composer.uploading") : t("composer.send_hint");
    const waiting = this.known ? t("composer.waits_for_file") : t("composer.waits_for_chat");
    this.sendButton.title = this.sendWhenReady ? waiting : uploading;
    this.sendButton.disabled = !typed || this.sendWhenReady;
  }
}

// The microphone in the composer, whose code is loaded if the operator allows it and the browser turns speech into text.

export class LazyVoice {
  /** `text` is the box of the message; `allowed()` says whether the operator has it on; `onChange()` is called when it was written in. */
  constructor(text, { allowed, ...given }) {
    Object.assign(this, { text, allowed, given, voice: null, loading: false });
    this.Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition ?? null;
    this.button = el("span", { hidden: true }); // in place of the button
    this.element = el("div"); // in place of what the microphone asks and says
  }

  /** Shows the button where there is something behind it. */
  show() {
    const possible = this.Recognition !== null && this.allowed();
    if (possible) this.#load();
    else this.cancel();
    this.button.hidden = !possible;
  }

  /** Ends a dictation at once; what was written stays. */
  cancel() {
    this.voice?.cancel();
  }

  /** Whether the key was for a dictation. */
  key(event) {
    return this.voice?.key(event) ?? false;
  }

  #put(part) {
    const { hidden } = this[part];
    this[part].replaceWith(this.voice[part]);
    this[part] = this.voice[part];
    this[part].hidden = hidden;
  }

  async #load() {
    if (this.loading) return;
    this.loading = true;
    try {
      const { Voice } = await import("./voice.js");
      this.voice = new Voice(this.Recognition, this.text, this.given);
      this.#put("button");
      this.#put("element");
    } catch (fault) {
      this.loading = false; // without network, and not kept: tried again when the agent changes
      if (!(fault instanceof TypeError)) throw fault;
    }
  }
}
