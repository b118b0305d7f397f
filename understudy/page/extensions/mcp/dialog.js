/** "Servers": a dialog with the MCP servers of the user's agents, to switch off and on in the open chat. */

import { dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { el, freshId, setText } from "../../elements/dom.js";
import { enumerated, learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/dialog.js";

export class ServersDialog {
  /** `page` is what `extend` is given. */
  constructor(page) {
    learn(MESSAGES);
    this.page = page;
    const id = freshId("servers");
    this.list = el("ul.memory-list");
    this.hint = el("p.memory-hint", { role: "status" });
    this.element = el("dialog.dialog.memory", { "aria-labelledby": id },
      dialogHead(id, t("servers.title")), el("p", {}, t("servers.introduction")), this.list, this.hint);
  }

  async show() {
    this.list.replaceChildren();
    showUntilClosed(this.element);
    await this.#read();
  }

  #read() {
    return this.#act(async () => {
      const { servers } = await this.page.ask("GET", this.path);
      this.list.replaceChildren(...servers.map((server) => this.#row(server)));
    });
  }

  /** The path of the servers of the open chat. */
  get path() {
    return `/api/threads/${encodeURIComponent(this.page.chat.current)}/servers`;
  }

  #row(server) {
    const box = el("input", { type: "checkbox", checked: server.on });
    box.addEventListener("change", () => this.#act(async () => {
      const { on } = await this.page.ask("PUT", `${this.path}/${encodeURIComponent(server.name)}`, { on: box.checked });
      setText(this.hint, t(on ? "servers.is_on" : "servers.is_off", { name: server.name }));
    }, () => { box.checked = !box.checked; }));
    return el("li.memory-row", {},
      el("label.memory-text", {}, el("strong", {}, box, ` ${server.name}`), el("span", {}, enumerated(server.tools.map((tool) => tool.name))),
        el("small", {}, stateText(server))),
      server.auth === "user" ? this.#account(server) : "");
  }

  /** The button to sign in at a server, or out of it. */
  #account(server) {
    if (server.state === "signed_out") return el("button.secondary", { type: "button", onclick: () => this.#act(() => this.page.chat.signInAt(server.name)) }, t("session.sign_in"));
    const leave = () => this.#act(async () => {
      await this.page.ask("DELETE", `/api/mcp/${encodeURIComponent(server.name)}/sign-in`);
      await this.#read();
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
  const word = Object.hasOwn(MESSAGES.en, `servers.state_${state}`) ? t(`servers.state_${state}`) : state;
  return state === "signed_out" ? word : t("servers.state_and_tools", { state: word, tools: t("servers.tools", { count: tools.length }) });
}
