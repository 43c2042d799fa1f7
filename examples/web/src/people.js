// Who is here: coloured initials, from the awareness of one document.

/** The first letters of the first and the last word. */
export function initials (name) {
  const words = name.trim().split(/\s+/)
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words
  return letters.map(word => (Array.from(word)[0] ?? '?').toUpperCase()).join('')
}

/** Keep `list` in step with who is here, oneself first. */
export function showPeople (awareness, list) {
  const show = () => {
    const people = [...awareness.getStates()].filter(([, state]) => state.user)
    people.sort(([a], [b]) => Number(b === awareness.clientID) - Number(a === awareness.clientID) || a - b)
    list.replaceChildren(...people.map(([client, { user }]) => {
      const item = document.createElement('li')
      const name = client === awareness.clientID ? `${user.name} (you)` : user.name
      item.style.background = /^#[0-9a-f]{6}$/i.test(user.color) ? user.color : ''
      item.title = name
      item.innerHTML = '<span aria-hidden="true"></span><span class="unseen"></span>'
      item.firstElementChild.textContent = initials(String(user.name))
      item.lastElementChild.textContent = name
      return item
    }))
    document.title = people.length > 1 ? `(${people.length}) Syncline` : 'Syncline'
  }
  awareness.on('change', show)
  show()
}
