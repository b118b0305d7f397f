/** Attached files: their names (a message has only their ids), pictures of them, and chips that open them. */

import { el, setText, saveAs } from "../elements/dom.js";
import { t } from "../client/messages.js";
import { icon } from "../elements/icons.js";
import { openFile } from "./made_files.js";
import { whenSeen } from "../elements/seen.js";
import { likelyKind } from "./kinds.js";
import { size } from "../client/format.js";

const KEY = "understudy.files";
const REMEMBERED = 300;

export class Files {
  /** `previews` read what files hold, `panel` shows one large. */
  constructor(api, storage, previews, panel) {
    this.api = api;
    this.storage = storage;
    Object.assign(this, { previews, panel });
    this.known = new Map(read(storage));
  }

  /** Remembers {id, name, size, media_type}. */
  remember(file) {
    this.known.delete(file.id);
    this.known.set(file.id, { id: file.id, name: file.name, size: file.size ?? null });
    while (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
    this.storage.setItem(KEY, JSON.stringify([...this.known]));
  }

  /** A chip for a reference of a message: an id, or {file_id | id}. A picture is shown; pressing it opens the file. */
  chip(reference) {
    const id = typeof reference === "string" ? reference : reference?.file_id ?? reference?.id ?? "";
    const name = el("span.chip-name", { dir: "auto" }, t("files.unnamed"));
    const note = el("span.chip-note");
    const chip = el("button.chip", { type: "button", onclick: () => openFile(this.known.get(id) ?? { id, name: t("files.unnamed") }, this.page, chip) }, icon("file"), name, note);
    const fill = (file) => {
      setText(name, file.name);
      setText(note, file.size ? size(file.size) : "");
      chip.title = t("made.open", { name: file.name });
      if (likelyKind(file) === "image" && !chip.classList.contains("is-picture")) {
        chip.classList.add("is-picture");
        chip.querySelector(".icon").replaceWith(this.#picture({ ...file, id }));
      }
    };
    const known = this.known.get(id);
    if (known) fill(known);
    else this.#lookUp(id).then((file) => file && fill(file));
    return chip;
  }

  /** A small picture of an attached file; `local` is the file itself, if it is here. Pressing it shows it large. */
  thumbnail(item, local = null) {
    const label = t("made.open", { name: item.name });
    const button = el("button.chip-thumb", { type: "button", title: label, "aria-label": label, onclick: () => item.id && openFile(item, this.page, button) });
    button.append(local ? pictureOf(local) : this.#picture(item));
    return button;
  }

  get page() {
    return { files: this, previews: this.previews, panel: this.panel };
  }

  /** The picture of a stored file, which is read when it is about to be seen. */
  #picture(file) {
    const box = el("span.chip-picture", { "aria-hidden": "true" });
    whenSeen(box, () => this.previews.picture(file).then((image) => box.append(image)).catch(() => box.append(icon("picture"))));
    return box;
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

  /** Saves a file as the browser does; `note` says why it could not. */
  async save(id, note) {
    try {
      const file = await this.api.file(id);
      saveAs(await file.blob(), file.name ?? this.known.get(id)?.name ?? t("files.plain_name"));
    } catch (fault) {
      setText(note, t(fault.status === 404 ? "files.gone" : "files.not_fetched"));
    }
  }
}

function pictureOf(file) {
  const address = URL.createObjectURL(file);
  const image = el("img", { src: address, alt: "", decoding: "async" });
  image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  image.addEventListener("error", () => { URL.revokeObjectURL(address); image.replaceWith(icon("picture")); }, { once: true });
  return image;
}

function read(storage) {
  try {
    const entries = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(entries) ? entries : [];
  } catch {
    return [];
  }
}
