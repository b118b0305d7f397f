/** Adds a button to the chat page by which an operator lets the server use a model of this machine. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { el } from "../../elements/dom.js";
import { MESSAGES } from "./messages/page.js";

const MODELS = "/api/admin/models";

export function extend({ add, ask, chat }) {
  learn(MESSAGES);
  let offered = null; // the offline model in whose place another one was offered

  /** Puts the button beside the composer's notice, if the server of an operator has the stand-in alone, and offers a model. */
  async function offer({ who, model }) {
    if (model.name !== "offline" || !who.roles?.includes("operator") || offered === model) return;
    offered = model;
    const [first] = await ask("GET", MODELS).then((answer) => answer.offered, () => []);
    chat.composer.notice.nextElementSibling?.remove();
    if (first === undefined) return;
    const use = async () => {
      button.disabled = true;
      try {
        await ask("POST", MODELS, { port: first.port, model: first.model });
        button.remove();
        await chat.readAgents();
      } catch (fault) {
        button.disabled = false;
        chat.toasts.show(fault.message);
      }
    };
    const button = el("button.link.local-model", { type: "button", onclick: use }, t("composer.use_local", { model: first.model, server: first.server }));
    chat.composer.notice.after(button);
  }

  add("known", offer);
}
