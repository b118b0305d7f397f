/** Adds to the settings of the chat page: a copy of all of a user's data, and their erasure. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { confirmed } from "../../elements/dialog.js";
import { saveAs } from "../../elements/dom.js";
import { MESSAGES } from "./messages/page.js";

const ALL_DATA_MS = 900_000;

export function extend(page) {
  learn(MESSAGES);
  const { client, client: { api } } = page.chat;
  const fault = (refusal) => { throw refusal.status === 404 ? new Error(t("data.nothing")) : refusal; };

  async function save(say) {
    say(t("data.exporting"));
    const file = await api.download("/api/me/export", { limitMs: ALL_DATA_MS });
    saveAs(await file.blob(), file.name ?? "understudy-data.json");
    return t("data.exported");
  }

  /** Erases all data of the user, whose name confirms it; the server ends all their sessions with it. */
  async function erase(say) {
    const { user } = await api.me();
    if (!(await confirmed({ title: t("data.erase_title"), text: t("data.erase_text"), agree: t("data.erase") }))) return;
    say(t("data.erasing"));
    await api.ask("DELETE", "/api/me", { confirm: user }, { limitMs: ALL_DATA_MS });
    client.signOut({ anyway: true });
  }

  page.add("dataRows", { about: t("data.export_about"), label: t("data.export"), look: "secondary", act: (say) => save(say).catch(fault) });
  page.add("dataRows", { about: t("data.erase_about"), label: t("data.erase"), look: "danger", apart: t("data.more"), act: (say) => erase(say).catch(fault) });
}
