// A Syncline record, read and written from JavaScript.
//
//   const contact = new SharedRecord(doc, new Clock(localStorage))
//   if (contact.exists) contact.set({ phone: '+44 20 7946 0958' })
//   contact.get('name')            a register: a field of one value
//   contact.count('visits')        a Counter;   contact.add('visits', 1) steps it
//   contact.elements('tags')       a SetOf, as an array
//   contact.text('notes')          a Text: the Y.Text to bind an editor to
//   contact.observe(() => ...)     after every change, from here or elsewhere
//
// `doc` is the Y.Doc of the record's document, `<collection>/<key>`, on any Yjs provider. The layout is
// docs/record-layout.md; the words here are those of that page. Not here: ListOf and MapOf, writing
// sets, and the policies max and min, which compare values as Python does.

import * as Y from 'yjs'
import { encode, isOneSpelling, unpack } from './values.js'

const CELL_KEY = /^(.*)\/(0|[1-9][0-9]{0,15})$/s
/** An element of a list that names the items behind it: others may insert such items meanwhile. */
const HEAD = /^@[0-9A-Za-z]{18}#(?:[0-9A-Za-z]|_[0-9A-Za-z]{2})$/
const WRITER = /^(0|[1-9][0-9]{0,15})$/
const SUM = /^-?[0-9]{1,1000}$/
const TICKS_PER_MS = 2048
const TOLERATED_DRIFT_MS = 300_000

/**
 * Makes the stamps of writes: milliseconds and a counter, always above those before.
 *
 * `storage` keeps the highest stamp across restarts (anything with getItem and setItem), `now` is the
 * time in milliseconds since the Unix epoch.
 */
export class Clock {
  #storage
  #now
  #last

  constructor (storage = null, now = Date.now) {
    this.#storage = storage
    this.#now = now
    this.#last = Number(storage?.getItem('syncline:last-stamp') ?? -1)
  }

  /** A stamp that is above all before it and above `seen`, the newest of what is replaced. */
  tick (seen = 0) {
    const now = this.#now()
    // What is further ahead was made while this device's clock was wrong.
    if (this.#last > (now + 2 * TOLERATED_DRIFT_MS) * TICKS_PER_MS) this.#last = 0
    this.#last = Math.max(this.#last, Math.min(seen, (now + TOLERATED_DRIFT_MS) * TICKS_PER_MS))
    this.#last = Math.min(Math.max(this.#last + 1, now * TICKS_PER_MS), Number.MAX_SAFE_INTEGER)
    this.#storage?.setItem('syncline:last-stamp', String(this.#last))
    return this.#last
  }
}

/** The cells of a root by name, newest first; what is not of the layout is left out. */
export function cells (root) {
  const found = new Map()
  for (const [key, text] of root) {
    const cell = parseCell(key, text)
    if (!cell) continue
    if (!found.has(cell.name)) found.set(cell.name, [])
    found.get(cell.name).push(cell)
  }
  for (const siblings of found.values()) {
    siblings.sort((a, b) => b.stamp - a.stamp || b.writer - a.writer)
  }
  return found
}

/** One entry of a root as `{ key, name, writer, stamp, value }`, null if it is no cell. */
export function parseCell (key, text) {
  const [, name, digits] = CELL_KEY.exec(key) ?? []
  const writer = Number(digits)
  // JSON.parse would take 5.0 for an integer.
  if (!Number.isSafeInteger(writer) || typeof text !== 'string' || !/^\s*\[\s*\d+\s*,/.test(text)) return null
  try {
    const [stamp, json, ...others] = JSON.parse(text)
    if (json === undefined || others.length || !Number.isSafeInteger(stamp)) return null
    return { key, name, writer, stamp, value: unpack(json) }
  } catch {
    return null
  }
}

/** The record in one document. */
export class SharedRecord {
  #clock

  constructor (doc, clock) {
    this.doc = doc
    this.fields = doc.getMap('fields')
    this.#clock = clock
  }

  /** Whether the record exists: it was created, and not deleted since. */
  get exists () {
    const siblings = cells(this.fields).get('$live') ?? []
    const live = siblings[0]?.value
    if (!siblings.length || typeof live === 'boolean') return live === true
    const seen = new Map()
    for (const { value } of siblings) {
      for (const pair of Array.isArray(value) ? value : []) {
        if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(Number.isInteger)) continue
        seen.set(pair[0], Math.max(pair[1], seen.get(pair[0]) ?? 0))
      }
    }
    return [...stateVector(this.doc)].some(([client, clock]) => clock > (seen.get(client) ?? 0))
  }

  /** The value of a register, or `otherwise` in a record that is older than the field. */
  get (name, otherwise = null) {
    const siblings = cells(this.fields).get(name)
    return siblings ? siblings[0].value : otherwise
  }

  /** All values of a register, newest first: more than one after writes at the same time. */
  versions (name) {
    return (cells(this.fields).get(name) ?? []).map(cell => cell.value)
  }

  /** Write registers, in one transaction: `set({ name: 'Ada', phone: null })`. */
  set (values) {
    const encoded = Object.entries(values).map(([name, value]) => [name, encode(value)])
    this.doc.transact(() => {
      for (const [name, json] of encoded) this.#write(name, () => json)
    })
  }

  /**
   * Create the record, and write registers: all of its schema, defaults included. After a deletion
   * it begins empty.
   */
  create (values = {}) {
    this.doc.transact(() => {
      if (!this.exists && cells(this.fields).has('$live')) this.#empty()
      this.#write('$live', () => 'true')
      this.set(values)
    })
  }

  /** Delete the record. With `keepEdits`, an edit that this has not seen brings it back. */
  delete ({ keepEdits = false } = {}) {
    this.doc.transact(() => {
      this.#write('$live', () => {
        if (!keepEdits) return 'false'
        const seen = stateVector(this.doc)
        seen.set(this.doc.clientID, (seen.get(this.doc.clientID) ?? 0) + 1) // writing $live
        return JSON.stringify([...seen].sort((a, b) => a[0] - b[0]))
      })
    })
  }

  /** A counter's value: a number, or a BigInt where that would not be exact. */
  count (field) {
    let total = 0n
    for (const [, sum] of this.doc.getMap(`counter:${field}`)) {
      if (typeof sum === 'string' && SUM.test(sum)) total += BigInt(sum)
    }
    return Number.isSafeInteger(Number(total)) ? Number(total) : total
  }

  /** Step a counter by an integer, up or down. */
  add (field, step) {
    const sums = this.doc.getMap(`counter:${field}`)
    const writer = String(this.doc.clientID)
    const own = sums.get(writer)
    const sum = typeof own === 'string' && SUM.test(own) ? BigInt(own) : 0n
    sums.set(writer, String(sum + BigInt(step)))
  }

  /** The elements of a set, in the order in which they were added. */
  elements (field) {
    const found = []
    for (const [name, siblings] of cells(this.doc.getMap(`set:${field}`))) {
      try {
        const value = unpack(JSON.parse(name))
        if (isOneSpelling(name)) found.push({ name, value, stamp: siblings.at(-1).stamp })
      } catch {
        continue // no element
      }
    }
    found.sort((a, b) => a.stamp - b.stamp || byCodePoint(a.name, b.name))
    return found.map(element => element.value)
  }

  /** The Y.Text of a text field. */
  text (field) {
    return this.doc.getText(`text:${field}`)
  }

  /** Call back after every transaction that changed the document; returns how to stop it. */
  observe (callback) {
    this.doc.on('update', callback)
    return () => this.doc.off('update', callback)
  }

  /** Remove what a deleted record held. */
  #empty () {
    for (const name of [...this.doc.share.keys()]) {
      const kind = name.split(':', 1)[0]
      if (name === 'fields' || (['set', 'list', 'map'].includes(kind) && name !== kind)) {
        const root = this.doc.getMap(name)
        for (const key of [...root.keys()]) {
          const [, cell] = CELL_KEY.exec(key) ?? []
          if (cell !== undefined && !(name === 'fields' && cell === '$live')) root.delete(key)
        }
      } else if (kind === 'items' && name !== kind) {
        const items = this.doc.getArray(name)
        const elements = items.toArray()
        for (let at = elements.length - 1; at >= 0; at--) {
          if (typeof elements[at] !== 'string' || !HEAD.test(elements[at])) items.delete(at)
        }
      } else if (kind === 'counter' && name !== kind) {
        this.#reset(this.doc.getMap(name))
      } else if (kind === 'text' && name !== kind) {
        const text = this.doc.getText(name)
        text.delete(0, text.length)
      }
    }
  }

  /** Take back every writer's sum, each in an entry of its own. */
  #reset (sums) {
    const read = key => {
      const sum = sums.get(key)
      return typeof sum === 'string' && SUM.test(sum) ? BigInt(sum) : null
    }
    for (const key of [...sums.keys()]) {
      const sum = read(key)
      if (sum === null) continue
      if (WRITER.test(key)) {
        if ((read(`-${key}`) ?? 0n) !== -sum) sums.set(`-${key}`, String(-sum))
      } else if (!(key.startsWith('-') && WRITER.test(key.slice(1)) && read(key.slice(1)) !== null)) {
        sums.delete(key)
      }
    }
  }

  #write (name, json) {
    const siblings = cells(this.fields).get(name) ?? []
    const stamp = this.#clock.tick(siblings[0]?.stamp)
    const key = `${name}/${this.doc.clientID}`
    for (const sibling of siblings) if (sibling.key !== key) this.fields.delete(sibling.key)
    this.fields.set(key, `[${stamp},${json()}]`)
  }
}

function stateVector (doc) {
  return Y.decodeStateVector(Y.encodeStateVector(doc))
}

/** As `<`, which in JavaScript compares UTF-16 units, would be for code points. */
function byCodePoint (one, other) {
  const [a, b] = [Array.from(one), Array.from(other)]
  const at = a.findIndex((character, index) => character !== b[index])
  if (at < 0) return a.length - b.length
  return at < b.length ? a[at].codePointAt(0) - b[at].codePointAt(0) : 1
}
