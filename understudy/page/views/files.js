/** Files that were attached: their names (a message only says their ids) and a chip to show and save them. */

import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { size } from "../client/format.js";

const KEY = "understudy.files";
const REMEMBERED = 300;

export class Files {
  constructor(api, storage) {
    this.api = api;
    this.storage = storage;
    this.known = new Map(read(storage));
  }

  /** Remembers {id, name, size, media_type}. */
  remember(file) {
    this.known.delete(file.id);
    this.known.set(file.id, { id: file.id, name: file.name, size: file.size ?? null });
    while (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
    this.storage.setItem(KEY, JSON.stringify([...this.known]));
  }

  /** A chip for a reference of a message: an id, or {file_id | id}. Pressing it saves the file. */
  chip(reference) {
    const id = typeof reference === "string" ? reference : reference?.file_id ?? reference?.id ?? "";
    const name = el("span.chip-name", {}, "Attached file");
    const note = el("span.chip-note");
    const chip = el("button.chip", { type: "button", onclick: () => this.#save(id, note) }, icon("file"), name, note);
    const fill = (file) => {
      setText(name, file.name);
      setText(note, file.size ? size(file.size) : "");
      chip.title = `Save ${file.name}`;
    };
    const known = this.known.get(id);
    if (known) fill(known);
    else this.#lookUp(id).then((file) => file && fill(file));
    return chip;
  }

  async #lookUp(id) {
    try {
      const { name, size: bytes } = await this.api.file(id, "HEAD");
      if (!name) return null;
      this.remember({ id, name, size: bytes });
      return this.known.get(id);
    } catch {
      return null; // the chip keeps its plain name
    }
  }

  async #save(id, note) {
    try {
      const file = await this.api.file(id);
      const address = URL.createObjectURL(await file.blob());
      el("a", { href: address, download: file.name ?? this.known.get(id)?.name ?? "file" }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } catch (fault) {
      setText(note, fault.status === 404 ? "no longer there" : "could not be fetched");
    }
  }
}

function read(storage) {
  try {
    const entries = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(entries) ? entries : [];
  } catch {
    return [];
  }
}
