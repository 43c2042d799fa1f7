// The contacts: records of the collection `contacts`, the class Contact of records.py.

import { lock, openNotes } from './code.js'
import { initials } from './people.js'
import { SharedRecord } from './record.js'

const PAUSE_MS = 400 // between the last key and the write of a register

/**
 * Show the contacts in `list`, live.
 *
 * Yjs protocols cannot list documents, so the keys are in a document of their own, the map `contacts`
 * of `pages/contacts`, which records.py keeps and this page adds to.
 */
export function showContacts (documents, clock, list, empty) {
  const index = documents.onHocuspocus('pages/contacts')
  const keys = index.doc.getMap('contacts')
  const shown = new Map()
  let locked = false

  const arrange = () => {
    const there = [...shown.values()].filter(contact => contact.record.exists)
    there.sort((a, b) => a.place.localeCompare(b.place))
    there.forEach(({ element }, at) => {
      if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null)
    })
    for (const element of [...list.children].slice(there.length)) element.remove()
    empty.hidden = there.length > 0
  }
  const open = () => {
    for (const key of keys.keys()) {
      if (shown.has(key)) continue
      const contact = new Contact(documents.onHocuspocus(`contacts/${key}`), clock, arrange)
      shown.set(key, contact)
      if (locked) contact.lock()
    }
    arrange()
  }
  keys.observe(open)
  index.loaded.then(open)

  return {
    /** Create a contact, and put the cursor on its name. */
    add () {
      const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), byte => byte.toString(16).padStart(2, '0')).join('')
      keys.set(key, true) // shows it, as soon as it exists
      shown.get(key).record.create({ name: '' })
      shown.get(key).element.querySelector('.name').focus()
    },

    /** Let all contacts only be read from now on. */
    lock () {
      locked = true
      for (const contact of shown.values()) contact.lock()
    }
  }
}

/** One contact on the page. */
class Contact {
  #place

  constructor ({ doc, awareness, isSynced, name: address }, clock, arrange) {
    this.record = new SharedRecord(doc, clock)
    this.element = document.getElementById('contact').content.firstElementChild.cloneNode(true)
    this.element.dataset.address = address
    const part = selector => this.element.querySelector(selector)
    this.inputs = [
      bind(part('.name'), this.record, 'name', text => text),
      bind(part('.phone'), this.record, 'phone', text => text || null)
    ]
    part('.more').addEventListener('click', () => this.record.add('visits', 1))
    part('.fewer').addEventListener('click', () => this.record.add('visits', -1))
    this.notes = openNotes(this.record.text('notes'), awareness, part('.notes'))
    this.record.observe((update, origin, _, transaction) => {
      this.show()
      if (!transaction.local && isSynced()) this.flash()
      arrange()
    })
    this.show()
  }

  get name () {
    return String(this.record.get('name', ''))
  }

  /** By what it is sorted: the name it came with, so that nothing moves under somebody's fingers. */
  get place () {
    this.#place ??= this.name
    return this.#place
  }

  show () {
    const { record, element } = this
    for (const show of this.inputs) show()
    element.querySelector('.initials').textContent = initials(this.name)
    const visits = record.count('visits')
    element.querySelector('output').textContent = `${visits} ${visits === 1 ? 'visit' : 'visits'}`
    element.querySelector('.tags').replaceChildren(...record.elements('tags').map(tag => {
      const item = document.createElement('li')
      item.textContent = tag
      return item
    }))
  }

  lock () {
    lock(this.notes)
    for (const part of this.element.querySelectorAll('input, button')) part.disabled = true
  }

  /** Show for a moment that somebody else has changed it. */
  flash () {
    for (const animation of this.element.getAnimations()) animation.cancel()
    this.element.animate([{ boxShadow: '0 0 0 2px var(--accent)' }, {}], { duration: 1500 })
  }
}

/** Show a register in an input, and write it when typing pauses; returns what shows it again. */
function bind (input, record, register, parse) {
  let shown = null // what the register held when the input was last in step with it
  let pause = 0
  const show = () => {
    const value = String(record.get(register) ?? '')
    const typing = input.value !== shown && document.activeElement === input
    if (!typing) input.value = shown = value
  }
  const write = () => {
    clearTimeout(pause)
    if (input.value === shown) return
    shown = input.value
    record.set({ [register]: parse(input.value) })
  }
  input.addEventListener('input', () => {
    clearTimeout(pause)
    pause = setTimeout(write, PAUSE_MS)
  })
  input.addEventListener('change', write)
  show()
  return show
}
