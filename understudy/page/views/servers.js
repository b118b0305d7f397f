/** "Servers": a dialog with the MCP servers of the user's agents, to switch off and on in the open chat. */

import { dialogHead } from "./dialog.js";
import { el, freshId, setText } from "./dom.js";
import { enumerated, hasMessage, t } from "../client/messages.js";

export class ServersDialog {
  /** `api` is an `Api`, `thread()` the id of the open chat, `signIn(name)` leaves for the page to sign in at a server. */
  constructor(api, thread, signIn) {
    Object.assign(this, { api, thread, signIn });
    const id = freshId("servers");
    this.list = el("ul.memory-list");
    this.hint = el("p.memory-hint", { role: "status" });
    this.element = el("dialog.dialog.memory", { "aria-labelledby": id },
      dialogHead(id, t("servers.title")), el("p", {}, t("servers.introduction")), this.list, this.hint);
    this.element.addEventListener("close", () => this.element.remove());
  }

  async open() {
    document.body.append(this.element);
    this.list.replaceChildren();
    this.element.showModal();
    await this.#show();
  }

  #show() {
    return this.#act(async () => {
      const { servers } = await this.api.servers(this.thread());
      this.list.replaceChildren(...servers.map((server) => this.#row(server)));
    });
  }

  #row(server) {
    const box = el("input", { type: "checkbox", checked: server.on });
    box.addEventListener("change", () => this.#act(async () => {
      const { on } = await this.api.switchServer(this.thread(), server.name, box.checked);
      setText(this.hint, t(on ? "servers.is_on" : "servers.is_off", { name: server.name }));
    }, () => { box.checked = !box.checked; }));
    return el("li.memory-row", {},
      el("label.memory-text", {}, el("strong", {}, box, ` ${server.name}`), el("span", {}, enumerated(server.tools.map((tool) => tool.name))),
        el("small", {}, stateText(server))),
      server.auth === "user" ? this.#account(server) : "");
  }

  /** The button to sign in at a server, or out of it. */
  #account(server) {
    if (server.state === "signed_out") return el("button.secondary", { type: "button", onclick: () => this.#act(() => this.signIn(server.name)) }, t("session.sign_in"));
    const leave = () => this.#act(async () => {
      await this.api.signOut(server.name);
      await this.#show();
      setText(this.hint, t("servers.signed_out_of", { name: server.name }));
    });
    return el("button.quiet", { type: "button", onclick: leave }, t("session.sign_out"));
  }

  /** Does something, and says why it could not; `undo` then takes back what the user sees. */
  async #act(work, undo = () => {}) {
    try {
      setText(this.hint, "");
      await work();
    } catch (fault) {
      undo();
      setText(this.hint, fault.code === "not_found" ? t("servers.no_chat_yet") : fault.message);
    }
  }
}

function stateText({ state, tools }) {
  const word = hasMessage(`servers.state_${state}`) ? t(`servers.state_${state}`) : state;
  return state === "signed_out" ? word : t("servers.state_and_tools", { state: word, tools: t("servers.tools", { count: tools.length }) });
}
