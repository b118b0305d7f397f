/** The settings of the chat page: all of their sections. */

import { t } from "../client/messages.js";
import { appearanceSection } from "./appearance.js";
import { languageSection } from "./language.js";
import { clearCopies } from "../client/connection/session.js";
import { confirmed } from "./dialog.js";
import { el, setText } from "./dom.js";
import { Settings } from "./settings.js";

/** `page` is {extensions, redraw()}, `storage` where the choices are kept. */
export function pageSettings(page, storage) {
  const own = [appearanceSection(storage), languageSection(storage, () => page.redraw())];
  const added = (kind) => page.extensions.made?.all(kind) ?? [];
  return new Settings(() => [...own, ...added("settings"), { title: t("data.title"), element: () => dataRows([...added("dataRows"), clearing(storage)]) }]);
}

/** The row of what this browser keeps of the user. */
function clearing(storage) {
  return {
    about: t("data.clear_about"), label: t("data.clear"), look: "secondary", act: async () => {
      if (!(await confirmed({ title: t("data.clear_title"), text: t("data.clear_text"), agree: t("data.clear") }))) return;
      await clearCopies(storage, globalThis.caches);
      location.reload();
    },
  };
}

/** What can be done with a user's data, as `addDataRow` of `extensions.js` takes each, and what became of it. */
function dataRows(rows) {
  const hint = el("p.hint", { role: "status" });
  const element = ({ about, label, look, apart = null, act }) => {
    const button = el(`button.${look}`, { type: "button" }, label);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        setText(hint, (await act((words) => setText(hint, words))) ?? "");
      } catch (fault) {
        setText(hint, fault.message);
      } finally {
        button.disabled = false;
      }
    });
    const row = el("div.settings-row", {}, el("p", {}, about), button);
    return apart ? el("details.settings-more", {}, el("summary", {}, apart), row) : row;
  };
  const [seen, apart] = [rows.filter((row) => !row.apart), rows.filter((row) => row.apart)];
  return el("div.settings-body", {}, [...seen, ...apart].map(element), hint);
}
