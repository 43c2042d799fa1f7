// Keeps the page itself, so that it opens without a network. The documents are in IndexedDB.

const CACHE = 'page'
const PAGE = new URL('./', self.location).href

self.addEventListener('install', event => event.waitUntil(begin()))
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()))
self.addEventListener('fetch', event => {
  const { request } = event
  if (request.method !== 'GET') return
  if (request.mode !== 'navigate') event.respondWith(kept(request))
  // Other pages of this server are none of ours.
  else if (request.url.split(/[?#]/)[0] === PAGE) event.respondWith(newest(event))
})

async function begin () {
  const page = await fetch(PAGE, { cache: 'no-cache' })
  if (!page.ok) throw new Error(`the page answered ${page.status}`)
  await keep(page)
  await self.skipWaiting()
}

/** Keep the page with its scripts and styles, and drop those of an earlier build. */
async function keep (page) {
  const cache = await caches.open(CACHE)
  const parts = [...(await page.clone().text()).matchAll(/(?:src|href)="(\.\/[^"]+)"/g)]
  const wanted = parts.map(part => new URL(part[1], PAGE).href)
  const there = (await cache.keys()).map(request => request.url)
  await cache.addAll(wanted.filter(url => !there.includes(url)))
  await cache.put(PAGE, page)
  for (const url of there) {
    if (url !== PAGE && !wanted.includes(url)) await cache.delete(url, { ignoreVary: true })
  }
}

/** The page from the network, so that a new build shows; the kept one if there is no network. */
async function newest (event) {
  try {
    const page = await fetch(event.request)
    if (page.ok) event.waitUntil(keep(page.clone()))
    return page
  } catch (error) {
    const page = await caches.match(PAGE, { ignoreVary: true })
    if (!page) throw error
    return page
  }
}

/** Scripts and styles: their names change with their content, so a kept one is the right one. */
async function kept (request) {
  return await caches.match(request, { ignoreVary: true }) ?? fetch(request)
}
