/** A small WebSocket client (RFC 6455) with the browser's face, for Node 20, which has none. */

import { createHash, randomBytes } from "node:crypto";
import http from "node:http";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // section 1.3
const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];

/** A class of sockets; each call gives a fresh one, whose instances are in `made` and whose frames are in `heard`. */
export function webSocketClass() {
  return class NodeWebSocket {
    static made = [];

    static heard = []; // everything received: strings and Buffers

    constructor(address, protocols = []) {
      NodeWebSocket.made.push(this);
      Object.assign(this, { url: String(address), readyState: 0, protocol: "", onopen: null, onmessage: null, onclose: null, onerror: null });
      this.pieces = [];
      const key = randomBytes(16).toString("base64");
      const url = new URL(address);
      url.protocol = url.protocol === "wss:" ? "https:" : "http:";
      const request = http.get(url, { agent: false, headers: {
        Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
        ...(protocols.length > 0 && { "Sec-WebSocket-Protocol": protocols.join(", ") }),
      } });
      request.on("upgrade", (answer, socket, head) => {
        const accept = createHash("sha1").update(key + MAGIC).digest("base64");
        if (answer.headers["sec-websocket-accept"] !== accept) return socket.destroy();
        return this.#open(socket, head, answer.headers["sec-websocket-protocol"] ?? "");
      });
      request.on("response", (answer) => {
        answer.resume();
        this.#closed(1006, `HTTP ${answer.statusCode}`);
      });
      request.on("error", () => this.#closed(1006, ""));
      this.request = request;
    }

    send(data) {
      const text = typeof data === "string";
      this.#frame(text ? TEXT : BINARY, Buffer.from(data));
    }

    close(code = 1000) {
      if (this.readyState >= 2) return;
      const open = this.readyState === 1;
      this.readyState = 2;
      if (!open) {
        this.request.destroy();
        return;
      }
      this.#frame(CLOSE, Buffer.from([code >> 8, code & 255]));
      this.socket.end();
    }

    #open(socket, head, protocol) {
      Object.assign(this, { socket, protocol, readyState: 1, buffer: head });
      socket.setNoDelay(true);
      socket.on("data", (data) => {
        this.buffer = Buffer.concat([this.buffer, data]);
        this.#parse();
      });
      socket.on("error", () => {});
      socket.on("close", () => this.#closed(this.code ?? 1006, this.reason ?? ""));
      this.onopen?.();
      this.#parse();
    }

    #closed(code, reason) {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose?.({ code, reason, wasClean: code !== 1006 });
    }

    #frame(opcode, payload) {
      const mask = randomBytes(4);
      const size = payload.length;
      const head = size < 126 ? Buffer.from([0x80 | opcode, 0x80 | size]) : Buffer.alloc(size < 65_536 ? 4 : 10);
      if (size >= 126) {
        head[0] = 0x80 | opcode;
        head[1] = 0x80 | (size < 65_536 ? 126 : 127);
        if (size < 65_536) head.writeUInt16BE(size, 2);
        else head.writeBigUInt64BE(BigInt(size), 2);
      }
      this.socket.write(Buffer.concat([head, mask, payload.map((byte, index) => byte ^ mask[index & 3])]));
    }

    #parse() {
      while (this.buffer.length >= 2) {
        let [size, at] = [this.buffer[1] & 0x7f, 2];
        if (this.buffer.length < (size === 127 ? 10 : size === 126 ? 4 : 2)) return;
        if (size === 126) [size, at] = [this.buffer.readUInt16BE(2), 4];
        else if (size === 127) [size, at] = [Number(this.buffer.readBigUInt64BE(2)), 10];
        if (this.buffer.length < at + size) return;
        const first = this.buffer[0];
        const payload = this.buffer.subarray(at, at + size);
        this.buffer = this.buffer.subarray(at + size);
        this.#take(first & 15, (first & 128) !== 0, payload);
      }
    }

    #take(opcode, final, payload) {
      if (opcode === PING) this.#frame(PONG, payload);
      else if (opcode === CLOSE) {
        if (payload.length >= 2) [this.code, this.reason] = [payload.readUInt16BE(0), payload.subarray(2).toString()];
        else this.code = 1005;
        this.socket.end();
      } else if (opcode <= BINARY) {
        if (opcode !== 0) this.kind = opcode;
        this.pieces.push(payload);
        if (final) this.#message(Buffer.concat(this.pieces.splice(0)));
      }
    }

    #message(whole) {
      const data = this.kind === TEXT ? whole.toString() : whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length);
      NodeWebSocket.heard.push(this.kind === TEXT ? data : Buffer.from(data));
      this.onmessage?.({ data });
    }
  };
}
