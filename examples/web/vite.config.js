import { defineConfig } from 'vite'

export default defineConfig({
  base: './', // relative addresses: the folder may be served from anywhere
  // Two editors and Yjs in one file, 300 kB compressed: a page that opens offline needs all of it.
  build: { target: 'es2022', chunkSizeWarningLimit: 1000 }
})
