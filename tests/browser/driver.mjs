// Drives Chromium for chromium.py: a JSON request on each line of standard input, a JSON answer on each
// line of standard output. A request is [command, page, ...arguments].

import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const [executablePath] = process.argv.slice(2)
const args = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'
]
const browser = await chromium.launch({ executablePath, args }) // with a new folder for its data
const pages = new Map()

// What is written in an element, without the carets of the others.
const written = selector => {
  const copy = document.querySelector(selector).cloneNode(true)
  for (const caret of copy.querySelectorAll('.collaboration-carets__caret, .cm-ySelectionCaret')) caret.remove()
  const blocks = copy.querySelectorAll('.cm-line, .ProseMirror > *')
  return [...blocks].map(block => block.textContent).join('\n')
}

const commands = {
  // A person with a browser of their own.
  async open (name, url, { width = 1280, height = 900, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, ...options })
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const complaints = []
    page.on('pageerror', error => complaints.push(String(error)))
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    pages.set(name, { context, page, complaints })
    await page.goto(url)
  },
  close: ({ context }) => context.close(),
  complaints: ({ complaints }) => complaints,
  click: ({ page }, selector) => page.locator(selector).click(),
  press: ({ page }, key) => page.keyboard.press(key),
  type: ({ page }, text) => page.keyboard.type(text),
  fill: ({ page }, selector, text) => page.locator(selector).fill(text),
  value: ({ page }, selector) => page.locator(selector).inputValue(),
  text: ({ page }, selector) => page.locator(selector).innerText(),
  written: ({ page }, selector) => page.evaluate(written, selector),
  offline: ({ context }, offline) => context.setOffline(offline),
  reload: async ({ page }) => { await page.reload() },
  evaluate: ({ page }, script) => page.evaluate(script),
  screenshot: async ({ page }, path) => { await page.screenshot({ path, fullPage: true }) },

  // Until there is such an element.
  appears: ({ page }, selector) => page.locator(selector).first().waitFor(),

  // Until an element, or an input, says just this.
  async says (it, selector, text) {
    const says = ([selector, text, written]) => {
      const element = document.querySelector(selector)
      if (!element) return false
      if ('value' in element && element.value !== undefined) return element.value === text
      const isEditor = element.querySelector('.cm-content, .ProseMirror')
      return (isEditor ? Function(`return (${written})`)()(selector) : element.textContent) === text
    }
    try {
      await it.page.waitForFunction(says, [selector, text, String(written)])
    } catch (error) {
      const found = await it.page.locator(selector).first().innerText().catch(String)
      throw new Error(`${selector} says ${JSON.stringify(found)}, not ${JSON.stringify(text)}`, { cause: error })
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, name, ...given] = JSON.parse(line)
  let answer
  try {
    const subject = command === 'open' ? name : pages.get(name)
    answer = { value: (await commands[command](subject, ...given)) ?? null }
  } catch (error) {
    answer = { error: error.message }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
await browser.close()
