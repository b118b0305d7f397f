/** The files that were made for an answer: a card each, with a preview, a download, and a large view beside the chat. */

import { arrange, el } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { forget, whenSeen } from "../elements/seen.js";
import { saveButton as saveCsv, showTable } from "../tables/tables.js";
import { ending, likelyKind, madeFiles } from "./kinds.js";
import { humanised, size } from "../client/format.js";
import { resultTables } from "../tables/table_data.js";
import { t } from "../client/messages.js";

const FEW_BYTES = 120; // a text of a line or two, whose preview is low

export class MadeFilesView {
  /** `page` is {files, previews, panel}. */
  constructor(page) {
    this.page = page;
    this.cards = new Map(); // file id -> element
    this.element = el("ul.made-files", { "aria-label": t("made.name"), hidden: true });
  }

  update(turn) {
    if (turn.steps === this.steps && turn.final === this.final) return;
    Object.assign(this, { steps: turn.steps, final: turn.final });
    const files = madeFiles(turn);
    const tables = turn.final ? resultTables(turn.final) : [];
    this.element.hidden = files.length + tables.length === 0;
    for (const file of files) {
      if (this.cards.has(file.id)) continue;
      this.page.files.remember(file);
      this.cards.set(file.id, card(file, this.page));
    }
    arrange(this.element, [...tables.map((one) => tableCard(one, this.page)), ...files.map(({ id }) => this.cards.get(id))]);
  }

  destroy() {
    for (const box of this.element.querySelectorAll(".file-preview")) forget(box);
  }
}

function card(file, page) {
  const kind = likelyKind(file);
  const open = el("button.file-name", { type: "button", title: t("made.open", { name: file.name }), "aria-label": t("made.open", { name: file.name }), onclick: () => openFile(file, page, open) }, file.name);
  const preview = kind === "file" ? null : el(kind === "text" && file.size < FEW_BYTES ? "div.file-preview.is-small" : "div.file-preview", { "data-kind": kind });
  if (preview) whenSeen(preview, () => preview.append(page.previews.show(file)));
  return el("li.file-card", {}, el("div.file-head", {}, icon(kind === "image" ? "picture" : kind === "table" ? "table" : "file"),
    el("div.file-names", {}, open, el("span.file-note", {}, describe(file))), saveButton(file, page)), preview);
}

/** All rows of a table that a tool gave: the answer itself shows some. */
function tableCard({ tool, table }, { panel }) {
  const name = humanised(tool);
  const note = t("made.table_size", { rows: table.rows.length, columns: table.columns.length });
  const open = el("button.file-name", { type: "button", title: t("made.open", { name }), "aria-label": t("made.open", { name }), onclick: () => (
    panel.show({ title: name, note, content: showTable(table, { name }), opener: open })
  ) }, name);
  return el("li.file-card", {}, el("div.file-head", {}, icon("table"), el("div.file-names", {}, open, el("span.file-note", {}, note)), saveCsv(name, () => table)));
}

/** Opens a file large, beside the conversation. */
export function openFile(file, page, opener) {
  page.panel.show({ title: file.name, note: describe(file), actions: [saveButton(file, page)], content: page.previews.show(file), opener });
}

function saveButton(file, { files }) {
  const note = el("span.file-fault", { role: "status" });
  const label = t("made.download", { name: file.name });
  return el("span.file-save", {}, note, el("button.quiet.icon-button", { type: "button", title: label, "aria-label": label, onclick: () => files.save(file.id, note) }, icon("download")));
}

function describe(file) {
  const kind = t(`made.kind_${likelyKind(file)}`);
  return [[ending(file.name), kind].filter(Boolean).join(" "), Number.isFinite(file.size) ? size(file.size) : ""].filter(Boolean).join(" · ");
}
