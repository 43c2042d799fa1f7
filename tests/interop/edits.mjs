// Random edits of three clients that hear of each other late, some of which collect nothing:
// `node edits.mjs SEED COUNT` writes a line for each history, its updates in hex.
import * as Y from 'yjs'
let seed = Number(process.argv[2] || 1), N = Number(process.argv[3] || 200)
const rnd = () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 2147483648 }
const int = n => Math.floor(rnd() * n), pick = a => a[int(a.length)]
for (let s = 0; s < N; s++) {
  const gc = rnd() < 0.6
  const docs = [0, 1, 2].map(i => new Y.Doc({ gc: gc || i > 0 }))
  const ums = docs.map(d => new Y.UndoManager([d.getText('t'), d.getMap('m'), d.getArray('a'), d.getXmlFragment('x')], { captureTimeout: 0 }))
  const log = [], seen = docs.map(() => 0)
  docs.forEach((d, i) => d.on('update', (u, origin) => { if (origin !== 'net') log.push(u) }))
  const deliver = i => { while (seen[i] < log.length) Y.applyUpdate(docs[i], log[seen[i]++], 'net') }
  const edit = d => {
    const t = d.getText('t'), m = d.getMap('m'), a = d.getArray('a'), x = d.getXmlFragment('x')
    switch (int(16)) {
      case 0: t.insert(int(t.length + 1), pick(['a', 'hello', 'é', 'xyz'])); break
      case 1: if (t.length) { const p = int(t.length); t.delete(p, 1 + int(Math.min(4, t.length - p))) } break
      case 2: if (t.length) { const p = int(t.length); t.format(p, 1 + int(t.length - p), { [pick(['b', 'i'])]: pick([true, null, { c: 1 }]) }) } break
      case 3: m.set(pick(['k', 'j', '']), pick([1, 'v', { a: [1] }, null, true, new Uint8Array([1])])); break
      case 4: m.set(pick(['k', 'n']), pick([() => new Y.Map([['q', 1]]), () => new Y.Array(), () => new Y.Text('hi'), () => new Y.Doc()])()); break
      case 5: m.delete(pick(['k', 'j', 'n'])); break
      case 6: a.insert(int(a.length + 1), pick([[1, 2, 3], ['x'], [new Y.Map([['id', 1], ['z', 'y']])], [new Y.Array()]])); break
      case 7: if (a.length) { const p = int(a.length); a.delete(p, 1 + int(Math.min(3, a.length - p))) } break
      case 8: { const c = a.toArray().filter(v => v instanceof Y.Map); if (c.length) pick(c).set(pick(['id', 'z']), int(9)); break }
      case 9: { const c = a.toArray().filter(v => v instanceof Y.Array); if (c.length) pick(c).insert(0, [int(9), 'w', new Y.Text('deep')]); break }
      case 10: { const e = new Y.XmlElement('p'); e.setAttribute('id', '1'); e.insert(0, [new Y.XmlText('txt')]); x.insert(int(x.length + 1), [e]); break }
      case 11: if (x.length) { const e = x.get(int(x.length)); if (e.setAttribute) e.setAttribute(pick(['id', 'c']), String(int(9))); if (e.insert && e.nodeName) e.insert(int(e.length + 1), [pick([() => new Y.XmlElement('b'), () => new Y.XmlText('zz')])()]); } break
      case 12: if (x.length) x.delete(int(x.length), 1); break
      case 13: pick(ums).undo(); break
      case 14: pick(ums).redo(); break
      case 15: t.insertEmbed(int(t.length + 1), { image: 'u' }, { w: 1 }); break
    }
  }
  for (let k = 0; k < 60; k++) {
    const i = int(3)
    if (rnd() < 0.4) deliver(i)
    if (rnd() < 0.3) docs[i].transact(() => { for (let n = 0; n < 4; n++) edit(docs[i]) }); else edit(docs[i])
  }
  docs.forEach((_, i) => deliver(i))
  const hex = u => Buffer.from(u).toString('hex')
  console.log(JSON.stringify({
    log: log.map(hex),
    whole: [...docs.map(d => Y.encodeStateAsUpdate(d)), Y.mergeUpdates(log)].map(hex)
  }))
}
