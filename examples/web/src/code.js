// CodeMirror on a Y.Text: the script, and the notes of the contacts.

import { defaultKeymap, indentWithTab } from '@codemirror/commands'
import { python } from '@codemirror/lang-python'
import { HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { EditorState, StateEffect } from '@codemirror/state'
import { EditorView, keymap, lineNumbers, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'

const COLORS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: 'var(--code-keyword)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
  { tag: [tags.function(tags.variableName), tags.className], color: 'var(--code-name)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' }
])

const LOOK = EditorView.theme({
  '&.cm-focused': { outline: 'none' },
  '.cm-gutters': { background: 'none', border: 'none', color: 'var(--muted)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  // The names of the others are there without a mouse, too.
  '.cm-ySelectionInfo': { opacity: 1, font: 'var(--label-font)', padding: '1px 5px', borderRadius: '4px 4px 4px 0', top: '-1.35em', zIndex: 5 },
  '.cm-ySelectionCaretDot': { display: 'none' }
})

/** A code editor: line numbers, colours, Tab indents (Escape, then Tab, leaves it). */
export function openScript (text, awareness, element) {
  return open(text, awareness, element, 'Script', [
    lineNumbers(),
    python(),
    indentUnit.of('    '),
    indentOnInput(),
    syntaxHighlighting(COLORS),
    keymap.of([indentWithTab]),
    placeholder('# A program that several people write')
  ])
}

/** An editor for a few lines of plain text. */
export function openNotes (text, awareness, element) {
  return open(text, awareness, element, 'Notes', [EditorView.lineWrapping, placeholder('Notes')])
}

/** Let an editor only be read from now on. */
export function lock (editor) {
  const locked = [EditorState.readOnly.of(true), EditorView.editable.of(false)]
  editor.dispatch({ effects: StateEffect.appendConfig.of(locked) })
}

function open (text, awareness, parent, label, extensions) {
  const state = EditorState.create({
    doc: text.toString(),
    extensions: [
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
      EditorView.contentAttributes.of({ 'aria-label': label }),
      LOOK,
      yCollab(text, awareness),
      extensions
    ]
  })
  return new EditorView({ state, parent })
}
