/** The roles that open the operators' pages, as the server names them. Pure. */

export const OPERATORS = Object.freeze(["operator", "server_operator"]);
export const SERVER_AUDITOR = "server_auditor";
export const AUDITORS = Object.freeze(["auditor", SERVER_AUDITOR]);

/** Whether somebody with these roles has one of those that are wanted. */
export const hasOne = (roles, wanted) => roles.some((role) => wanted.includes(role));
