/** The documented address of `visible` and `beside` beside `client.js`, which exports them too. */

export * from "./client/threads/branches.js";
