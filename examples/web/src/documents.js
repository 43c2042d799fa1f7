// The documents of the page: each on its provider, kept in the browser, and whether all is saved.

import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { IndexeddbPersistence } from 'y-indexeddb'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

/**
 * Opens documents, and says with the event `change` that `state` is another.
 *
 * All documents on Hocuspocus share one socket; each on y-websocket has its own.
 */
export class Documents extends EventTarget {
  #relay
  #token
  #user
  #socket
  #open = []

  constructor (relay, token, user) {
    super()
    this.#relay = relay
    this.#token = token
    this.#user = user
    this.#socket = new HocuspocusProviderWebsocket({ url: relay, maxDelay: 3000 })
    this.#socket.on('status', () => this.#changed())
    // A browser leaves sockets open when its network goes, and it is 30 s until their silence is noticed.
    addEventListener('offline', () => this.#reconnect())
    addEventListener('online', () => this.#reconnect())
  }

  /** A document on Hocuspocus, which acknowledges what is saved. */
  onHocuspocus (name) {
    const document = this.#kept(name)
    const provider = new HocuspocusProvider({
      websocketProvider: this.#socket,
      name,
      document: document.doc,
      token: this.#token
    })
    Object.assign(document, {
      provider,
      awareness: provider.awareness,
      isConnected: () => this.#socket.status === 'connected',
      isSynced: () => provider.synced
    })
    provider.on('unsyncedChanges', ({ number }) => {
      if (number === 0) document.saved()
      this.#changed()
    })
    provider.on('synced', () => this.#changed())
    provider.on('authenticated', ({ scope }) => {
      document.readOnly = scope === 'readonly'
      this.#refuse(document, '')
    })
    provider.on('authenticationFailed', ({ reason }) => this.#refuse(document, reason))
    this.#begin(document)
    provider.attach()
    return document
  }

  /** A document on y-websocket, which has no acknowledgements: what was sent counts as saved. */
  onWebsocket (name) {
    const document = this.#kept(name)
    const params = this.#token ? { token: this.#token } : {}
    const provider = new WebsocketProvider(this.#relay, name, document.doc, { params })
    Object.assign(document, {
      provider,
      awareness: provider.awareness,
      isConnected: () => provider.wsconnected,
      isSynced: () => provider.synced
    })
    provider.on('sync', () => {
      if (provider.synced) document.saved()
      this.#changed()
    })
    provider.on('status', () => this.#changed())
    provider.on('closed', ({ reason }) => this.#refuse(document, reason))
    document.doc.on('update', () => {
      if (!provider.synced) return
      document.saved()
      this.#changed()
    })
    this.#begin(document)
    return document
  }

  /** Show another name and colour to the others, in all documents. */
  set user (user) {
    this.#user = user
    for (const { awareness } of this.#open) awareness.setLocalStateField('user', user)
  }

  /**
   * `{ connected, synced, changes, stored, readOnly, refused }`: whether all sockets are open, whether all documents are
   * as at the relay, how many changes are not saved yet and whether the browser has stored them, and
   * whether a document may only be read, or why it is denied.
   */
  get state () {
    return {
      connected: this.#open.every(document => document.isConnected()),
      synced: this.#open.every(document => document.isSynced()),
      changes: this.#open.reduce((sum, document) => sum + document.changes, 0),
      stored: this.#open.every(document => document.storing === 0),
      readOnly: this.#open.some(document => document.readOnly),
      refused: this.#open.find(document => document.refused)?.refused
    }
  }

  /** A document in IndexedDB, that counts its unsaved changes also while the page is closed. */
  #kept (name) {
    const doc = new Y.Doc()
    const place = `syncline:${this.#relay}:${name}`
    const persistence = new IndexeddbPersistence(place, doc)
    const count = changes => {
      document.changes = changes
      if (changes) localStorage.setItem(`${place}:changes`, changes)
      else localStorage.removeItem(`${place}:changes`)
    }
    const document = {
      name,
      doc,
      loaded: persistence.whenSynced,
      storing: 0,
      changes: Number(localStorage.getItem(`${place}:changes`)),
      saved: () => count(0),
      readOnly: false,
      refused: ''
    }
    doc.on('update', async (update, origin, _, transaction) => {
      if (!transaction.local) return
      count(document.changes + 1)
      document.storing++
      this.#changed()
      await stored(persistence)
      document.storing--
      this.#changed()
    })
    return document
  }

  #begin (document) {
    document.awareness.setLocalStateField('user', this.#user)
    this.#open.push(document)
    this.#changed()
  }

  #refuse (document, reason) {
    document.refused = reason
    this.#changed()
  }

  /** Drop open sockets, without the goodbye that nobody may answer, and connect anew. */
  #reconnect () {
    if (this.#socket.status === 'connected') {
      this.#socket.onClose({ event: { code: 4408, reason: 'the network changed' } })
    }
    if (this.#socket.status === 'disconnected') this.#socket.connect()
    for (const { provider } of this.#open) {
      if (!(provider instanceof WebsocketProvider)) continue
      if (provider.wsconnected) provider.disconnect()
      provider.connect() // which leaves an attempt alone that is under way
    }
  }

  #changed () {
    this.dispatchEvent(new Event('change'))
  }
}

/** Return when what the document holds is in IndexedDB: a transaction waits for those before it. */
async function stored (persistence) {
  await persistence.whenSynced
  const transaction = persistence.db.transaction('updates', 'readonly')
  transaction.objectStore('updates').count()
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve
    transaction.onabort = () => reject(transaction.error)
  })
}
