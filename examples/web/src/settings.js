// Where the relay is, and who sits here.

const query = new URLSearchParams(location.search)
const scheme = location.protocol === 'https:' ? 'wss' : 'ws'

/** `ws://host:port/<workspace>`: that of `?relay=`, of the build, or of the server of this page. */
export const relay = query.get('relay') ?? import.meta.env.VITE_RELAY ?? `${scheme}://${location.host}/demo`

/** What `syncline serve --token-file` asks for. */
export const token = query.get('token') ?? ''

// White text is legible on each.
const COLORS = ['#c8402f', '#b4530f', '#8a6a00', '#3b7a3b', '#0a7a7e', '#2c69c9', '#6f55d1', '#b33d88']
const ANIMALS = ['Badger', 'Curlew', 'Dormouse', 'Heron', 'Lynx', 'Marten', 'Otter', 'Puffin', 'Wren']

/** The name and colour under which the others see this person: `{ name, color, colorLight }`. */
export function user () {
  return kept() ?? rename(pick(ANIMALS))
}

/** Give this person another name, and remember it. */
export function rename (name) {
  const color = kept()?.color ?? pick(COLORS)
  const renamed = { name, color, colorLight: `${color}33` }
  localStorage.setItem('syncline:user', JSON.stringify(renamed))
  return renamed
}

function kept () {
  return JSON.parse(localStorage.getItem('syncline:user'))
}

function pick (choices) {
  return choices[Math.floor(Math.random() * choices.length)]
}
