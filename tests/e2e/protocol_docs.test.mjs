// docs/protocol.md says which options there are, and which tests show what: both are looked up.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { check } from './lib/command.mjs';

const root = new URL('../../', import.meta.url);
const text = await readFile(new URL('docs/protocol.md', root), 'utf8');
const sections = text.split(/^## /m).slice(1).map(section => ({ title: section.slice(0, section.indexOf('\n')), body: section }));

/** Cells of the tables' rows; codes: what stands in `...`. */
function rowsOf({ body }) {
  return body.split('\n').filter(line => /^\| /.test(line)).slice(1).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()));
}
const codes = cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

test('the options are there, or are not, as it says', async t => {
  const options = sections.filter(({ title }) => /^(Configuration|Options of namespaces)$/.test(title)).flatMap(rowsOf).flatMap(([names, here]) => codes(names).map(name => [name, here]));
  assert.ok(options.length > 120, `${options.length} options`);
  for (const [name, here] of options) {
    const { text: said } = await check(t, name.split('.').reduceRight((value, key) => ({ [key]: value }), [[]]));
    const unknown = said.split('\n').some(line => / unknown key/.test(line) && name.startsWith(/: (\S+): unknown/.exec(line)[1]));
    assert.equal(unknown ? 'no' : 'yes', here, `${name}: ${said}`);
  }
});

test('the tests are there', async () => {
  const [files, ...units] = await Promise.all(['tests/e2e', 'tests/unit/base', 'tests/unit/hub', 'tests/unit/protocols', 'tests/unit/storage'].map(folder => readdir(new URL(folder, root))));
  const named = sections.flatMap(section => (/\| test \|/.test(section.body) ? rowsOf(section).map(cells => cells.at(-1)) : [])).flatMap(codes);
  assert.ok(named.length > 100, `${named.length} tests`);
  for (const name of named) {
    const isThere = name.startsWith('unit ') ? units.flat().includes(`test_${name.slice(5)}.c`) : files.includes(`${name}.test.mjs`);
    assert.ok(isThere, name);
  }
});
