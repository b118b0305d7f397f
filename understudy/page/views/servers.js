/** "Servers": a dialog with the MCP servers of the user's agents, to switch off and on in the open chat. */

import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";

const INTRODUCTION = "Agents use tools of these servers. Switch one off, and this chat goes on without it.";
const STATES = {
  starting: "starting", ready: "ready", restarting: "restarting", away: "cannot be reached", signed_out: "you are not signed in", signed_in: "signed in",
};

export class ServersDialog {
  /** `api` is an `Api`, `thread()` the id of the open chat, `signIn(name)` leaves for the page to sign in at a server. */
  constructor(api, thread, signIn) {
    Object.assign(this, { api, thread, signIn });
    this.button = el("button.quiet.icon-button", {
      type: "button", "aria-haspopup": "dialog", "aria-label": "Servers of this chat", title: "Servers of this chat", hidden: true, onclick: () => this.open(),
    }, icon("tool"));
    const id = freshId("servers");
    this.list = el("ul.memory-list");
    this.hint = el("p.memory-hint", { role: "status" });
    this.element = el("dialog.dialog.memory", { "aria-labelledby": id },
      el("h2", { id }, "Servers"), el("p", {}, INTRODUCTION), this.list, this.hint,
      el("div.dialog-actions", {}, el("button.secondary", { type: "button", autofocus: true, onclick: () => this.element.close() }, "Close")));
    this.element.addEventListener("close", () => this.element.remove());
  }

  /** Shows the button if one of these agents has a server. */
  show(agents) {
    this.button.hidden = !agents.some((agent) => agent.servers?.length > 0);
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
      setText(this.hint, `${server.name} is ${on ? "on" : "off"} in this chat.`);
    }, () => { box.checked = !box.checked; }));
    const tools = server.tools.length === 1 ? "1 tool" : `${server.tools.length} tools`;
    return el("li.memory-row", {},
      el("label.memory-text", {}, el("strong", {}, box, ` ${server.name}`), el("span", {}, server.tools.map((tool) => tool.name).join(", ")),
        el("small", {}, `${STATES[server.state] ?? server.state}${server.state === "signed_out" ? "" : `, ${tools}`}`)),
      server.auth === "user" ? this.#account(server) : "");
  }

  /** The button to sign in at a server, or out of it. */
  #account(server) {
    if (server.state === "signed_out") return el("button.secondary", { type: "button", onclick: () => this.#act(() => this.signIn(server.name)) }, "Sign in");
    const leave = () => this.#act(async () => {
      await this.api.signOut(server.name);
      await this.#show();
      setText(this.hint, `You are signed out of ${server.name}.`);
    });
    return el("button.quiet", { type: "button", onclick: leave }, "Sign out");
  }

  /** Does something, and says why it could not; `undo` then takes back what the user sees. */
  async #act(work, undo = () => {}) {
    try {
      setText(this.hint, "");
      await work();
    } catch (fault) {
      undo();
      setText(this.hint, fault.code === "not_found" ? "Send a first message, then there is a chat to switch them in." : fault.message);
    }
  }
}
