/** Files on their way into the next message: chips with progress, removable, each failure in a sentence. */

import { el, setText } from "../elements/dom.js";
import { likelyKind } from "../files/kinds.js";
import { number, t } from "../client/messages.js";
import { icon } from "../elements/icons.js";
import { randomId } from "../client/ids.js";
import { size } from "../client/format.js";

const MAX_FILES = 10;

export class Attachments {
  /** `onChange()` is called whenever what could be sent changes; `maxBytes()` is how many a file may have. */
  constructor(api, files, onChange, maxBytes) {
    Object.assign(this, { api, files, onChange, maxBytes });
    this.items = new Map(); // key -> {name, size, id, error, abort, chip}
    this.element = el("ul.attachments", { "aria-label": t("files.attached"), hidden: true });
  }

  get uploading() {
    return [...this.items.values()].some((item) => item.id === null && item.error === null);
  }

  /** Whether a file could not be uploaded and was neither removed nor tried again. */
  get failed() {
    return [...this.items.values()].some((item) => item.error !== null);
  }

  /** The uploaded files: [{id, name, size}]. */
  get ready() {
    return [...this.items.values()].filter((item) => item.id !== null).map(({ id, name, size: bytes }) => ({ id, name, size: bytes }));
  }

  /** Starts uploading the files of an input, a drop or a paste. Returns their items, for `remove`. */
  add(fileList) {
    const most = this.maxBytes();
    const made = [...fileList].map((file) => {
      const item = this.#make({ name: file.name || t("files.pasted"), size: file.size, id: null }, file);
      if (file.size > most) this.#fail(item, t("files.too_large", { size: size(file.size), most: size(most) }));
      else if (this.items.size > MAX_FILES) this.#fail(item, t("files.too_many", { count: MAX_FILES }));
      else this.#upload(item, file);
      return item;
    });
    this.#changed();
    return made;
  }

  /** Shows that something cannot be attached, and why. */
  refuse(name, sentence) {
    this.#fail(this.#make({ name, size: null, id: null }), sentence);
    this.#changed();
  }

  remove(item) {
    item.abort?.abort();
    if (!this.items.delete(item.key)) return;
    const next = item.chip.nextElementSibling ?? item.chip.previousElementSibling;
    const focused = item.chip.contains(document.activeElement);
    item.chip.remove();
    if (focused) next?.querySelector(".chip-remove")?.focus();
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

  #make(fields, file = null) {
    const item = { key: randomId(), error: null, abort: null, ...fields };
    item.note = el("span.chip-note", {}, item.size === null ? "" : size(item.size));
    item.sign = el("span.chip-sign", {}, icon("file"));
    item.bar = el("progress.chip-bar", { max: 1, value: 0, "aria-label": t("files.uploading", { name: item.name }) });
    item.remove = el("button.chip-remove", {
      type: "button", "aria-label": t("files.remove", { name: item.name }), title: t("action.remove"), onclick: () => this.remove(item),
    }, icon("close"));
    item.chip = el("li.chip", {}, item.sign, el("span.chip-name", { dir: "auto" }, item.name), item.note, item.remove, item.bar);
    if (file && likelyKind({ name: item.name, media_type: file.type }) === "image") item.sign.replaceChildren(this.files.thumbnail(item, file));
    this.items.set(item.key, item);
    this.element.append(item.chip);
    return item;
  }

  async #upload(item, file) {
    item.abort = new AbortController();
    this.#progress(item, 0);
    try {
      const stored = await this.api.upload(file, {
        signal: item.abort.signal, onProgress: (share) => this.#progress(item, share),
      });
      this.#done(item, stored);
    } catch (fault) {
      if (!this.items.has(item.key)) return; // it was removed meanwhile
      this.#fail(item, fault.message, () => {
        item.error = null;
        item.chip.classList.remove("is-bad");
        item.chip.querySelector(".link")?.remove();
        item.bar.hidden = false;
        item.note.removeAttribute("role");
        this.#upload(item, file);
        this.#changed();
      });
    }
    this.#changed();
  }

  /** Shows the sent share of a file, once there is one; after the last byte, that the server works on it. */
  #progress(item, share) {
    if (!this.items.has(item.key) || item.id !== null) return;
    item.bar.value = share;
    if (share > 0) setText(item.note, t("files.sent", { share: number(share, { style: "percent", maximumFractionDigits: 0 }), size: size(item.size) }));
  }

  #done(item, stored) {
    Object.assign(item, { id: stored.id, name: stored.name ?? item.name, size: stored.size ?? item.size });
    this.files.remember(item);
    item.bar.hidden = true;
    setText(item.note, size(item.size ?? 0));
    if (likelyKind(item) === "image" && !item.sign.querySelector("img")) item.sign.replaceChildren(this.files.thumbnail(item));
  }

  #fail(item, sentence, again = null) {
    item.error = sentence;
    item.bar.hidden = true;
    item.chip.classList.add("is-bad");
    item.note.setAttribute("role", "alert");
    setText(item.note, sentence);
    if (again) item.remove.before(el("button.link", { type: "button", onclick: again }, t("action.try_again")));
  }

  #changed() {
    this.element.hidden = this.items.size === 0;
    this.onChange();
  }
}
