/** The section of schedules on the administration page. Pure. */

import { duration } from "../../client/format.js";
import { moment, shortId, who } from "../../observer/labels.js";

/** "30 9 * * * UTC", "every 5 min". */
export function timing(row) {
  return row.cron === null ? `every ${duration(row.every_s * 1000)}` : `${row.cron} ${row.time_zone}`;
}

export const SECTIONS = Object.freeze([{
  name: "schedules", title: "Schedules", none: "There are no schedules.", key: (row) => row.id,
  read: async (api) => (await api.ask("GET", "admin/schedules")).schedules,
  columns: [
    { title: "Schedule", text: (row) => shortId(row.id) }, { title: "User", text: who }, { title: "Agent", text: (row) => row.agent ?? "(default)" }, { title: "When", text: timing },
    { title: "Next", text: (row) => (row.enabled ? moment(row.next_due_at) : "paused"), order: (row) => row.next_due_at ?? -1 },
    { title: "Last", text: (row) => row.last_code ?? moment(row.last_due_at), alarm: (row) => row.last_code !== null },
  ],
}]);
