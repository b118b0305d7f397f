/** Of these extensions, those that have a part of this page: the server writes their names into its head. */
export function withParts(names) {
  const here = document.querySelector("meta[name=page-extensions]")?.content.split(" ") ?? [];
  return names.filter((name) => here.includes(name));
}
