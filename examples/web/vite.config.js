import { defineConfig } from 'vite'

// Relative addresses: the page works wherever the relay, or any other server, puts the folder.
export default defineConfig({ base: './', build: { target: 'es2022' } })
