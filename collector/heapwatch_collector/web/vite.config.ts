import { defineConfig } from "vite";

// `npm run dev` forwards API calls to a running collector: HEAPWATCH_COLLECTOR=http://host:port npm run dev
declare const process: { env: Record<string, string | undefined> };
const collector = process.env["HEAPWATCH_COLLECTOR"];

export default defineConfig({
  // Relative addresses: the page also works behind a proxy that mounts the collector under a prefix.
  base: "./",
  build: { target: "es2022", outDir: "dist", assetsInlineLimit: 0 },
  ...(collector ? { server: { proxy: { "/api": collector, "/querier.v1.QuerierService": collector } } } : {}),
});
