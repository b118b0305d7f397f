/** Fakes for the client's tests: a socket, a clock with timers, a storage, a session server. */

export class FakeStorage {
  constructor(entries = {}) {
    this.map = new Map(Object.entries(entries));
  }

  get length() {
    return this.map.size;
  }

  key(index) {
    return [...this.map.keys()][index] ?? null;
  }

  getItem(key) {
    return this.map.get(key) ?? null;
  }

  setItem(key, value) {
    this.map.set(key, String(value));
  }

  removeItem(key) {
    this.map.delete(key);
  }
}

/** Virtual time: `advance(ms)` runs what falls due, in order, and lets promises settle between. */
export class FakeClock {
  constructor() {
    this.time = 1_000_000;
    this.next = 1;
    this.due = new Map();
    this.timers = {
      set: (work, ms) => {
        this.due.set(this.next, { at: this.time + ms, work });
        return this.next++;
      },
      clear: (timer) => this.due.delete(timer),
    };
    this.now = () => this.time;
  }

  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const [first] = [...this.due].sort((one, other) => one[1].at - other[1].at);
      if (!first || first[1].at > end) break;
      this.due.delete(first[0]);
      this.time = first[1].at;
      first[1].work();
    }
    this.time = end;
    await settle();
  }
}

export async function settle() {
  await new Promise((resolve) => { setImmediate(resolve); }); // after every promise that is ready
}

/** A class of sockets that remembers its instances in `FakeSocket.made`; a fresh class for every call. */
export function socketClass() {
  return class FakeSocket {
    static made = [];

    constructor(url, protocols) {
      Object.assign(this, { url, protocols, readyState: 0, sent: [], closedByUs: false });
      FakeSocket.made.push(this);
    }

    static get last() {
      return FakeSocket.made.at(-1);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.closedByUs = true;
      this.readyState = 3;
    }

    open(threads = {}, more = {}) {
      this.readyState = 1;
      this.onopen();
      this.say({ type: "welcome", data: { connection_id: "c", heartbeat_s: 25, threads, limits: {}, ...more } });
    }

    say(...events) {
      this.onmessage?.({ data: JSON.stringify(events.length === 1 ? events[0] : events) });
    }

    die(code = 1006) {
      this.readyState = 3;
      this.onclose?.({ code });
    }

    commands(type) {
      return this.sent.filter((command) => command.type === type).map((command) => command.payload);
    }
  };
}

/** A `fetch` that plays the session endpoints. `plan` may hold answers to give first: [status, body]. */
export function sessionServer(clock, plan = []) {
  const calls = [];
  const fetch = async (path, { headers = {} }) => {
    calls.push([new URL(path, "http://x").pathname, headers.Authorization ?? null]);
    const [status, body] = plan.shift() ?? [200, {
      session_token: `token-${calls.length}`, user: "u", session: "s", expires_at: clock.now() / 1000 + 3600,
    }];
    if (status === "down") throw new TypeError("no network");
    return { ok: status < 400, status, json: async () => body };
  };
  return { fetch, calls };
}
