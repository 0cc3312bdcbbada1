// Bundles src/ into one folder: the demo page (index.html, app.js, app.css, icon.svg), and the page about the API
// (docs.html, docs.js.gz, openapi.json). No request leaves the hub.
//   npm run build [-- OUT]        default: dist; also from the environment variable OUT
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = process.argv[2] ?? process.env.OUT ?? join(here, 'dist');

/** The licences of what is bundled ask to travel with it. files: by what they are about, below node_modules/. */
async function notices(files) {
  const texts = await Promise.all(Object.entries(files).map(async ([what, file]) => {
    const text = await readFile(join(here, 'node_modules', file), 'utf8');
    return `${what}\n${text.trim()}`;
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
  footer: { js: await notices({ centrifuge: 'centrifuge/LICENSE', events: 'events/LICENSE' }) },
});
await build({
  entryPoints: { app: join(here, 'src/style.css') },
  outdir: out,
  bundle: true,
  minify: true,
});
for (const file of ['index.html', 'icon.svg']) await copyFile(join(here, 'src', file), join(out, file));

// Rapidoc comes as one bundle, which has what it needs inside. Compressed it is a quarter as large, in the program too:
// every browser unpacks it.
const inside = Object.fromEntries(['marked/LICENSE.md', 'prismjs/LICENSE', 'lit/LICENSE', 'randexp/LICENSE', 'base64-arraybuffer/LICENSE', 'buffer/LICENSE']
  .map(file => [file.split('/')[0], file]));
const docs = await build({
  entryPoints: [join(here, 'src/docs.js')],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  legalComments: 'none',
  footer: { js: await notices({
    rapidoc: 'rapidoc/LICENSE.txt',
    'with these and others inside': 'rapidoc/dist/rapidoc-min.js.LICENSE.txt',
    ...inside,
    'swagger-client, Copyright 2020-2021 SmartBear Software Inc., and ApiDOM, Copyright 2020 SmartBear Software Inc.': 'long/LICENSE', // the same text
  }) },
  write: false,
});
await writeFile(join(out, 'docs.js.gz'), gzipSync(docs.outputFiles[0].contents, { level: 9 }));
await copyFile(join(here, 'src/docs.html'), join(out, 'docs.html'));

const api = JSON.parse(await readFile(join(here, '../docs/openapi.json'), 'utf8'));
await writeFile(join(out, 'openapi.json'), JSON.stringify(api));
