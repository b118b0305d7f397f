/** The composition root of the page: wires all parts. */

import { decoded } from "./client/address.js";
import { Agents } from "./views/agents.js";
import { Alerts } from "./views/alerts.js";
import { answerId, visible } from "./client/branches.js";
import { Client } from "./client.js";
import { Clock } from "./views/clock.js";
import { Composer } from "./views/composer.js";
import { provisionalTitle, runningTurn, steerableTurn } from "./client/turns.js";
import { asked, Toasts } from "./views/dialog.js";
import { el, setText } from "./views/dom.js";
import { Drafts } from "./views/drafts.js";
import { emptyChat } from "./views/empty.js";
import { Files } from "./views/files.js";
import { icon } from "./views/icons.js";
import { randomId } from "./client/ids.js";
import { MemoryDialog } from "./views/memory.js";
import { Schedules } from "./views/schedules.js";
import { ServersDialog } from "./views/servers.js";
import { Sidebar } from "./views/sidebar.js";
import { Status } from "./views/status.js";
import { themeSwitch } from "./views/theme.js";
import { Transcript } from "./views/transcript.js";
import { moment } from "./client/format.js";

const LOADING_MS = 4000; // a thread that says nothing for so long is shown as empty
const LIST_EVENTS = new Set(["message_accepted", "final_response", "error"]);

class Page {
  constructor() {
    this.current = null; // the id of the open thread
    this.client = new Client();
    this.api = this.client.api;
    const { storage } = this.client;
    this.agents = new Agents(storage);
    this.clock = new Clock();
    this.#build(storage);
    this.#listen();
  }

  #build(storage) {
    const files = new Files(this.api, storage);
    this.alerts = new Alerts();
    this.toasts = new Toasts();
    this.status = new Status(() => this.client.start());
    this.sidebar = new Sidebar(this.api, {
      open: (id) => this.open(id), create: () => this.create(), removed: (id) => this.removed(id), renamed: () => this.showTitle(), fault: (fault) => this.fault(fault),
    }, (id) => runningTurn(this.client.state(id) ?? { turns: [] }) !== null);
    this.schedules = new Schedules(this.api, this.agents, (id) => this.open(id));
    this.sidebar.add(this.schedules.button);
    this.sidebar.add(new MemoryDialog(this.api).button);
    this.composer = new Composer({
      api: this.api, files, agents: this.agents, drafts: new Drafts(storage), banner: this.status.banner,
      onSend: (said) => this.say(said), onStop: () => this.stop(), onAgent: (agent) => this.switched(agent),
      onTyping: () => this.client.typing(this.current), maxBytes: () => this.client.connection.maxCommandBytes,
    });
    this.transcript = new Transcript({
      agents: this.agents, clock: this.clock, files,
      onRetry: (turn) => this.retry(turn), onWithdraw: (turn) => this.withdraw(turn), onAgain: (turn) => this.again(turn),
      onEdit: (turn, content) => this.client.edit(turn.messageId, content), onPick: (...picked) => this.pick(...picked),
      onRate: (turn, rating) => this.client.feedback(answerId(turn.runId), rating),
      onStep: (turn, message) => this.say({ content: message, files: [], agent: { agent_type: turn.agentType, pillar: turn.pillar } }),
      onApprove: (...decision) => this.client.approve(...decision),
      onApproveChanged: (...decision) => this.client.approveChanged(...decision),
      onDisallow: (tool) => this.disallow(tool),
      onAnswer: (questionId, answer) => this.client.answer(questionId, answer),
      onSignIn: (name, questionId) => this.signInAt(name, questionId),
      onUnsteer: (...which) => this.client.unsteer(...which),
      onUndo: (which) => this.client.undo(which),
      onShown: (state) => document.visibilityState === "visible" && this.client.ack(state.threadId, state.seq),
    }, () => emptyChat(this.composer.picker.picked, (text) => this.composer.fill(text)));
    this.servers = new ServersDialog(this.api, () => this.current, (name) => this.signInAt(name));
    this.title = el("h1.thread-title", {}, "New chat");
    this.back = el("button.link.back", { type: "button", hidden: true });
    this.drawer = el("button.quiet.icon-button.drawer-open-button", {
      type: "button", "aria-label": "Open the list of chats", "aria-controls": "sidebar", "aria-expanded": "false", onclick: () => this.sidebar.toggle(true),
    }, icon("menu"));
    this.sidebar.onToggle = (open) => {
      this.drawer.setAttribute("aria-expanded", String(open));
      if (!open && this.sidebar.element.contains(document.activeElement)) this.composer.focus();
    };
    const stage = el("main.stage", {},
      el("header.topbar", {}, this.drawer, this.title, this.back, this.servers.button, this.status.element, themeSwitch(storage)),
      this.alerts.element, this.transcript.element, this.composer.element);
    this.composer.acceptDrops(stage);
    document.body.append(
      el("button.skip", { type: "button", onclick: () => this.composer.focus() }, "Skip to the message box"),
      el("div.app", {}, this.sidebar.element, this.sidebar.scrim, stage), this.toasts.element);
    this.composer.showModel();
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
    this.client.on("change", ({ threadId, state, events }) => this.changed(threadId, state, events));
    this.client.on("alert", ({ message }) => this.alerts.show(message));
    this.client.on("typing", (event) => event.thread_id === this.current && this.composer.showTyping());
    this.client.on("user", () => this.open(randomId(), { fresh: true }));
    this.client.on("over", () => { // what the page itself still shows and knows goes with it
      history.replaceState(null, "", location.pathname);
      location.reload();
    });
    this.client.on("foreign", (event) => {
      if (!LIST_EVENTS.has(event.type)) return;
      this.sidebar.refresh();
      this.schedules.refresh();
    });
    this.client.on("notice", ({ code, message, error_id: errorId }) => code !== "not_found" && this.toasts.show(message, errorId));
    addEventListener("hashchange", () => this.openAddressed());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      this.sidebar.refresh();
      this.client.ack(this.current, this.client.state(this.current).seq);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  /** A server that gives no sessions by itself wants a token; its operator makes one with `understudy token`. */
  async signIn() {
    if (this.signingIn) return;
    this.signingIn = true;
    const token = await asked({
      title: "Sign in", text: "This server wants a session token. Ask its operator for one.", label: "Session token", agree: "Sign in",
    });
    this.signingIn = false;
    if (token === null) return;
    this.client.signIn(token);
  }

  /** Leaves for the page where the user signs in at an MCP server; it leads back to this chat. */
  async signInAt(name, questionId = "") {
    const returnTo = location.pathname + location.search + location.hash;
    const url = await this.api.signIn(name, { returnTo, questionId });
    if (url !== null && /^https?:/.test(url)) location.assign(url);
  }

  start() {
    this.openAddressed();
    this.client.start();
    this.composer.focus();
  }

  openAddressed() {
    const id = decoded(location.hash.slice(1));
    if (id && id !== this.current) this.open(id);
    else if (!id) this.create();
  }

  open(threadId, { fresh = false } = {}) {
    const state = this.client.open(threadId, { fresh });
    this.back.hidden = true;
    this.current = threadId;
    if (decoded(location.hash.slice(1)) !== threadId) history.pushState(null, "", `#${encodeURIComponent(threadId)}`);
    const loading = !fresh && state.seq === 0;
    this.composer.open(threadId, this.agentOf(threadId, state, loading));
    this.transcript.open(state, { loading });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.transcript.settled();
      this.composer.follow(this.agentOf(threadId, this.client.state(threadId)));
    }, LOADING_MS);
    this.sidebar.select(threadId);
    this.sidebar.toggle(false);
    this.showTitle();
    this.composer.show(runningTurn(state), steerableTurn(state));
    this.composer.focus();
  }

  /**
   * Another agent was picked. Its own latest chat is shown, with a way back, unless a message is being written: that
   * goes to the picked agent in this chat.
   */
  async switched(agent) {
    this.transcript.refresh();
    const from = this.current;
    const state = this.client.state(from);
    if (this.composer.holds || state.turns.length === 0 || this.agentOf(from, state)?.name === agent.name) return;
    const { threadId, turns } = await this.client.switchAgent(agent.agent_type, agent.pillar ?? null);
    if (this.current !== from || threadId === from || this.composer.holds) return;
    const title = this.title.textContent;
    this.open(threadId, { fresh: turns.length === 0 && !this.sidebar.thread(threadId) });
    this.composer.pick(agent);
    this.transcript.refresh();
    setText(this.back, `Back to ${title}`);
    this.back.onclick = () => this.open(from);
    this.back.hidden = false;
  }

  create() {
    const state = this.client.state(this.current);
    if (state?.turns.length === 0 && state.seq === 0 && location.hash) {
      this.sidebar.toggle(false);
      this.transcript.settled();
      this.composer.focus(); // this one is new already
      return;
    }
    this.open(randomId(), { fresh: true });
  }

  /** The agent a thread talked to last; the first one if it is empty; null while that is not known. */
  agentOf(threadId, state, loading = this.transcript.loading) {
    const last = visible(state).at(-1) ?? this.sidebar.thread(threadId);
    if (!last) return loading ? null : this.agents.first;
    return this.agents.find(last.agentType ?? last.agent_type, last.pillar) ?? (this.agents.read ? this.agents.first : null);
  }

  changed(threadId, state, news) {
    if (news.some((event) => LIST_EVENTS.has(event.type))) {
      clearTimeout(this.listing);
      this.listing = setTimeout(() => this.sidebar.refresh(), 400);
    }
    if (threadId === this.current) {
      this.transcript.settled();
      this.composer.follow(this.agentOf(threadId, state));
      this.transcript.show(state);
      this.composer.show(runningTurn(state), steerableTurn(state));
      if (news.some((event) => event.type === "message_accepted")) this.composer.showTyping(false);
      if (state.turns.length > 0) this.sidebar.note(threadId, provisionalTitle(state));
    } else {
      this.sidebar.show();
    }
    this.showTitle();
  }

  showTitle() {
    const id = this.current;
    const title = this.sidebar.thread(id)?.title || provisionalTitle(this.client.state(id) ?? { turns: [] }) || "New chat";
    setText(this.title, title);
    document.title = title === "New chat" ? "understudy" : `${title} · understudy`;
  }

  /** `mode` says when a run at work reads it; a message with files, or to another agent, is always a message of its own. */
  say({ content, files, agent, references = files.map((file) => file.id), mode = "after" }) {
    const turn = steerableTurn(this.client.state(this.current) ?? { turns: [] });
    const same = turn?.agentType === agent.agent_type && (turn?.pillar ?? null) === (agent.pillar ?? null);
    if (mode !== "after" && same && references.length === 0 && this.client.connection.online && this.client.steer(turn.runId, content, mode)) {
      this.transcript.follower.pin();
      return;
    }
    this.client.say({
      content, thread_id: this.current, message_id: randomId(),
      agent_type: agent.agent_type, pillar: agent.pillar ?? null, references,
    });
    this.transcript.follower.pin();
  }

  stop() {
    const turn = runningTurn(this.client.state(this.current));
    if (!turn || turn.stopping) return;
    const stopped = this.client.cancel({ runId: turn.runId, messageId: turn.key });
    if (!stopped) this.toasts.show("There is no connection, so this cannot be stopped right now.");
  }

  /** A refused message is said anew; an answer that failed is made again, beside the one that failed. */
  retry(turn) {
    if (turn.runId !== null && turn.content !== "") {
      this.again(turn);
      return;
    }
    this.client.withdraw(turn.key);
    const agent = { agent_type: turn.agentType, pillar: turn.pillar };
    this.say({ content: turn.content, files: [], agent, references: turn.references });
  }

  again(turn) {
    this.client.regenerate(turn.messageId);
    this.transcript.follower.pin();
  }

  pick(turn, by, what) {
    this.transcript.hold(turn, by, what);
    this.client.pick(this.current, turn.key);
  }

  withdraw(turn) {
    this.client.withdraw(turn.key);
    if (this.composer.text.value === "") this.composer.fill(turn.content);
  }

  removed(threadId) {
    this.client.forget(threadId);
    if (threadId === this.current) this.open(randomId(), { fresh: true });
  }

  async readAgents() {
    try {
      this.agents.take(await this.api.agents());
    } catch {
      // the ones known from before stay
    }
    this.agents.read = true;
    this.servers.show(this.agents.list);
    this.composer.follow(this.agentOf(this.current, this.client.state(this.current)));
    this.transcript.refresh();
  }

  /** Takes back that a tool is always allowed in the open chat; resolves to what became of it, for its reader. */
  async disallow(tool) {
    try {
      await this.api.disallow(this.current, tool);
      return " It will ask again.";
    } catch (fault) {
      return fault.code === "not_found" ? " It asks already." : ` ${fault.message}`;
    }
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
