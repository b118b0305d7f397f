/** Files that are dropped or pasted into a message. */

import { t } from "../client/messages.js";

/** Lets files be dropped anywhere on `target`; `attachments` takes them. */
export function acceptDrops(target, attachments, onTaken) {
  const carriesFiles = (event) => attachments.possible && event.dataTransfer?.types.includes("Files");
  const mark = (on) => target.classList.toggle("is-dropping", on);
  target.dataset.dropHint = t("composer.drop");
  target.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    mark(true);
  });
  target.addEventListener("dragleave", (event) => {
    if (!target.contains(event.relatedTarget)) mark(false);
  });
  target.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(false);
    const entries = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const folders = new Set(entries.filter((entry) => entry.webkitGetAsEntry?.()?.isDirectory).map((entry) => entry.getAsFile()?.name));
    attachments.add([...event.dataTransfer.files].filter(({ name }) => !folders.has(name)));
    for (const name of folders) attachments.refuse(name ?? "", t("files.folder"));
    onTaken();
  });
}

/** Whether a clipboard with a picture has the text that it shows, as office programs give: then the browser pastes that. */
const isText = (clipboard) => clipboard.getData("text/plain").trim() !== "" && clipboard.getData("text/html").replace(/<style[^]*?<\/style>|<[^>]*>/g, "").trim() !== "";

/** Takes a table or files that are pasted into `text`; anything else is pasted by the browser. */
export function acceptPastes(text, attachments, pasted) {
  text.addEventListener("paste", (event) => {
    if (!attachments.possible) return;
    const { clipboardData } = event;
    if (pasted.take(clipboardData)) { // before files: a spreadsheet also gives a picture of its cells
      event.preventDefault();
    } else if (clipboardData.files.length > 0 && !isText(clipboardData)) {
      event.preventDefault();
      attachments.add(clipboardData.files);
    }
  });
}
