// What docs/configuration.md and the schema say about the configuration's keys.
//
//   const { leaves, parts } = await readDocumented();
//       leaves: a Map of every key's path ('feeds[].upstreams[].url') to its { type, fallback } in the table;
//       a row that says "keys are those of" another has its keys. parts: paths of objects and lists of objects
//   const { schema, validate } = await readSchema();  // of belfry configschema; validate.errors after false
//   for (const { path, node, required } of leavesOf(schema)) ...
//       every key that is no object and no list of objects; path as above, node: its schema
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import Ajv from 'ajv/dist/2020.js';

import { belfry } from './command.mjs';

const DOCS = fileURLToPath(new URL('../../../docs/configuration.md', import.meta.url));

export async function readDocumented() {
  const text = await readFile(DOCS, 'utf8');
  const table = text.slice(text.indexOf('| key |'), text.indexOf('\n## '));
  const rows = [...table.matchAll(/^\| `(.+?)` \| (.*?) \| (.*?) ?\| (.*) \|$/gm)].map(([, key, type, fallback, doc]) => ({ key, type, fallback, doc, part: /^(object|list of objects)$/.test(type) }));
  assert.equal(rows.length, table.trim().split('\n').length - 2, 'every line of the table is a row');
  const own = rows.filter(row => !row.part);
  const copies = rows.flatMap(({ key, doc }) => {
    const [, from, without] = /keys are those of `([\w.[\]]+?)`(?: without `name`| with `name` instead of `(\w+)`)?/.exec(doc) ?? [];
    const to = key === 'proxies' ? 'proxies[]' : key;
    const left = doc.includes('without `name`') ? 'name' : without;
    return from ? own.filter(row => row.key.startsWith(`${from}.`) && row.key !== `${from}.${left}`).map(row => ({ ...row, key: to + row.key.slice(from.length) })) : [];
  });
  assert.equal(new Set(own.map(row => row.key)).size, own.length, 'no key has two rows');
  return { leaves: new Map([...own, ...copies].map(row => [row.key, row])), parts: rows.filter(row => row.part).map(row => row.key) };
}

export async function readSchema() {
  const { code, out, text } = await belfry(['configschema']);
  assert.equal(code, 0, text);
  const schema = JSON.parse(out);
  const ajv = new Ajv({ allErrors: true, strictTypes: false });
  assert.ok(ajv.validateSchema(schema), ajv.errorsText());
  return { schema, validate: ajv.compile(schema) };
}

export function* leavesOf(schema, node = schema, path = '') {
  const whole = node.$ref ? schema.$defs[node.$ref.slice('#/$defs/'.length)] : node;
  for (const [key, below] of Object.entries(whole.properties)) {
    const place = path ? `${path}.${key}` : key;
    const inner = below.items ?? below;
    if (inner.$ref || inner.properties) yield* leavesOf(schema, inner, below.items ? `${place}[]` : place);
    else yield { path: place, node: below, required: whole.required?.includes(key) ?? false };
  }
}
