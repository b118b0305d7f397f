// A whole client in one file: ask one question, and get the answer even when the connection breaks meanwhile.
//
//     node examples/client.mjs "What is 15% of 80?" ws://127.0.0.1:8002/ws
//
// `ask` runs in browsers as well, and in Node from version 22: it needs nothing but WebSocket.

const COME_BACK = new Set([1001, 1006, 1011, 1013, 4408, 4429]); // docs/reference/protocol.md, close codes
const ATTEMPTS = 8;

/** Gives the data of the event that ended the run; `show` is called with each event that has a number. */
export async function ask(url, content, { token, show = () => {} } = {}) {
  const thread = crypto.randomUUID();
  const payload = { content, thread_id: thread, message_id: crypto.randomUUID() };
  const state = { token, lastSeq: 0 };
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const ended = await converse(url, thread, payload, state, attempt > 0, show);
    if (ended.data) return ended.data;
    if (!COME_BACK.has(ended.code)) throw new Error(`closed with ${ended.code}: ${ended.reason}`);
    await new Promise((wake) => setTimeout(wake, Math.random() * Math.min(30_000, 200 * 2 ** attempt)));
  }
  throw new Error("the server cannot be reached");
}

/** Holds one connection to its end: resolves to {data} at the end of the run, else to how the socket was closed. */
function converse(url, thread, payload, state, again, show) {
  const address = new URL(url);
  if (state.token) address.searchParams.set("session_token", state.token);
  const socket = new WebSocket(address, ["understudy.v1"]);
  const send = (type, fields) => socket.send(JSON.stringify({ type, payload: fields }));
  return new Promise((resolve, reject) => {
    socket.onopen = () => {
      if (state.lastSeq) send("resume", { threads: { [thread]: state.lastSeq } });
      else send("user_message", payload); // the same message_id again is still one message
    };
    socket.onmessage = (frame) => {
      const { type, seq, data, message } = JSON.parse(frame.data);
      if (type === "welcome") state.token = data.session_token ?? state.token;
      if (type === "error" && seq === undefined) {
        if (!data.retryable) reject(new Error(data.message));
        else setTimeout(() => send("user_message", payload), (data.retry_after ?? 3) * 1000);
      }
      if (seq === undefined || seq <= state.lastSeq) return;
      state.lastSeq = seq;
      show(seq, type, message);
      if (type === "message_accepted" && again) send("resume", { threads: { [thread]: seq } }); // what we missed
      if (type === "final_response" || type === "error") {
        resolve({ data });
        socket.close();
      }
    };
    socket.onclose = ({ code, reason }) => resolve({ code, reason });
  });
}

if (typeof process !== "undefined" && import.meta.url === `file://${process.argv[1]}`) {
  const [content = "What is 15% of 80?", url = "ws://127.0.0.1:8002/ws"] = process.argv.slice(2);
  const answer = await ask(url, content, { show: (...told) => console.error(...told) });
  console.log(answer.message);
}
