/** The form for the next message: text, files, the agent, send and stop. */

import { AgentPicker } from "./agents.js";
import { Attachments } from "./attachments.js";
import { el, setText } from "./dom.js";
import { icon } from "./icons.js";

const AROUND_BYTES = 16 * 1024; // of a command, for what surrounds the text
const TYPING_MS = 5_000; // a tab in which the user types says so every three seconds

export class Composer {
  /**
   * `onSend({content, files, agent, mode})`, `onStop()`, `onAgent(agent)`, `onTyping()`; `banner` stands above the box;
   * `maxBytes()` is how many bytes a command may have.
   */
  constructor({ api, files, agents, drafts, banner, maxBytes, onSend, onStop, onAgent, onTyping }) {
    Object.assign(this, { drafts, agents, maxBytes, onSend, onStop, threadId: null, chosen: null, known: true, live: false, steerable: false, sendWhenReady: false });
    this.text = el("textarea.composer-text", {
      id: "composer-text", rows: 1, placeholder: "Write a message", "aria-label": "Message", enterKeyHint: "send", autocomplete: "off", dir: "auto",
    });
    this.attachments = new Attachments(api, files, () => this.#filesChanged());
    this.picker = new AgentPicker(agents, (agent) => {
      this.pick(agent);
      this.text.focus();
      onAgent(agent);
    });
    this.input = el("input.offscreen", { type: "file", multiple: true, tabIndex: -1, "aria-hidden": "true" });
    this.sendButton = el("button.primary.round", { type: "submit", title: "Send (Enter)", "aria-label": "Send" }, icon("send"));
    this.mode = el("select.steer-mode", { "aria-label": "When the agent reads it", title: "When the agent reads it", hidden: true },
      el("option", { value: "next" }, "At the next step"), el("option", { value: "now" }, "Now"), el("option", { value: "after" }, "After the answer"));
    this.stopButton = el("button.stop", { type: "button", hidden: true, title: "Stop (Esc)", onclick: () => onStop() },
      el("span.stop-mark"), this.stopWord = el("span", {}, "Stop"));
    this.notice = el("p.model-notice");
    this.fault = el("p.composer-fault", { role: "alert", hidden: true });
    this.typing = el("p.typing-notice", { role: "status" });
    this.box = el("div.composer-box", {}, this.attachments.element, this.text, el("div.composer-bar", {},
      el("button.quiet.icon-button", { type: "button", title: "Attach a file", "aria-label": "Attach a file", onclick: () => this.input.click() }, icon("clip")),
      this.input, this.picker.element, el("span.spring"), this.mode, this.stopButton, this.sendButton));
    this.element = el("form.composer", {}, banner, this.fault, this.typing, this.box, this.notice);
    this.#listen(onTyping);
  }

  /** Shows another thread's draft; `agent` is the one that thread talked to last, null while that is not known. */
  open(threadId, agent) {
    const draft = this.drafts.read(threadId);
    this.threadId = threadId;
    this.sendWhenReady = false;
    this.text.value = draft.text;
    this.showTyping(false);
    this.attachments.restore(draft.files);
    this.chosen = draft.agent;
    this.follow(agent);
    this.#changed();
  }

  /** Whether a message is being written, or has files. */
  get holds() {
    return this.text.value.trim() !== "" || this.attachments.uploading || this.attachments.ready.length > 0;
  }

  /** Shows for a few seconds, or no more, that the user is typing in this thread in another tab or client. */
  showTyping(typing = true) {
    clearTimeout(this.typed);
    setText(this.typing, typing ? "You are typing in another window." : "");
    if (typing) this.typed = setTimeout(() => this.showTyping(false), TYPING_MS);
  }

  /** Chooses the agent that answers next in this thread, whoever did so far. */
  pick(agent) {
    this.chosen = agent.name;
    this.follow(agent);
    this.#changed();
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
    this.live = turn !== null;
    this.steerable = steered !== null;
    this.stopButton.disabled = turn?.stopping ?? false;
    setText(this.stopWord, turn?.stopping ? "Stopping" : "Stop");
    this.#buttons();
  }

  /** Shows which model the chosen agent has. */
  showModel() {
    const model = this.picker.picked.model ?? this.agents.model;
    const text = model?.notice || (model?.name ? `Answers come from ${model.name}.` : "");
    this.notice.textContent = text;
    this.notice.hidden = text === "";
  }

  fill(text) {
    this.text.value = text;
    this.#changed();
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
      this.sendWhenReady = false;
      this.#changed();
      onTyping();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.text.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return;
      event.preventDefault();
      this.attachments.add(event.clipboardData.files);
    });
    this.input.addEventListener("change", () => {
      this.attachments.add(this.input.files);
      this.input.value = "";
      this.text.focus();
    });
  }

  /** Lets files be dropped anywhere on `target`. */
  acceptDrops(target) {
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (on) => target.classList.toggle("is-dropping", on);
    target.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark(true);
    });
    target.addEventListener("dragleave", (event) => {
      if (!target.contains(event.relatedTarget)) mark(false);
    });
    target.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark(false);
      this.attachments.add(event.dataTransfer.files);
      this.text.focus();
    });
  }

  #send() {
    const content = this.text.value.trim();
    this.sendWhenReady = content !== "" && !this.#ready;
    this.#buttons();
    if (content === "" || !this.#ready) return;
    const tooLong = new TextEncoder().encode(content).length > this.maxBytes() - AROUND_BYTES;
    this.fault.hidden = !tooLong;
    this.fault.textContent = tooLong ? "This message is longer than the server accepts. Attach it as a file, or shorten it." : "";
    if (tooLong) return;
    const files = this.attachments.ready;
    this.text.value = "";
    this.attachments.restore([]);
    this.#changed();
    const mode = this.steerable ? this.mode.value : "after";
    this.mode.value = "next";
    this.chosen = null; // who answers is from now on for the thread to say
    this.onSend({ content, files, agent: this.picker.picked, mode });
  }

  #filesChanged() {
    this.#changed();
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

  #changed() {
    if (this.threadId) this.drafts.write(this.threadId, { text: this.text.value, files: this.attachments.ready, agent: this.chosen });
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    this.#buttons();
  }

  #buttons() {
    const typed = this.text.value.trim() !== "";
    this.stopButton.hidden = !this.live;
    this.mode.hidden = !this.steerable || !typed;
    this.sendButton.hidden = this.live && !typed;
    const uploading = this.attachments.uploading ? "A file is still being uploaded" : "Send (Enter)";
    const waiting = this.known ? "Sends as soon as the file is uploaded" : "Sends as soon as the chat is read";
    this.sendButton.title = this.sendWhenReady ? waiting : uploading;
    this.sendButton.disabled = !typed || this.sendWhenReady;
  }
}
