/** The microphone in the composer, whose code is loaded if the operator allows it and the browser turns speech into text. */

import { el } from "../elements/dom.js";

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
