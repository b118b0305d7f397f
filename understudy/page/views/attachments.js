/** Files on their way into the next message: chips with progress, removable, each failure in a sentence. */

import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { randomId } from "../client/ids.js";
import { size } from "../client/format.js";

const MAX_BYTES = 20 * 1024 * 1024; // the server's default bound of an upload
const MAX_FILES = 10;

export class Attachments {
  /** `onChange()` is called whenever what could be sent changes. */
  constructor(api, files, onChange) {
    Object.assign(this, { api, files, onChange });
    this.items = new Map(); // key -> {name, size, id, error, abort, chip}
    this.element = el("ul.attachments", { "aria-label": "Attached files", hidden: true });
  }

  get uploading() {
    return [...this.items.values()].some((item) => item.id === null && item.error === null);
  }

  /** Whether a file could not be uploaded and was neither removed nor tried again. */
  get failed() {
    return [...this.items.values()].some((item) => item.error !== null);
  }

  /** What was uploaded: [{id, name, size}]. */
  get ready() {
    return [...this.items.values()].filter((item) => item.id !== null).map(({ id, name, size: bytes }) => ({ id, name, size: bytes }));
  }

  /** Starts uploading the files of an input, a drop or a paste. */
  add(fileList) {
    for (const file of fileList) {
      const item = this.#make({ name: file.name || "pasted file", size: file.size, id: null });
      if (file.size > MAX_BYTES) this.#fail(item, `${size(file.size)} is more than the ${size(MAX_BYTES)} a file may have.`);
      else if (this.items.size > MAX_FILES) this.#fail(item, `At most ${MAX_FILES} files go with a message.`);
      else this.#upload(item, file);
    }
    this.#changed();
  }

  /** Shows files that were uploaded before, from a draft. */
  restore(list) {
    for (const item of this.items.values()) item.abort?.abort();
    this.items.clear();
    this.element.replaceChildren();
    for (const file of list) this.#done(this.#make({ ...file, id: null }), file);
    this.#changed();
  }

  #make(fields) {
    const item = { key: randomId(), error: null, abort: null, ...fields };
    item.note = el("span.chip-note", {}, size(item.size ?? 0));
    item.bar = el("progress.chip-bar", { max: 1, value: 0, "aria-label": `Uploading ${item.name}` });
    item.remove = el("button.chip-remove", {
      type: "button", "aria-label": `Remove ${item.name}`, title: "Remove", onclick: () => this.#remove(item),
    }, icon("close"));
    item.chip = el("li.chip", {}, icon("file"), el("span.chip-name", {}, item.name), item.note, item.remove, item.bar);
    this.items.set(item.key, item);
    this.element.append(item.chip);
    return item;
  }

  async #upload(item, file) {
    item.abort = new AbortController();
    try {
      const stored = await this.api.upload(file, {
        signal: item.abort.signal, onProgress: (share) => { item.bar.value = share; },
      });
      this.#done(item, stored);
    } catch (fault) {
      this.#fail(item, fault.message, () => {
        item.error = null;
        item.chip.classList.remove("is-bad");
        item.chip.querySelector(".link")?.remove();
        setText(item.note, size(item.size));
        this.#upload(item, file);
        this.#changed();
      });
    }
    this.#changed();
  }

  #done(item, stored) {
    Object.assign(item, { id: stored.id, name: stored.name ?? item.name, size: stored.size ?? item.size });
    this.files.remember(item);
    item.bar.hidden = true;
  }

  #fail(item, sentence, again = null) {
    item.error = sentence;
    item.bar.hidden = true;
    item.chip.classList.add("is-bad");
    item.note.setAttribute("role", "alert");
    setText(item.note, sentence);
    if (again) item.remove.before(el("button.link", { type: "button", onclick: again }, "Try again"));
  }

  #remove(item) {
    item.abort?.abort();
    this.items.delete(item.key);
    item.chip.remove();
    this.#changed();
  }

  #changed() {
    this.element.hidden = this.items.size === 0;
    this.onChange();
  }
}
