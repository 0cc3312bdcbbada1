// Bundles src/ into one folder: index.html, app.js, app.css, icon.svg. No request leaves the hub.
//   npm run build [-- OUT]        default: dist; also from the environment variable OUT
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = process.argv[2] ?? process.env.OUT ?? join(here, 'dist');
const BUNDLED = ['centrifuge', 'events'];

/** The licences of what is bundled ask to travel with it. */
async function notices() {
  const texts = await Promise.all(BUNDLED.map(async name => {
    const text = await readFile(join(here, 'node_modules', name, 'LICENSE'), 'utf8');
    return `${name}\n${text.trim()}`;
  }));
  return `/*!\n${texts.join('\n\n').replaceAll('*/', '* /')}\n*/`;
}

await mkdir(out, { recursive: true });
await build({
  entryPoints: { app: join(here, 'src/main.js') },
  outdir: out,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  legalComments: 'none',
  footer: { js: await notices() },
});
await build({
  entryPoints: { app: join(here, 'src/style.css') },
  outdir: out,
  bundle: true,
  minify: true,
});
for (const file of ['index.html', 'icon.svg']) await copyFile(join(here, 'src', file), join(out, file));
