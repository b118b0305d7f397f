/** The microphone in the composer: the browser turns speech into text. `LazyVoice` loads it where that is possible. */

import { language, t } from "../client/messages.js";
import { el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";

const KEY = "understudy.voice"; // "yes" once the user has agreed
const LONGEST_MS = 5 * 60_000; // of one dictation
const LAST_WORDS_MS = 5_000; // for the browser's last words after a stop

export class Voice {
  /** `Recognition` is the browser's; `text` is the box of the message; `onChange()` is called when it was written in. */
  constructor(Recognition, text, { storage, onChange }) {
    Object.assign(this, { Recognition, text, storage, onChange, recognition: null, state: null });
    this.button = el("button.quiet.icon-button.voice-button", {
      type: "button", title: t("voice.name"), "aria-label": t("voice.name"), "aria-pressed": "false", onclick: () => this.#toggle(),
    }, icon("microphone"));
    this.use = el("button.secondary", { type: "button", onclick: () => this.#agree() }, t("voice.use"));
    this.question = el("div.voice-question", { role: "group", "aria-label": t("voice.name"), hidden: true }, el("p", {}, t("voice.about")), this.use,
      el("button.secondary", { type: "button", onclick: () => this.#decline() }, t("voice.not_now")));
    this.status = el("p.voice-status", { role: "status" });
    this.element = el("div.voice", {}, this.question, this.status);
  }

  get listening() {
    return this.recognition !== null;
  }

  /** Ends a dictation; what the browser still says of it is taken. */
  stop() {
    if (!this.listening) return;
    clearTimeout(this.limit);
    const ending = this.recognition;
    this.limit = setTimeout(() => this.recognition === ending && this.cancel(), LAST_WORDS_MS);
    ending.stop();
  }

  /** Ends a dictation at once; what was written stays. */
  cancel() {
    if (!this.listening) return;
    const ended = this.recognition;
    this.#over();
    ended.abort();
  }

  /** Whether the key was for a dictation. */
  key(event) {
    if (event.key !== "Escape" || !this.listening) return false;
    this.stop();
    return true;
  }

  #toggle() {
    if (this.listening) this.stop();
    else if (this.storage.getItem(KEY) === "yes") this.#start();
    else {
      this.question.hidden = false;
      this.use.focus();
    }
  }

  #agree() {
    this.storage.setItem(KEY, "yes");
    this.question.hidden = true;
    this.#start();
  }

  #decline() {
    this.question.hidden = true;
    this.text.focus();
  }

  #start() {
    const { selectionStart, selectionEnd, value } = this.text;
    const recognition = new this.Recognition();
    Object.assign(recognition, { lang: language().locale, continuous: true, interimResults: true });
    const ours = (work) => (event) => this.recognition === recognition && work(event);
    recognition.addEventListener("result", ours((event) => this.#take(event.results)));
    recognition.addEventListener("error", ours(({ error }) => this.#over(voiceFault(error))));
    recognition.addEventListener("end", ours(() => this.#over()));
    Object.assign(this, { recognition, state: dictation(value, selectionStart, selectionEnd) });
    this.button.setAttribute("aria-pressed", "true");
    setText(this.status, t("voice.listening"));
    this.limit = setTimeout(() => this.stop(), LONGEST_MS);
    this.text.focus();
    try {
      recognition.start();
    } catch {
      this.#over("voice.failed");
    }
  }

  #take(results) {
    this.state = heard(this.state, [...results].map((each) => each[0].transcript));
    const { text, caret } = written(this.state);
    this.text.value = text;
    this.text.setSelectionRange(caret, caret);
    this.onChange();
  }

  #over(fault = null) {
    clearTimeout(this.limit);
    this.recognition = null;
    this.button.setAttribute("aria-pressed", "false");
    setText(this.status, fault ? t(fault) : "");
  }
}

// Speech that the browser turns into text, at the caret of a message.

const FAULTS = Object.freeze({
  "not-allowed": "voice.not_allowed", "service-not-allowed": "voice.not_allowed", "audio-capture": "voice.no_microphone",
  "no-speech": "voice.no_speech", network: "voice.network", "language-not-supported": "voice.no_language",
});

/** Begins to dictate into a text, in place of what is selected in it. */
export function dictation(text, start = text.length, end = start) {
  return Object.freeze({ before: text.slice(0, start), after: text.slice(end), said: "" });
}

/** Adds the texts of all parts recognised so far, `results`, in place of the former ones. */
export function heard(state, results) {
  const said = results.map((text) => text.trim()).filter(Boolean).join(" ");
  return said === state.said ? state : Object.freeze({ ...state, said });
}

/** {text, caret} of the message with what was heard; words are kept apart by a space. */
export function written({ before, after, said }) {
  if (said === "") return { text: before + after, caret: before.length };
  const head = before + (before === "" || /\s$/u.test(before) ? "" : " ") + said;
  return { text: head + (after === "" || /^[\s.,;:!?…)]/u.test(after) ? "" : " ") + after, caret: head.length };
}

/** The message of an error by the browser's name of it; null for one that the user made. */
export function voiceFault(name) {
  if (name === "aborted") return null;
  return Object.hasOwn(FAULTS, name) ? FAULTS[name] : "voice.failed";
}
