/** Adds schedules to the chat page: their dialog, and their next times to the inbox. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/page.js";
import { comingUp, when } from "./timing.js";

export function extend(page) {
  learn(MESSAGES);
  page.addDialog({
    id: "schedules", picture: "clock", title: t("schedules.title"),
    load: async () => {
      const [{ Schedules }] = await Promise.all([import("./dialog.js"), page.addStyle(new URL("./dialog.css", import.meta.url))]);
      return new Schedules(page);
    },
  });
  page.add("sections", {
    title: t("schedules.next_times"), none: t("schedules.no_next_times"),
    read: async () => comingUp((await page.ask("GET", "/api/schedules")).schedules).map(({ name, message, next_due_at: at }) => ({
      picture: "clock", title: name || message, words: t("schedules.next", { when: when(at) }),
    })),
  });
}
