/** Adds files to the composer: a button, and files that are dropped or pasted. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/intake.js";
import { Pasted } from "./pasted.js";

export function extend({ add, chat: { composer } }) {
  add("intakes", new Intake(composer, composer.element.parentElement));
}

// Files that are dropped or pasted into a message.

export class Intake {
  /** Takes for `composer` what is pasted into its text, or dropped anywhere on `target`, while it is the composer's `intake`. */
  constructor(composer, target) {
    learn(MESSAGES);
    Object.assign(this, { composer, target, pasted: new Pasted(composer.text, composer.attachments, () => composer.changed()) });
    composer.attachments.element.after(this.pasted.element);
    composer.text.addEventListener("paste", (event) => this.on && this.#paste(event));
    target.dataset.dropHint = t("composer.drop");
    for (const kind of ["dragover", "drop"]) target.addEventListener(kind, (event) => this.on && event.dataTransfer?.types.includes("Files") && this.#drag(event));
    target.addEventListener("dragleave", (event) => !target.contains(event.relatedTarget) && this.#mark(false));
  }

  get on() {
    return this.composer.intake === this;
  }

  /** Hides the offer; pasted text stays as it was chosen. */
  hide() {
    this.pasted.hide();
  }

  /** Takes a table or files; anything else is pasted by the browser. */
  #paste(event) {
    const { clipboardData } = event;
    if (this.pasted.take(clipboardData)) { // before files: a spreadsheet also gives a picture of its cells
      event.preventDefault();
    } else if (clipboardData.files.length > 0 && !isText(clipboardData)) {
      event.preventDefault();
      this.composer.attachments.add(clipboardData.files);
    }
  }

  #drag(event) {
    event.preventDefault();
    this.#mark(event.type === "dragover");
    if (event.type === "drop") this.#drop(event.dataTransfer);
    else event.dataTransfer.dropEffect = "copy";
  }

  #drop({ items, files }) {
    const entries = [...items].filter(({ kind }) => kind === "file");
    const folders = new Set(entries.filter((entry) => entry.webkitGetAsEntry?.()?.isDirectory).map((entry) => entry.getAsFile()?.name));
    this.composer.attachments.add([...files].filter(({ name }) => !folders.has(name)));
    for (const name of folders) this.composer.attachments.refuse(name ?? "", t("files.folder"));
    this.composer.text.focus();
  }

  #mark(on) {
    this.target.classList.toggle("is-dropping", on);
  }
}

/** Whether a clipboard with a picture has the text that it shows, as office programs give: then the browser pastes that. */
const isText = (clipboard) => clipboard.getData("text/plain").trim() !== "" && clipboard.getData("text/html").replace(/<style[^]*?<\/style>|<[^>]*>/g, "").trim() !== "";
