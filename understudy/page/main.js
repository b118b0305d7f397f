/** The composition root of the page: everything is wired here and nothing else happens. */

import { Agents } from "./agents.js";
import { Api } from "./api.js";
import { Client } from "./client.js";
import { Clock } from "./clock.js";
import { Composer } from "./composer.js";
import { provisionalTitle, runningTurn } from "./conversation.js";
import { asked, Toasts } from "./dialog.js";
import { el, randomId, setText } from "./dom.js";
import { Drafts } from "./drafts.js";
import { emptyChat } from "./empty.js";
import { Files } from "./files.js";
import { icon } from "./icons.js";
import { keep } from "./keep.js";
import { Outbox } from "./outbox.js";
import { Session } from "./session.js";
import { Sidebar } from "./sidebar.js";
import { Status } from "./status.js";
import { themeSwitch } from "./theme.js";
import { Threads } from "./threads.js";
import { Transcript } from "./transcript.js";
import { moment } from "./words.js";

const LOADING_MS = 4000; // a thread that says nothing for so long is shown as empty
const ENDS = new Set(["final_response", "error", "agent_error"]);
const LISTED = new Set(["message_accepted", ...ENDS]);

class Page {
  constructor() {
    const storage = keep(globalThis.localStorage ?? null);
    const session = new Session({ fetch: globalThis.fetch.bind(globalThis), storage });
    const address = new URL("/api/ws/agent", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.session = session;
    this.api = new Api(session);
    this.agents = new Agents(storage);
    this.clock = new Clock();
    this.client = new Client({
      url: address.href, session, outbox: new Outbox(storage), WebSocket: globalThis.WebSocket, isOnline: () => navigator.onLine !== false,
    });
    this.threads = new Threads({
      client: this.client, api: this.api, onChange: (id, state, news) => this.changed(id, state, news), onFault: (fault) => this.fault(fault),
    });
    this.#build(storage);
    this.#listen();
  }

  #build(storage) {
    const files = new Files(this.api, storage);
    this.toasts = new Toasts();
    this.status = new Status(() => this.client.start());
    this.sidebar = new Sidebar(this.api, {
      open: (id) => this.open(id), create: () => this.create(), removed: (id) => this.removed(id), renamed: () => this.showTitle(), fault: (fault) => this.fault(fault),
    }, (id) => runningTurn(this.threads.state(id) ?? { turns: [] }) !== null);
    this.composer = new Composer({
      api: this.api, files, agents: this.agents, drafts: new Drafts(storage), banner: this.status.banner,
      onSend: (said) => this.say(said), onStop: () => this.stop(), onAgent: () => this.transcript.refresh(),
    });
    this.transcript = new Transcript({
      agents: this.agents, clock: this.clock, files,
      onRetry: (turn) => this.retry(turn), onWithdraw: (turn) => this.withdraw(turn),
    }, () => emptyChat(this.composer.picker.picked, (text) => this.composer.fill(text)));
    this.title = el("h1.thread-title", {}, "New chat");
    this.drawer = el("button.quiet.icon-button.drawer-open-button", {
      type: "button", "aria-label": "Open the list of chats", "aria-controls": "sidebar", "aria-expanded": "false", onclick: () => this.sidebar.toggle(true),
    }, icon("menu"));
    this.sidebar.onToggle = (open) => {
      this.drawer.setAttribute("aria-expanded", String(open));
      if (!open && this.sidebar.element.contains(document.activeElement)) this.composer.focus();
    };
    const stage = el("main.stage", {},
      el("header.topbar", {}, this.drawer, this.title, this.status.element, themeSwitch(storage)),
      this.transcript.element, this.composer.element);
    this.composer.acceptDrops(stage);
    document.body.append(
      el("button.skip", { type: "button", onclick: () => this.composer.focus() }, "Skip to the message box"),
      el("div.app", {}, this.sidebar.element, this.sidebar.scrim, stage), this.toasts.element);
    this.composer.showModel(this.agents.model);
  }

  #listen() {
    this.client.on("state", (state) => {
      this.status.show(state);
      if (state.phase === "refused" && state.signIn) this.signIn();
    });
    this.client.on("welcome", (event) => {
      this.clock.align(moment(event.timestamp));
      this.readAgents();
      this.sidebar.refresh();
    });
    this.client.on("foreign", (event) => LISTED.has(event.type) && this.sidebar.refresh());
    this.client.on("notice", ({ code, message, error_id: errorId }) => code !== "not_found" && this.toasts.show(message, errorId));
    addEventListener("hashchange", () => this.openAddressed());
    addEventListener("online", () => this.client.probe());
    addEventListener("offline", () => this.client.lost());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      this.client.probe();
      this.sidebar.refresh();
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  /** A server that gives no sessions by itself wants a token; its operator makes one with `understudy token`. */
  async signIn() {
    if (this.signingIn) return;
    this.signingIn = true;
    const token = await asked({
      title: "Sign in", text: "This server wants a session token. Ask whoever runs it for one.", label: "Session token", agree: "Sign in",
    });
    this.signingIn = false;
    if (token === null) return;
    this.session.adopt(token);
    this.client.start();
  }

  start() {
    this.openAddressed();
    this.client.start();
    this.composer.focus();
  }

  openAddressed() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id && id !== this.threads.current) this.open(id);
    else if (!id) this.create();
  }

  open(threadId, { fresh = false } = {}) {
    const state = this.threads.open(threadId, { fresh });
    if (decodeURIComponent(location.hash.slice(1)) !== threadId) history.pushState(null, "", `#${encodeURIComponent(threadId)}`);
    this.composer.open(threadId, this.agentOf(threadId, state));
    this.transcript.open(state, { loading: !fresh && state.seq === 0 });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.transcript.settled(), LOADING_MS);
    this.sidebar.select(threadId);
    this.sidebar.toggle(false);
    this.showTitle();
    this.composer.show(runningTurn(state));
    this.composer.focus();
  }

  create() {
    const state = this.threads.state(this.threads.current);
    if (state?.turns.length === 0 && state.seq === 0 && location.hash) {
      this.sidebar.toggle(false);
      this.transcript.settled();
      this.composer.focus(); // this one is new already
      return;
    }
    this.open(randomId(), { fresh: true });
  }

  /** The agent a thread talked to last; the guide where nobody has said anything. */
  agentOf(threadId, state) {
    const last = state.turns.at(-1) ?? this.sidebar.thread(threadId);
    const [agentType, pillar] = [last?.agentType ?? last?.agent_type, last?.pillar];
    return this.agents.find(agentType, pillar) ?? this.agents.first;
  }

  changed(threadId, state, news) {
    if (news.some((event) => LISTED.has(event.type))) {
      clearTimeout(this.listing);
      this.listing = setTimeout(() => this.sidebar.refresh(), 400);
    }
    if (threadId === this.threads.current) {
      this.transcript.settled();
      this.transcript.show(state);
      this.composer.show(runningTurn(state));
      if (state.turns.length > 0) this.sidebar.note(threadId, provisionalTitle(state));
    } else {
      this.sidebar.show();
    }
    this.showTitle();
  }

  showTitle() {
    const id = this.threads.current;
    const title = this.sidebar.thread(id)?.title || provisionalTitle(this.threads.state(id) ?? { turns: [] }) || "New chat";
    setText(this.title, title);
    document.title = title === "New chat" ? "understudy" : `${title} · understudy`;
  }

  say({ content, files, agent, references = files.map((file) => file.id) }) {
    this.client.say({
      content, thread_id: this.threads.current, message_id: randomId(),
      agent_type: agent.agent_type, pillar: agent.pillar ?? null, references,
    });
    this.transcript.follower.pin();
  }

  stop() {
    const turn = runningTurn(this.threads.state(this.threads.current));
    if (!turn || turn.stopping) return;
    const data = { message_id: turn.messageId };
    if (!this.client.cancel({ runId: turn.runId, messageId: turn.messageId })) {
      this.toasts.show("There is no connection, so this cannot be stopped right now.");
      return;
    }
    this.threads.apply([{ type: "local.stopping", thread_id: this.threads.current, data }]);
  }

  retry(turn) {
    if (turn.status === "rejected") {
      this.threads.apply([{ type: "local.withdrawn", thread_id: this.threads.current, data: { message_id: turn.messageId } }]);
    }
    const agent = { agent_type: turn.agentType, pillar: turn.pillar };
    this.say({ content: turn.content, files: [], agent, references: turn.references });
  }

  withdraw(turn) {
    this.client.withdraw(turn.messageId);
    if (this.composer.text.value === "") this.composer.fill(turn.content);
  }

  removed(threadId) {
    this.threads.forget(threadId);
    if (threadId === this.threads.current) this.open(randomId(), { fresh: true });
  }

  async readAgents() {
    try {
      this.agents.take(await this.api.agents());
    } catch {
      return; // the ones known from before stay
    }
    const state = this.threads.state(this.threads.current);
    this.composer.showModel(this.agents.model);
    this.composer.picker.show(this.agents.list.find((one) => one.name === this.composer.picker.picked.name) ?? this.agents.first);
    if (state.turns.length > 0 && this.composer.text.value === "") this.composer.picker.show(this.agentOf(state.threadId, state));
    this.transcript.refresh();
  }

  fault(fault) {
    this.toasts.show(fault.message, fault.errorId);
  }

  key(event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      this.sidebar.shortcut();
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      if (document.body.classList.contains("drawer-open")) this.sidebar.toggle(false);
      else this.stop();
    }
  }
}

new Page().start();
