// The values of a record, as docs/record-layout.md spells them ("Values", "One spelling").
//
// null, booleans, strings, numbers, arrays and plain objects are themselves; an integer beyond
// 2^53 - 1 is a BigInt, bytes are a Uint8Array. Decimals, dates, times, durations and UUIDs have no
// exact counterpart in JavaScript: they are a `Tagged`, such as new Tagged('$date', '2026-11-22').
// A number without a fraction is written as an integer, because JavaScript does not tell 1 from 1.0.

const DEEPEST = 32

const DATE = String.raw`\d{4}-\d\d-\d\d`
const TIME = String.raw`\d\d:\d\d:\d\d(?:\.\d{6})?(?:[+-]\d\d:\d\d(?::\d\d(?:\.\d{6})?)?)?`
const FORMS = {
  $decimal: /^-?\d+(?:\.\d+)?(?:E[+-]\d+)?$/,
  $datetime: new RegExp(`^${DATE}T${TIME}$`),
  $date: new RegExp(`^${DATE}$`),
  $time: new RegExp(`^${TIME}$`),
  $duration: /^-?\d+$/,
  $uuid: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A value of a type that JavaScript does not have: the name of the type, and its payload. */
export class Tagged {
  constructor (tag, payload) {
    const folds = (tag === '$datetime' || tag === '$time') && Array.isArray(payload)
    const text = folds ? payload[0] : payload
    if (folds && (payload.length !== 2 || payload[1] !== 1)) throw new TypeError(`no ${tag}`)
    if (typeof text !== 'string' || !FORMS[tag]?.test(text) || !isOnTheCalendar(text)) {
      throw new TypeError(`${JSON.stringify(payload)} is no ${tag}`)
    }
    this.tag = tag
    this.payload = payload
    Object.freeze(this)
  }

  toString () {
    return Array.isArray(this.payload) ? this.payload[0] : this.payload
  }
}

function isOnTheCalendar (text) {
  const date = /^\d{4}-\d\d-\d\d(?=T|$)/.exec(text)?.[0]
  if (date) {
    const midnight = new Date(`${date}T00:00:00Z`)
    if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== date) return false
  }
  const time = /(?:^|T)(\d\d):(\d\d):(\d\d)/.exec(text)
  return !time || (time[1] < 24 && time[2] < 60 && time[3] < 60)
}

/** The JSON text of a value. Throws a TypeError for what a record cannot hold. */
export function encode (value, depth = 0) {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'number') return spelled(value)
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? String(value) : `{"$int":"${value}"}`
  }
  if (value instanceof Tagged) return `{"${value.tag}":${JSON.stringify(value.payload)}}`
  if (value instanceof Uint8Array) {
    const characters = Array.from(value, byte => String.fromCharCode(byte))
    return `{"$bytes":"${btoa(characters.join(''))}"}`
  }
  if (depth >= DEEPEST) throw new TypeError(`A value nests at most ${DEEPEST} deep.`)
  if (Array.isArray(value)) return `[${value.map(item => encode(item, depth + 1)).join()}]`
  if (Object.getPrototypeOf(value ?? 0) !== Object.prototype) {
    throw new TypeError(`A record cannot hold a value of type ${value?.constructor.name}.`)
  }
  const entries = Object.entries(value).map(([key, item]) => [quoted(key), encode(item, depth + 1)])
  if (Object.keys(value).some(key => key.startsWith('$'))) {
    return `{"$dict":[${entries.map(([key, item]) => `[${key},${item}]`).join()}]}`
  }
  return `{${entries.map(([key, item]) => `${key}:${item}`).join()}}`
}

/** The value that parsed JSON stands for. Throws a TypeError for what is not of the layout. */
export function unpack (json, depth = 0) {
  if (typeof json === 'string' && !json.isWellFormed()) throw new TypeError('a lone surrogate')
  if (json === null || typeof json !== 'object') return json
  const [tag, ...others] = Object.keys(json)
  if (!Array.isArray(json) && !others.length && tag?.startsWith('$') && tag !== '$dict') {
    return untagged(tag, json[tag])
  }
  if (depth >= DEEPEST) throw new TypeError('nested too deep')
  if (Array.isArray(json)) return json.map(item => unpack(item, depth + 1))
  const entries = tag === '$dict' && !others.length ? json.$dict : Object.entries(json)
  if (!Array.isArray(entries)) throw new TypeError('no $dict')
  return Object.fromEntries(entries.map(entry => {
    if (!Array.isArray(entry) || entry.length !== 2) throw new TypeError('no $dict')
    return [String(entry[0]), unpack(entry[1], depth + 1)]
  }))
}

function untagged (tag, payload) {
  if (tag === '$int') {
    if (!/^-?\d+$/.test(payload)) throw new TypeError('no $int')
    return BigInt(payload)
  }
  if (tag === '$bytes') {
    if (typeof payload !== 'string' || !BASE64.test(payload)) {
      throw new TypeError('no $bytes')
    }
    return Uint8Array.from(atob(payload), character => character.charCodeAt(0))
  }
  return new Tagged(tag, payload)
}

/** Whether this JSON text is in the one spelling that elements of a set have. */
export function isOneSpelling (text) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[^"[\]{},:\s]+|[[\]{},:]/g) ?? []
  return tokens.map(respelled).join('') === text
}

function respelled (token) {
  if (token.startsWith('"')) return quoted(JSON.parse(token))
  if (/^-?\d+$/.test(token)) return String(BigInt(token))
  return /^-?\d/.test(token) ? spelledFloat(Number(token)) : token
}

function quoted (text) {
  if (!text.isWellFormed()) throw new TypeError('Text must not hold lone surrogates.')
  return JSON.stringify(text)
}

function spelled (number) {
  if (Number.isSafeInteger(number) && !Object.is(number, -0)) return String(number)
  if (Number.isFinite(number)) return spelledFloat(number)
  throw new TypeError(`A record cannot hold the number ${number}.`)
}

function spelledFloat (number) {
  if (Object.is(number, -0)) return '-0.0'
  const size = Math.abs(number)
  if (size !== 0 && (size < 1e-5 || size >= 1e16)) return number.toExponential()
  const text = String(number)
  return text.includes('.') ? text : `${text}.0`
}
