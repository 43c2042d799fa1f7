// What docs/record-layout.md says by example, parsed.

import { readFileSync } from 'node:fs'

const PAGE = readFileSync(new URL('../../../docs/record-layout.md', import.meta.url), 'utf8')

/** The lines of each code block of this kind. */
export function fenced (kind) {
  const blocks = [...PAGE.matchAll(new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\`$`, 'gms'))]
  if (!blocks.length) throw new Error(`the page has no block of ${kind}`)
  return blocks.map(block => block[1].trimEnd().split('\n'))
}

/** The values of the page's table of values: [Python's spelling, JSON]. */
export function values () {
  const after = PAGE.split('| value, in Python | JSON |\n|---|---|\n')[1]
  const rows = after.split('\n\n')[0].split('\n')
  return rows.map(row => row.slice(1, -1).split(' | ').map(cell => cell.trim().slice(1, -1)))
}

/** JSON values that follow each other with two or more spaces between. */
export function columns (line) {
  return line.trim().split(/ {2,}/).map(column => JSON.parse(column))
}

/** The histories: parts of steps, the document and what its fields read as. */
export function vectors () {
  return fenced('vectors').map(lines => {
    const vector = { parts: [[]], document: {}, reads: {} }
    for (const line of lines) {
      const step = /^([AB])\+(\d+) +(.+)$/.exec(line)
      if (step) {
        vector.parts.at(-1).push({ writer: step[1], ms: Number(step[2]), operation: step[3], update: '' })
      } else if (line.startsWith(' '.repeat(8))) vector.parts.at(-1).at(-1).update += line.trim()
      else if (line === 'sync') vector.parts.push([])
      else if (line.startsWith('  ')) {
        const [root, key, value] = line.trim().split(/ {2,}/)
        if (value === undefined) vector.document[root] = JSON.parse(key)
        else (vector.document[root] ??= {})[key] = value
      } else if (line.startsWith('reads ')) vector.reads = JSON.parse(line.slice(6))
      else if (line !== 'document') throw new Error(`no line of a vector: ${line}`)
    }
    return vector
  })
}

/** The bytes that hexadecimal digits stand for. */
export function bytes (hex) {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}
