// The rich-text editor: TipTap, with the carets of the others.

import { Editor } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import { Placeholder } from '@tiptap/extensions'
import StarterKit from '@tiptap/starter-kit'

const TOOLS = [
  ['Bold', 'B', 'bold', chain => chain.toggleBold()],
  ['Italic', 'I', 'italic', chain => chain.toggleItalic()],
  ['Heading', 'H', 'heading', chain => chain.toggleHeading({ level: 2 })],
  ['List', '•', 'bulletList', chain => chain.toggleBulletList()],
  ['Quote', '”', 'blockquote', chain => chain.toggleBlockquote()],
  ['Code', '‹›', 'code', chain => chain.toggleCode()]
]

/** An editor on a document of the page, in `element`, with its buttons in `toolbar`. */
export function openPage ({ doc, provider }, user, element, toolbar) {
  const editor = new Editor({
    element,
    extensions: [
      // Yjs undoes; and a trailing paragraph would be added by everyone at once.
      StarterKit.configure({ undoRedo: false, trailingNode: false, link: { openOnClick: false } }),
      Placeholder.configure({ placeholder: 'Write something together…' }),
      Collaboration.configure({ document: doc }),
      CollaborationCaret.configure({ provider, user })
    ],
    editorProps: { attributes: { role: 'textbox', 'aria-multiline': 'true', 'aria-label': 'Page' } }
  })
  const buttons = TOOLS.map(([label, sign, mark, change]) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.title = label
    button.ariaLabel = label
    button.textContent = sign
    button.dataset.mark = mark
    button.addEventListener('click', () => change(editor.chain().focus()).run())
    return button
  })
  toolbar.append(...buttons)
  editor.on('transaction', () => {
    for (const button of buttons) button.ariaPressed = String(editor.isActive(button.dataset.mark))
  })
  return editor
}
