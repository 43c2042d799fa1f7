// Puts the page together.

import './style.css'
import { lock, openScript } from './code.js'
import { showContacts } from './contacts.js'
import { Documents } from './documents.js'
import { openPage } from './page.js'
import { showPeople } from './people.js'
import { Clock } from './record.js'
import { relay, rename, token, user } from './settings.js'

const at = id => document.getElementById(id)
const documents = new Documents(relay, token, user())

const welcome = documents.onHocuspocus('pages/welcome')
const page = openPage(welcome, user(), at('page'), at('toolbar'))

const script = documents.onWebsocket('pages/script')
const code = openScript(script.doc.getText('body'), script.awareness, at('script'))

const contacts = showContacts(documents, new Clock(localStorage), at('contacts'), at('no-contacts'))
at('add-contact').addEventListener('click', () => contacts.add())

showPeople(welcome.awareness, at('people'))
at('your-name').value = user().name
at('your-name').addEventListener('change', event => {
  const renamed = rename(event.target.value.trim() || user().name)
  event.target.value = renamed.name
  documents.user = renamed
  page.commands.updateUser(renamed)
})

let locked = false
let connecting = true
setTimeout(() => {
  connecting = false
  showState()
}, 2000)
documents.addEventListener('change', showState)
showState()

function showState () {
  if (documents.state.readOnly && !locked) lockAll()
  const [state, text] = describe(documents.state)
  // Whoever listens to the page hears of the connection, not of every save.
  const shown = at('state')
  const passing = ['connecting', 'catching-up', 'keeping', 'saving']
  if (!passing.includes(state) && shown.dataset.settled !== state) {
    if (shown.dataset.settled || state !== 'saved') at('announcement').textContent = text
    shown.dataset.settled = state
  }
  shown.dataset.state = state
  at('state-text').textContent = text
}

function lockAll () {
  locked = true
  page.setEditable(false)
  lock(code)
  contacts.lock()
  at('add-contact').hidden = at('toolbar').hidden = true
}

function describe ({ connected, synced, changes, stored, readOnly, refused }) {
  if (refused) return ['refused', `Refused: ${refused}`]
  if (!connected && connecting) return ['connecting', 'Connecting…']
  if (!connected && !changes) return ['offline', 'Offline']
  if (!connected && !stored) return ['keeping', 'Offline, keeping changes…']
  if (!connected) return ['offline', `Offline, ${changes} ${changes === 1 ? 'change' : 'changes'} kept`]
  if (!synced) return ['catching-up', 'Catching up…']
  if (readOnly) return ['read-only', 'Read only']
  return changes ? ['saving', 'Saving…'] : ['saved', 'All changes saved']
}

if ('serviceWorker' in navigator && import.meta.env.PROD) navigator.serviceWorker.register('./sw.js')
