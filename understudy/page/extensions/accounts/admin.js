/** The section of accounts on the administration page. Pure. */

import { text, time } from "../../admin/sections.js";
import { ROOT } from "../../client/address.js";

/** Returns the outcome of an invite or a reset: the link, which is shown once. */
const linked = ({ name, path }) => ({ sentence: `Send this link to ${name}; it is shown only here, and works once:`, link: new URL(ROOT + path, location.origin).href });

const words = (given) => given.split(",").map((word) => word.trim()).filter(Boolean);
const account = (row) => `admin/accounts/${encodeURIComponent(row.name)}`;

export const SECTIONS = Object.freeze([
  {
    name: "accounts", rank: 30, title: "Accounts", none: "Users of this server have no passwords of its own.", key: (row) => row.name,
    read: async (api) => {
      try {
        return (await api.ask("GET", "admin/accounts")).accounts;
      } catch (refused) {
        if (refused.status === 404) return [];
        throw refused;
      }
    },
    columns: [text("Name", "name"), text("State", "state"), { title: "Roles", text: (row) => row.roles.join(", ") }, { title: "Groups", text: (row) => row.groups.join(", ") }, time("Made", "created_at")],
    form: {
      agree: "Invite", fields: { name: "Name", roles: "Roles, with commas between", groups: "Groups, with commas between" }, optional: ["roles", "groups"],
      run: async (api, { name, roles, groups }) => linked(await api.ask("POST", "admin/accounts", { name, roles: words(roles), groups: words(groups) })),
    },
    acts: [
      {
        label: "Change the rights", question: (row) => `Change the rights of ${row.name}? The sessions end, and the user signs in again.`, done: (row) => `${row.name} has other rights now.`,
        fields: { roles: "Roles, with commas between", groups: "Groups, with commas between" }, given: (row) => ({ roles: row.roles.join(", "), groups: row.groups.join(", ") }),
        run: (api, row, { roles, groups }) => api.ask("PATCH", account(row), { roles: words(roles), groups: words(groups) }).then(() => null),
      },
      {
        label: "Make a new link", question: (row) => `Take the password of ${row.name} away, and make a link to set another?`, run: async (api, row) => linked(await api.ask("POST", `${account(row)}/invite`, {})),
      },
      {
        label: "Disable", fits: (row) => row.state !== "disabled", question: (row) => `Let nobody sign in as ${row.name}, and end all sessions?`, done: (row) => `Nobody signs in as ${row.name} any more.`,
        run: (api, row) => api.ask("PATCH", account(row), { disabled: true }).then(() => null),
      },
    ],
  },
]);
