// One change of a record by record.js, for test_record.py: { update, client, now, calls } as JSON on
// standard input; { update, reads } on standard output, where `update` is what the calls changed.

import { readFileSync } from 'node:fs'
import * as Y from '../../examples/web/node_modules/yjs/dist/yjs.mjs'
import { Clock, SharedRecord } from '../../examples/web/src/record.js'
import { encode } from '../../examples/web/src/values.js'

const { update, client, now, calls } = JSON.parse(readFileSync(0, 'utf8'))
const doc = new Y.Doc()
doc.clientID = client
if (update) Y.applyUpdate(doc, Buffer.from(update, 'hex'))
const before = Y.encodeStateVector(doc)
const record = new SharedRecord(doc, new Clock(null, () => now))
for (const [method, ...given] of calls) {
  if (method === 'insert') record.text(given[0]).insert(given[1], given[2])
  else record[method](...given)
}
const reads = {
  $live: record.exists,
  title: record.get('title'),
  body: record.text('body').toString(),
  votes: record.count('votes'),
  tags: record.elements('tags')
}
process.stdout.write(JSON.stringify({
  update: Buffer.from(Y.encodeStateAsUpdate(doc, before)).toString('hex'),
  reads: Object.fromEntries(Object.entries(reads).map(([name, value]) => [name, JSON.parse(encode(value))]))
}))
