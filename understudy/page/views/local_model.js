/** The button by which an operator lets the server use a language model of this machine in place of the stand-in. */

import { t } from "../client/messages.js";
import { el } from "./dom.js";

/** Puts the button beside the composer's notice, if the server offers a model; others than operators are offered none. */
export async function offerLocalModel({ api, composer, toasts, readAgents }) {
  const offered = await api.localModels().then(({ offered: found }) => found, () => []);
  composer.notice.nextElementSibling?.remove();
  const [first] = offered;
  if (first === undefined) return;
  const use = async () => {
    button.disabled = true;
    try {
      await api.useLocalModel(first.port, first.model);
      button.remove();
      await readAgents();
    } catch (fault) {
      button.disabled = false;
      toasts.show(fault.message);
    }
  };
  const button = el("button.link.local-model", { type: "button", onclick: use }, t("composer.use_local", { model: first.model, server: first.server }));
  composer.notice.after(button);
}
