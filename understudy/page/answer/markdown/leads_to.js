/** Whether a link says where it leads: readers trust its words, which may name another host. Pure. */

import { decoded } from "../../client/address.js";

const UNSEEN = /[\p{Cf}\p{Mn}\p{Me}\u115f\u1160\u3164\uffa0]/gu;
const BLANKS_IN_SCHEME = /([a-z][a-z0-9+.-]{1,20}) ?: ?\/ ?\/ ?/gi;
const BETWEEN = /[\s<>"'`()[\]{},;|*«»“”‘’]+/u;
const HOST = /^(?:(?:[\p{L}\p{N}_-]+\.)+\p{L}[\p{L}\p{N}-]+|\d{1,3}(?:\.\d{1,3}){3})$/u;
const FILE = /\.(?:cfg|conf|cpp|cs|css|csv|docx?|env|gif|go|gz|hpp|html?|ini|ipynb|java|jpe?g|js|json|jsx|kt|lock|log|lua|mjs|parquet|pdf|php|png|pptx?|rb|rst|scala|sql|svg|swift|tar|tex|toml|ts|tsx|txt|vue|xlsx?|xml|ya?ml)$/i;
const FILE_OR_COUNTRY = /\.(?:cc|md|ml|mov|pl|ps|py|rs|sh|so|zip)$/i;
const SECOND_LEVEL = /^(?:ac|co|com|edu|go|gob|gov|govt|ne|net|or|org)\.[a-z]{2}$/; // `co.uk` is nobody's

/**
 * Where a link leads that its `words` do not say: a host, or addresses of mail; null if they name no other, or none. `page` is the
 * address of the page, whose own links lead to files with names like those of hosts.
 */
export function leadsTo(words, address, page) {
  const url = new URL(address, page);
  const mail = url.protocol === "mailto:";
  const target = mail ? decoded(url.pathname) : url.host;
  const hosts = mail ? target.split(",").map((one) => one.split("@").at(-1).trim().toLowerCase()) : [url.hostname];
  const file = decoded(url.pathname).split("/").at(-1);
  const isFile = (name) => FILE.test(name) || (FILE_OR_COUNTRY.test(name) && file === name) || url.origin === new URL(page).origin;
  const named = hostsIn(words).filter(({ name, bare }) => !bare || !isFile(name));
  return named.some(({ name }) => !hosts.every((host) => isSaid(name, host, page))) ? target : null;
}

/** The hosts that words name, [{name, bare}]: `bare` without a scheme or a user, as a file is named, too. */
function hostsIn(words) {
  const plain = words.normalize("NFKC").replace(UNSEEN, "").replace(/[\u3002\uff61]/g, ".").replaceAll("\\", "/").replace(/\s+/g, " ");
  const tokens = plain.replace(/ \. ?(?=[\p{L}\p{N}])/gu, ".").replace(BLANKS_IN_SCHEME, "$1://").split(BETWEEN);
  return tokens.flatMap((token) => {
    const [, scheme, rest] = /^[^\p{L}\p{N}]*([a-z][a-z0-9+.-]*:\/\/)?(.*)$/isu.exec(token);
    const authority = rest.split(/[/?#]/, 1)[0];
    const bare = !scheme && !authority.includes("@") && !/^www\./i.test(authority);
    const names = authority.split("@").at(-1).split(":").map((name) => name.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, ""));
    return names.filter((name, index) => HOST.test(name) || (scheme && index === 0 && name !== "")).map((name) => ({ name, bare }));
  });
}

/** Whether a host that words name is that of a link, or above or below it. Letters that are not Latin may look as if they were. */
function isSaid(name, host, page) {
  if (/[^\0-\xff]/.test(name) || !URL.canParse(`//${name}`, page)) return false;
  const [shown, leads] = [new URL(`//${name}`, page).hostname, host].map((one) => one.replace(/\.$/, "").replace(/^www\./, ""));
  const isAbove = (upper, lower) => upper.includes(".") && lower.endsWith(`.${upper}`) && !SECOND_LEVEL.test(upper);
  return shown === leads || isAbove(shown, leads) || isAbove(leads, shown);
}
