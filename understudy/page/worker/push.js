/*
 * The part of the service worker that shows notices while no page is open. A classic script, loaded by the worker.
 *
 * The server sends {kind, thread_id, title}. The page has left the sentences of the kinds, in its user's language.
 */
{
  const TEXTS = { cache: "notices", path: "/notices.json" };

  self.addEventListener("push", (event) => event.waitUntil(shown(event.data)));
  self.addEventListener("notificationclick", (event) => event.waitUntil(opened(event.notification)));

  async function shown(data) {
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    if (windows.some(({ visibilityState }) => visibilityState === "visible")) return; // the page says it itself
    const news = read(data);
    const texts = await kept();
    await self.registration.showNotification(news.title || "understudy", {
      body: texts[news.kind] ?? "", tag: `understudy:${news.thread_id}`, icon: `${self.registration.scope}page/icon.svg`, data: { thread_id: news.thread_id },
    });
  }

  async function opened(notice) {
    notice.close();
    const address = `${self.registration.scope}#${encodeURIComponent(notice.data?.thread_id ?? "")}`;
    const [page] = await self.clients.matchAll({ type: "window" });
    if (!page) return self.clients.openWindow(address);
    await page.focus();
    return page.navigate(address);
  }

  function read(data) {
    try {
      return data.json();
    } catch {
      return {};
    }
  }

  async function kept() {
    try {
      return await (await (await caches.open(TEXTS.cache)).match(TEXTS.path)).json();
    } catch {
      return {};
    }
  }
}
