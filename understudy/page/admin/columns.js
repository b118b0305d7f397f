/** The columns that sections of the administration page have. Pure. */

import { ROOT } from "../client/address.js";
import { moment, shortId, who } from "../observer/labels.js";

export const text = (title, name) => ({ title, text: (row) => row[name] ?? "" });
export const number = (title, name) => ({ title, number: true, text: (row) => row[name].toLocaleString("en"), order: (row) => row[name] });
export const time = (title, name) => ({ title, text: (row) => moment(row[name]), order: (row) => row[name] ?? -1 });
export const user = Object.freeze({ title: "User", text: who });
export const run = Object.freeze({ title: "Run", text: (row) => shortId(row.run_id) });

/** The address of a run's timeline. */
export const timelineOf = (row) => `${ROOT}/observer#run/${encodeURIComponent(row.run_id)}`;
