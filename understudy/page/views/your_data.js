/** The user's own data: save a copy, clear what this browser keeps, delete everything. */

import { clearCopies } from "../client/session_end.js";
import { t } from "../client/messages.js";
import { confirmed } from "./dialog.js";
import { el, setText } from "./dom.js";
import { saveAs } from "./save_as.js";

/**
 * The section of the settings for it. `onCleared()` draws the page anew, `onErased()` ends the session, which the server
 * has done already.
 */
export function dataSection({ api, storage, onCleared, onErased }) {
  const hint = el("p.hint", { role: "status" });
  const row = (name, look, act) => {
    const button = el(`button.${look}`, { type: "button" }, t(`data.${name}`));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        setText(hint, (await act()) ?? "");
      } catch (fault) {
        setText(hint, fault.status === 404 ? t("data.nothing") : fault.message);
      } finally {
        button.disabled = false;
      }
    });
    return el("div.settings-row", {}, el("p", {}, t(`data.${name}_about`)), button);
  };

  async function save() {
    setText(hint, t("data.exporting"));
    const file = await api.exportData();
    saveAs(await file.blob(), file.name ?? "understudy-data.json");
    return t("data.exported");
  }

  async function clear() {
    if (!(await confirmed({ title: t("data.clear_title"), text: t("data.clear_text"), agree: t("data.clear") }))) return;
    await clearCopies(storage, globalThis.caches);
    onCleared();
  }

  async function erase() {
    const { user } = await api.me();
    if (!(await confirmed({ title: t("data.erase_title"), text: t("data.erase_text"), agree: t("data.erase") }))) return;
    setText(hint, t("data.erasing"));
    await api.eraseData(user);
    onErased();
  }

  const element = el("div.settings-body", {}, row("export", "secondary", save), row("clear", "secondary", clear),
    el("details.settings-more", {}, el("summary", {}, t("data.more")), row("erase", "danger", erase)), hint);
  return { title: t("data.title"), element, show: () => setText(hint, "") };
}
