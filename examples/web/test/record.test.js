// record.js and values.js against docs/record-layout.md: what the page says is read and made.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Clock, SharedRecord, cells, parseCell } from '../src/record.js'
import { Tagged, encode, isOneSpelling, unpack } from '../src/values.js'
import { bytes, columns, fenced, values, vectors } from './page.js'

const CLIENTS = { A: 4294967303, B: 4294967304 }
const EPOCH_MS = 1_700_000_000_000

for (const [python, json] of values()) {
  test(`the value ${python}`, () => {
    const value = unpack(JSON.parse(json))
    // 1.0 is 1 here, and so an integer.
    const written = /^-?\d+\.0$/.test(json) && !json.startsWith('-0') ? String(Number(json)) : json
    assert.equal(encode(value), written)
    assert.deepEqual(unpack(JSON.parse(encode(value))), value)
    assert.ok(isOneSpelling(json))
  })
}

test('what a record cannot hold is refused', () => {
  for (const value of [undefined, NaN, Infinity, '\ud800', new Date(), () => 0, new Map()]) {
    assert.throws(() => encode(value), TypeError)
  }
  assert.throws(() => new Tagged('$date', '2026-11-31'), TypeError)
  assert.throws(() => new Tagged('$new', '1'), TypeError)
  let deep = []
  for (let depth = 1; depth < 32; depth++) deep = [deep]
  assert.deepEqual(unpack(JSON.parse(encode(deep))), deep)
  assert.throws(() => encode([deep]), TypeError)
  assert.throws(() => unpack([deep]), TypeError)
})

test('another spelling of a value is another element of a set, or none', () => {
  for (const text of ['1', '1.0', '0.1', '[1,"a"]', '"\\u001f"', '1e+16', '9.5e-6', '-0.0']) {
    assert.ok(isOneSpelling(text), text)
  }
  for (const text of ['1.00', '1e5', '-0', '[1, 2]', '"\\u0041"', '"\\/"', '1E+16', '0.0000095']) {
    assert.ok(!isOneSpelling(text), text)
  }
})

test('entries read as these cells, or are ignored', () => {
  for (const line of fenced('cells')[0]) {
    const [key, text, cell] = columns(line)
    const found = parseCell(key, text)
    assert.deepEqual(found && [found.name, found.stamp, found.writer, found.value], cell ?? null, line)
  }
  assert.equal(parseCell('title/1', '[5.0,1]'), null)
  assert.equal(parseCell('title/1', '[5e0,1]'), null)
  assert.equal(parseCell('title/9007199254740992', '[5,1]'), null)
})

test('stamps', () => {
  let now = 1000
  const kept = new Map()
  const storage = { getItem: key => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) }
  const clock = new Clock(storage, () => now)
  assert.equal(clock.tick(), 1000 * 2048)
  assert.equal(clock.tick(), 1000 * 2048 + 1)
  assert.equal(clock.tick(2000 * 2048), 2000 * 2048 + 1) // above what it replaces
  assert.equal(clock.tick(1e6 * 2048), 301_000 * 2048 + 1) // but not far in the future
  now = 900
  const last = clock.tick()
  assert.equal(last, 301_000 * 2048 + 2)
  assert.equal(new Clock(storage, () => now).tick(), last + 1) // across a restart
  now = 1e9
  clock.tick()
  now = 1000
  assert.equal(clock.tick(), 1000 * 2048) // the clock was wrong, and has been set right
})

for (const vector of vectors()) {
  const steps = vector.parts.flat()
  const title = steps.map(step => step.operation).join(', ').slice(0, 60)

  test(`these bytes read as that content: ${title}`, () => {
    const doc = new Y.Doc()
    for (const step of steps) Y.applyUpdate(doc, bytes(step.update))
    check(doc, vector)
  })

  if (steps.every(step => doable(step.operation))) {
    test(`the operations make that content: ${title}`, () => {
      const now = { ms: 0 }
      const docs = Object.fromEntries(Object.entries(CLIENTS).map(([writer, client]) => {
        const doc = new Y.Doc()
        doc.clientID = client
        return [writer, { doc, record: new SharedRecord(doc, new Clock(null, () => EPOCH_MS + now.ms)) }]
      }))
      for (const part of vector.parts) {
        for (const step of part) {
          now.ms = step.ms
          let updates = 0
          const counting = () => updates++
          docs[step.writer].doc.on('update', counting)
          perform(docs[step.writer].record, step.operation)
          docs[step.writer].doc.off('update', counting)
          assert.equal(updates, 1, 'one change is one update')
        }
        exchange(docs.A.doc, docs.B.doc)
      }
      check(docs.A.doc, vector)
      check(docs.B.doc, vector)
    })
  }
}

function doable (operation) {
  return /^(title = |create |delete|votes add |body )/.test(operation)
}

function perform (record, operation) {
  const [, subject, rest] = /^(\w+)(?: (.*))?$/.exec(operation)
  const [verb, ...given] = (rest ?? '').split(' ')
  if (subject === 'create') record.create({ title: JSON.parse(rest) })
  else if (subject === 'delete') record.delete({ keepEdits: rest === 'keep-edit' })
  else if (subject === 'title') record.set({ title: JSON.parse(rest.slice(2)) })
  else if (subject === 'votes') record.add('votes', Number(given[0]))
  else {
    const text = record.text('body')
    // The page counts code points, Yjs UTF-16 units.
    const units = (from, to) => Array.from(text.toString()).slice(from, to).join('').length
    const at = Number(given[0])
    if (verb === 'insert') text.insert(units(0, at), JSON.parse(given[1]))
    else text.delete(units(0, at), units(at, at + Number(given[1])))
  }
}

function exchange (one, other) {
  const update = Y.encodeStateAsUpdate(one)
  Y.applyUpdate(one, Y.encodeStateAsUpdate(other))
  Y.applyUpdate(other, update)
}

function check (doc, { document, reads }) {
  for (const [root, content] of Object.entries(document)) {
    if (typeof content === 'string') assert.equal(doc.getText(root).toString(), content)
    else if (Array.isArray(content)) assert.deepEqual(doc.getArray(root).toJSON(), content)
    else assert.deepEqual(doc.getMap(root).toJSON(), content)
  }
  const record = new SharedRecord(doc, new Clock())
  for (const [name, value] of Object.entries(reads)) {
    if (name === '$live') assert.equal(record.exists, value)
    else if (name === 'title') assert.deepEqual(record.get('title'), unpack(value))
    else if (name === 'body') assert.equal(record.text('body').toString(), value)
    else if (name === 'votes') assert.equal(record.count('votes'), value)
    else if (name === 'tags') assert.deepEqual(record.elements('tags'), value)
    else assert.ok(name === 'steps' || name === 'labels', name) // kinds that the helper leaves out
  }
}

test('a register that was written at the same time has several versions, until the next write', () => {
  const [a, b] = [1, 2].map(client => {
    const doc = new Y.Doc()
    doc.clientID = client
    return new SharedRecord(doc, new Clock(null, () => EPOCH_MS))
  })
  a.set({ title: 'by A' })
  b.set({ title: 'by B' })
  exchange(a.doc, b.doc)
  assert.deepEqual(a.versions('title'), ['by B', 'by A'])
  a.set({ title: 'both seen' })
  exchange(a.doc, b.doc)
  assert.deepEqual(b.versions('title'), ['both seen'])
})

test('entries of another layout are left alone', () => {
  const doc = new Y.Doc()
  const fields = doc.getMap('fields')
  fields.set('title/7', '[5,{"$new":1}]')
  const record = new SharedRecord(doc, new Clock(null, () => EPOCH_MS))
  assert.equal(record.get('title', 'default'), 'default')
  record.set({ title: 'ours' })
  assert.equal(fields.get('title/7'), '[5,{"$new":1}]')
  assert.equal(cells(fields).get('title').length, 1)
})
