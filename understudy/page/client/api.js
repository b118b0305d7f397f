/** The REST API: JSON in, JSON out, with the session's token. */

import { decoded } from "./address.js";
import { toJson } from "./ids.js";
import { errorText } from "./messages.js";
import { searched } from "./tags.js";

/** A refusal: {code, message (a sentence), errorId, status}; status 0 when the server could not be reached. */
export class ApiError extends Error {
  constructor(status, { code = "internal", message = "", error_id: errorId = null } = {}) {
    super(errorText({ code, message }));
    this.status = status;
    this.code = code;
    this.errorId = errorId;
  }
}

const ASK_MS = 10_000;
const UPLOAD_MS = 600_000;
const FILE_MS = 300_000; // 20 MiB at half a megabit a second
const UNREACHABLE = { code: "offline" };

export class Api {
  /** `base` stands before every path; "" for the page's own server. */
  constructor(session, { fetch = globalThis.fetch.bind(globalThis), base = "" } = {}) {
    this.session = session;
    this.fetch = fetch;
    this.base = base;
  }

  /** The JSON of an answer to a request that an extension makes; null without content. */
  ask(method, path, body, { limitMs = ASK_MS } = {}) {
    return this.#json(method, path, body, limitMs);
  }

  agents() {
    return this.#json("GET", "/api/agents");
  }

  /** {user, name, anonymous, session, tenant, roles, groups, expires_at}: whose session this is, or whose `token` is. */
  async me(token = null) {
    return whole((await this.#ask("GET", "/api/me", { token, again: token === null })).json());
  }

  /** {by, provider}: the extension by which users sign in, and {title, url} of their identity provider; null each if there is none. */
  async signsIn() {
    const answer = await this.fetch(`${this.base}/auth`, { signal: AbortSignal.timeout(ASK_MS) }).catch(() => { throw new ApiError(0, UNREACHABLE); });
    if (!answer.ok) throw new ApiError(answer.status);
    return whole(answer.json());
  }

  /**
   * Ends the session on the server, or all of its user's: their tokens are refused from then on. Resolves to where the user
   * signs out at the identity provider too, or null.
   */
  async endSession({ everywhere = false } = {}) {
    return (await this.#json("POST", "/auth/sign-out", { everywhere })).url;
  }

  /** {threads, next_cursor}; `which` is "active", "pinned" or "archived". A word of `query` such as `#work` is a tag. */
  threads({ query: typed = "", cursor = "", limit = 40, which = "active" } = {}) {
    const { query, tags } = searched(typed);
    const search = new URLSearchParams({ limit: String(limit), ...(query && { query }), ...(cursor && { cursor }), ...(which !== "active" && { which }) });
    for (const tag of tags) search.append("tag", tag);
    return this.#json("GET", `/api/threads?${search}`);
  }

  /** The id of the thread that an agent was spoken to in last, among the latest 50; else null. */
  async latestThread(agentType, pillar) {
    const { threads } = await this.threads({ limit: 50 });
    return threads.find((thread) => thread.agent_type === agentType && (thread.pillar ?? null) === pillar)?.id ?? null;
  }

  /** {tags}: those of the user's threads, most used first, each {tag, threads}. */
  tags() {
    return this.#json("GET", "/api/tags");
  }

  /** Changes the `title`, `pinned`, `archived` or `tags` of a thread; resolves to it. */
  changeThread(threadId, members) {
    return this.#json("PATCH", `/api/threads/${encodeURIComponent(threadId)}`, members);
  }

  /** A thread as a file, a blob; `form` is "markdown" or "json". */
  async exportThread(threadId, form) {
    return whole((await this.#ask("GET", `/api/threads/${encodeURIComponent(threadId)}/export?format=${form}`)).blob());
  }

  /** A thread as the list has it; rejects with status 404 if the user has none of that name. */
  thread(threadId) {
    return this.#json("GET", `/api/threads/${encodeURIComponent(threadId)}`);
  }

  remove(threadId) {
    return this.#json("DELETE", `/api/threads/${encodeURIComponent(threadId)}`);
  }

  /** Has the server carry out one command, such as `{type: "answer", …}`; rejects with an `ApiError` when it is refused. */
  command(command) {
    return this.#json("POST", "/api/commands", command);
  }

  /** Begins to sign in at an MCP server; resolves to the address for this browser, or null if that is done already. */
  async signIn(name, { returnTo = "", questionId = "" } = {}) {
    const { url } = await this.#json("POST", `/api/mcp/${encodeURIComponent(name)}/sign-in`, { return_to: returnTo, question_id: questionId });
    return url;
  }

  /** The last page of a thread's newest branch, of that `through` a run, or of one up to the answer `before`. */
  turns(threadId, { before = null, through = null, limit = null } = {}) {
    const search = new URLSearchParams({ ...(before && { before }), ...(through && { through }), ...(limit && { limit }) });
    return this.#json("GET", `/api/threads/${encodeURIComponent(threadId)}/turns?${search}`);
  }

  /** {events, more, status}: the events of a run after the number `after`. */
  runEvents(runId, after = 0) {
    return this.#json("GET", `/api/runs/${encodeURIComponent(runId)}/events?${new URLSearchParams({ after: String(after), limit: "1000" })}`);
  }

  /** The state of a run: what it has spent, what it waits for. */
  run(runId) {
    return this.#json("GET", `/api/runs/${encodeURIComponent(runId)}`);
  }

  /** {tools}: those of the user's agents, and whether their calls can be repeated without harm. */
  tools() {
    return this.#json("GET", "/api/tools");
  }

  /** The whole history of a thread, oldest first, page by page. */
  async history(threadId) {
    const messages = [];
    let cursor = "";
    do {
      const search = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const page = await this.#json("GET", `/api/threads/${encodeURIComponent(threadId)}/messages${search}`);
      messages.unshift(...page.messages); // the first page is the latest
      cursor = page.next_cursor;
    } while (cursor);
    return messages;
  }

  /** The latest messages of a thread, oldest first: the first page of its history. */
  async latest(threadId) {
    return (await this.#json("GET", `/api/threads/${encodeURIComponent(threadId)}/messages`)).messages;
  }

  /** A file of this user, as `download` gives it. */
  file(fileId, method = "GET") {
    return this.download(`/api/files/${encodeURIComponent(fileId)}`, { method });
  }

  /** {name, size, blob()} of what is at a path; the body is only read by `blob`. */
  async download(path, { method = "GET", limitMs = FILE_MS } = {}) {
    const answer = await this.#ask(method, path, { limitMs });
    return {
      name: nameOf(answer.headers.get("Content-Disposition")), size: Number(answer.headers.get("Content-Length")) || null,
      blob: () => whole(answer.blob()),
    };
  }

  /** Resolves to the preview of a file: {kind: "image" | "table" | "text" | "none", image_type, columns, rows, text, language, cut}. */
  preview(fileId) {
    return this.#json("GET", `/api/files/${encodeURIComponent(fileId)}/preview`);
  }

  /** Uploads with `onProgress(share)`, 0 to 1; `signal` stops it. Resolves to {id, name, media_type, size}. */
  async upload(file, { onProgress, signal }) {
    const token = await this.session.token().catch(() => { throw new ApiError(0, UNREACHABLE); });
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch reports no upload progress
      request.open("POST", `${this.base}/api/files`);
      request.setRequestHeader("Authorization", `Bearer ${token}`);
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0);
      request.onload = () => {
        if (request.status === 201 || request.status === 200) resolve(request.response);
        else reject(new ApiError(request.status, request.response?.error ?? undefined));
      };
      request.timeout = UPLOAD_MS;
      request.ontimeout = () => reject(new ApiError(0, UNREACHABLE));
      request.onabort = () => reject(new ApiError(0, UNREACHABLE));
      request.onerror = () => reject(new ApiError(0, UNREACHABLE));
      signal.addEventListener("abort", () => request.abort());
      const form = new FormData();
      form.append("file", file);
      request.send(form);
    });
  }

  async #json(method, path, body, limitMs = ASK_MS) {
    const answer = await this.#ask(method, path, { body, limitMs });
    return answer.status === 204 ? null : whole(answer.json());
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: unknown, token?: string|null, again?: boolean, limitMs?: number}} [options]
   */
  async #ask(method, path, { body, token = null, again = true, limitMs = ASK_MS } = {}) {
    let answer;
    try {
      const headers = { Authorization: `Bearer ${token ?? await this.session.token()}` };
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const signal = AbortSignal.timeout(limitMs); // a broken connection may accept the request and never answer
      answer = await this.fetch(this.base + path, { method, headers, signal, body: body === undefined ? undefined : toJson(body) });
    } catch {
      throw new ApiError(0, UNREACHABLE);
    }
    if (answer.status === 401 && again) {
      await this.session.renew().catch(() => { throw new ApiError(401, UNREACHABLE); });
      return this.#ask(method, path, { body, again: false, limitMs });
    }
    if (!answer.ok) throw new ApiError(answer.status, (await answer.json().catch(() => null))?.error ?? undefined);
    return answer;
  }
}

/** The body of an answer. Rejects with an `ApiError` of status 0 if the connection ended in the middle of it. */
function whole(body) {
  return body.catch(() => { throw new ApiError(0, UNREACHABLE); });
}

function nameOf(disposition) {
  const encoded = /filename\*=(?:UTF-8'')?([^;]+)/i.exec(disposition ?? "")?.[1];
  if (encoded) return decoded(encoded.trim());
  return /filename="?([^";]+)"?/i.exec(disposition ?? "")?.[1] ?? null;
}
