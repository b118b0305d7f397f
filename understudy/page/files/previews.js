/** Previews of stored files as the server offers them: pictures, rows, highlighted text. */

import { el } from "../elements/dom.js";
import { showWhole } from "../answer/prose.js";
import { showTable } from "../tables/tables.js";
import { t } from "../client/messages.js";

const REMEMBERED = 60;
const PICTURES = 12;

/** Reads previews and pictures of files, the latest from memory. */
export class Previews {
  constructor(api) {
    this.api = api;
    this.read = remembering((id) => api.preview(id), REMEMBERED);
    this.content = remembering(async (id) => (await api.file(id)).blob(), PICTURES);
  }

  /** An element that shows the file: it says at once that it is reading, and what it shows as soon as that is known. */
  show(file) {
    const box = el("div.preview", { "data-kind": "loading" }, el("span.spinner", { role: "status", "aria-label": t("made.reading") }));
    this.#fill(box, file).catch((fault) => {
      box.dataset.kind = "none";
      box.replaceChildren(el("p.hint", {}, fault.status === 404 ? t("files.gone") : t("files.not_fetched")));
    });
    return box;
  }

  /** The address of the picture that a file holds, to be revoked once it is shown. Rejects if it holds none. */
  async pictureAddress(id) {
    const { kind, image_type: type } = await this.read(id);
    if (kind !== "image") throw new TypeError(`a file of kind ${kind}`);
    return URL.createObjectURL(new Blob([await this.content(id)], { type }));
  }

  async #fill(box, file) {
    const preview = await this.read(file.id);
    const content = preview.kind === "image" ? await this.#picture(file) : contentOf(file, preview);
    box.dataset.kind = preview.kind;
    box.replaceChildren(...content);
    box.classList.toggle("is-cut", box.scrollHeight > box.parentElement?.clientHeight);
  }

  /** A small, decorative image of a file. Rejects if it is no picture. */
  async picture(file) {
    const preview = await this.read(file.id);
    if (preview.kind !== "image") throw new TypeError(preview.kind);
    const [image] = await this.#picture(file, preview);
    image.alt = "";
    return image;
  }

  /** The bytes as an image of the kind that the server saw: in an image nothing runs, also not in an SVG. */
  async #picture({ id, name }) {
    const address = await this.pictureAddress(id);
    const image = el("img.preview-picture", { src: address, alt: name, decoding: "async" });
    await image.decode().finally(() => URL.revokeObjectURL(address));
    return [image];
  }
}

function contentOf({ name }, preview) {
  switch (preview.kind) {
    case "table":
      return [showTable({ columns: preview.columns, rows: preview.rows }, { name, saves: false }), preview.cut ? el("p.hint", {}, t("made.first_rows", { count: preview.rows.length })) : ""];
    case "text": {
      const box = el("div.prose");
      showWhole(box, fenced(preview.text, preview.language));
      return [preview.text === "" ? el("p.hint", {}, t("made.empty")) : box, preview.cut ? el("p.hint", {}, t("made.beginning")) : ""];
    }
    default:
      return [el("p.hint", {}, t("made.no_preview"))];
  }
}

/** A text as a block of code in Markdown. */
function fenced(text, language) {
  let fence = "```";
  while (text.includes(fence)) fence += "`";
  return `${fence}${/^[a-z0-9]+$/i.test(language) ? language : "text"}\n${text.replace(/\n$/, "")}\n${fence}`;
}

/** `read`, which is asked once for each of the latest keys; a failure is not remembered. */
function remembering(read, most) {
  const known = new Map();
  return (key) => {
    const found = known.get(key) ?? read(key);
    known.delete(key);
    known.set(key, found);
    while (known.size > most) known.delete(known.keys().next().value);
    found.catch(() => known.delete(key));
    return found;
  };
}
