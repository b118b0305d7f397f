// The package ws on Node: the same work as the others. Run it with --expose-gc; its folder is given as the argument.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)("ws");
const BURST = 100;
const BURSTS_AHEAD = 5;
const MARK = "<end>";
const THOUGHT = "Counting rows.";
const rooms = new Map();
let numbers = 0;

function burst(threadId, after) {
  const now = Date.now() / 1000;
  const timestamp = new Date().toISOString();
  const events = [];
  for (let seq = after + 1; seq <= after + BURST; seq++) {
    const thought = seq % BURST === 0 ? THOUGHT + MARK : THOUGHT;
    events.push({
      type: "agent_thinking",
      seq,
      thread_id: threadId,
      run_id: "run-1",
      message_id: "message-1",
      agent_type: "guide",
      pillar: null,
      priority: "normal",
      timestamp,
      message: "",
      data: { agent_id: "guide", thought, timestamp: now },
    });
  }
  return events;
}

class Room {
  constructor(name, clients) {
    Object.assign(this, { name, clients, taken: 0, bursts: 0, sockets: [] });
  }

  take() {
    this.taken += 1;
    while (this.taken >= this.clients * Math.max(1, this.bursts - BURSTS_AHEAD + 2)) {
      const frames = burst(this.name, this.bursts * BURST).map((event) => JSON.stringify(event));
      for (const socket of this.sockets) for (const frame of frames) socket.send(frame);
      this.bursts += 1;
    }
  }
}

function events(socket) {
  const threadId = `user-${numbers++}`;
  let after = 0;
  let room = null;
  socket.on("message", async (data) => {
    const [kind, name, clients] = JSON.parse(data.toString()).payload.content.split(" ");
    if (kind === "own" || kind === "together") {
      for (let bursts = Number(name); bursts > 0; bursts--) {
        const events = burst(threadId, after);
        if (kind === "together") socket.send(JSON.stringify(events));
        else for (const event of events) socket.send(JSON.stringify(event));
        after += BURST;
        await new Promise(setImmediate);
      }
    } else if (kind === "room") {
      if (room === null) {
        if (!rooms.has(name)) rooms.set(name, new Room(name, Number(clients)));
        room = rooms.get(name);
        room.sockets.push(socket);
      }
      room.take();
    }
  });
}

const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
server.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url === "/echo") socket.on("message", (data) => socket.send(data, { binary: false }));
  else events(socket);
});
http.listen(0, "127.0.0.1", 4096, () => console.log(http.address().port));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (line !== "memory") return;
    global.gc();
    global.gc();
    console.log(process.memoryUsage().rss);
  })
  .on("close", () => process.exit(0));
