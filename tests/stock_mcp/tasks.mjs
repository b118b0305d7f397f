// A server of the stock SDK with one tool, whose calls are tasks: `node tasks.mjs PORT NOTES`. A task lives until the file
// NOTES.go exists, and outlives the session of its client. What happens to it is written into NOTES, a line each.
import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const [port, notes] = process.argv.slice(2);
const note = (line) => appendFileSync(notes, `${line}\n`);

class TaskStore extends InMemoryTaskStore {
  createTask(params, id, request) { return super.createTask(params, id, request); }
  async getTask(id) { note("polled"); return super.getTask(id); }
  storeTaskResult(id, status, result) { return super.storeTaskResult(id, status, result); }
  getTaskResult(id) { return super.getTaskResult(id); }
  updateTaskStatus(id, status, message) { note(status); return super.updateTaskStatus(id, status, message); }
}
const taskStore = new TaskStore();

function work(task, to) {
  const timer = setInterval(async () => {
    if (!existsSync(`${notes}.go`)) return;
    clearInterval(timer);
    const content = [{ type: "text", text: `counted to ${to}` }];
    await taskStore.storeTaskResult(task.taskId, "completed", { content });
  }, 50);
}

function connect() {
  const tasks = { cancel: {}, requests: { tools: { call: {} } } };
  const server = new McpServer({ name: "tasks", version: "1" }, { capabilities: { tools: {}, tasks }, taskStore });
  const config = {
    description: "Count slowly.",
    inputSchema: { to: z.number() },
    annotations: { destructiveHint: false },
    execution: { taskSupport: "required" },
  };
  server.experimental.tasks.registerToolTask("count", config, {
    async createTask({ to }, { taskStore, taskRequestedTtl }) {
      note("begun");
      const task = await taskStore.createTask({ ttl: taskRequestedTtl, pollInterval: 200 });
      work(task, to);
      return { task };
    },
    getTask: (_, { taskId, taskStore }) => taskStore.getTask(taskId),
    getTaskResult: (_, { taskId, taskStore }) => taskStore.getTaskResult(taskId),
  });
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  return server.connect(transport).then(() => transport);
}

const sessions = new Map();
const listener = createServer(async (request, response) => {
  const transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport && request.headers["mcp-session-id"]) response.writeHead(404).end();
  else await (transport ?? (await connect())).handleRequest(request, response);
});
listener.listen(Number(port), "127.0.0.1");
