import { defineConfig, type Plugin } from "vite";

// `npm run dev` forwards API calls to a running collector: HEAPWATCH_COLLECTOR=http://host:port npm run dev
declare const process: { env: Record<string, string | undefined> };
const collector = process.env["HEAPWATCH_COLLECTOR"];

// The page asks nobody but its own collector, and runs no script but its own. The development server can't
// keep that: it injects styles and a socket.
const policy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'" },
      injectTo: "head-prepend",
    },
  ],
};

export default defineConfig({
  // Relative addresses: the page also works behind a proxy that mounts the collector under a prefix.
  base: "./",
  plugins: [policy],
  build: { target: "es2022", outDir: "dist", assetsInlineLimit: 0 },
  ...(collector ? { server: { proxy: { "/api": collector, "/querier.v1.QuerierService": collector } } } : {}),
});
