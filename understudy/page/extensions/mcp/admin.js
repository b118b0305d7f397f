/** The section of sign-ins at MCP servers, on the administration page. Pure. */

import { text, time, user } from "../../admin/sections.js";

export const SECTIONS = Object.freeze([
  {
    name: "sign-ins", rank: 80, title: "MCP sign-ins", none: "Nobody is signed in at an MCP server.", key: (row) => `${row.tenant}/${row.user}/${row.server}`,
    read: async (api) => (await api.ask("GET", "admin/sign-ins")).sign_ins,
    columns: [user, text("Server", "server"), time("Since", "signed_in_at")],
  },
]);
