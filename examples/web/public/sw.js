// Keeps the page itself, so that it opens without a network. The documents are in IndexedDB.

const CACHE = 'page'

self.addEventListener('install', event => event.waitUntil(keep()))
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()))

async function keep () {
  const page = await fetch('./', { cache: 'no-cache' })
  if (!page.ok) throw new Error(`the page answered ${page.status}`)
  const parts = [...(await page.clone().text()).matchAll(/(?:src|href)="(\.\/[^"]+)"/g)]
  const cache = await caches.open(CACHE)
  await cache.addAll(parts.map(part => part[1]))
  await cache.put('./', page)
  await self.skipWaiting()
}

self.addEventListener('fetch', event => {
  const { request } = event
  const isOurs = request.url.startsWith(self.registration.scope)
  if (request.method !== 'GET' || !isOurs) return
  event.respondWith(request.mode === 'navigate' ? newest(request) : kept(request))
})

/** The page from the network, so that a new build shows; kept for when there is none. */
async function newest (request) {
  const cache = await caches.open(CACHE)
  try {
    const page = await fetch(request)
    if (page.ok) await cache.put('./', page.clone())
    return page
  } catch (error) {
    const page = await cache.match('./', { ignoreVary: true })
    if (!page) throw error
    return page
  }
}

/** Scripts and styles: their names change with their content, so a kept one is the right one. */
async function kept (request) {
  const cache = await caches.open(CACHE)
  const found = await cache.match(request, { ignoreVary: true })
  if (found) return found
  const answer = await fetch(request)
  if (answer.ok) await cache.put(request, answer.clone())
  return answer
}
