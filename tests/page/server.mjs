/** The real server in a process of its own, and a wire to it that can be cut. */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const READY = "understudy is ready on ";

/** `understudy serve`, on the same port and data each time it is started. */
export class Server {
  static async started(settings = {}, ...agents) {
    const server = new Server();
    Object.assign(server, { agents, settings });
    server.folder = await mkdtemp(join(tmpdir(), "understudy-"));
    server.port = 0;
    await server.start();
    return server;
  }

  async start() {
    const options = ["-m", "understudy", "serve", "--port", String(this.port), "--data-dir", this.folder, ...this.agents];
    this.process = spawn(process.env.PYTHON ?? "python3", options, {
      cwd: ROOT, env: { PATH: "/usr/bin:/bin", UNDERSTUDY_MODELS_WORDS_PER_S: "200", ...this.settings }, stdio: ["ignore", "pipe", "inherit"],
    });
    this.ended = new Promise((resolve) => { this.process.once("exit", resolve); });
    for await (const line of createInterface({ input: this.process.stdout })) {
      if (!line.startsWith(READY)) continue;
      this.address = line.slice(READY.length).trim();
      this.port = Number(new URL(this.address).port);
      return;
    }
    throw new Error("the server did not start");
  }

  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    await this.ended;
  }

  async remove() {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A wire between clients and a server: it can be cut, and be kept from being mended. */
export class Wire {
  static async to(server) {
    const wire = new Wire();
    Object.assign(wire, { sockets: new Set(), broken: false });
    wire.door = net.createServer((near) => {
      if (wire.broken) {
        near.destroy();
        return;
      }
      const far = net.connect(server.port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]]) {
        wire.sockets.add(one);
        one.pipe(other);
        one.on("error", () => {});
        one.on("close", () => {
          wire.sockets.delete(one);
          other.destroy();
        });
      }
    });
    await new Promise((resolve) => { wire.door.listen(0, "127.0.0.1", resolve); });
    wire.port = wire.door.address().port;
    return wire;
  }

  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  close() {
    this.cut();
    this.door.close();
  }
}
