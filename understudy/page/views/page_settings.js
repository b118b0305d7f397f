/** The settings of the chat page: all of their sections. */

import { t } from "../client/messages.js";
import { appearanceSection } from "./appearance.js";
import { languageSection } from "./language.js";
import { Settings } from "./settings.js";
import { dataSection } from "./your_data.js";

/** `page` is {api, inbox, client, redraw()}, `storage` where the choices are kept. */
export function pageSettings(page, storage) {
  const { api, client } = page;
  return new Settings([
    appearanceSection(storage),
    languageSection(storage, () => page.redraw()),
    { title: t("notices.title"), element: () => page.inbox.notify.switches() },
    dataSection({ api, storage, onCleared: () => location.reload(), onErased: () => client.signOut({ anyway: true }) }),
  ]);
}
