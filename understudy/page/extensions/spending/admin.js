/** The section of spending on the administration page. Pure. */

import { number, text } from "../../admin/sections.js";
import { money, who } from "../../observer/labels.js";

const BY = Object.freeze({ user: "User", group: "Group", agent: "Agent", model: "Model", day: "Day" });

export const SECTIONS = Object.freeze([{
  name: "spending", rank: 60, title: "Spending", hint: "Of the last 30 days, in UTC.", none: "Nothing was spent in the last 30 days.", choice: { label: "By", options: BY },
  key: (row) => `${row.tenant ?? ""}/${row.what}`,
  read: async (api, by) => {
    const { spending: rows, currency } = await api.ask("GET", `admin/spending?by=${by}&days=30`);
    return rows.map((row) => ({ ...row, what: by === "user" ? who(row) : row[by] ?? "(not known)", currency }));
  },
  columns: [text("Spent by", "what"), number("Tokens", "tokens"), { title: "Cost", number: true, text: (row) => money(row.cost, row.currency), order: (row) => row.cost }, number("Runs", "runs")],
}]);
