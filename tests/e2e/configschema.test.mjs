// belfry configschema and defaultconfig: what the schema says is what checkconfig does, and what the documentation says.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { belfry, check } from './lib/command.mjs';
import { leavesOf, readDocumented, readSchema } from './lib/configuration.mjs';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));

/** A document with value at the path 'feeds[].upstreams[].url'. */
const documentWith = (path, value) => path.split('.').reduceRight((inner, step) => (step.endsWith('[]') ? { [step.slice(0, -2)]: [inner] } : { [step]: inner }), value);

const rangeText = ({ minimum, maximum }) => (maximum === undefined ? `at least ${minimum}` : `${minimum} to ${maximum}`);

/** A key's type as the documentation writes it; of a duration's range, a text's fewest bytes and its letters the schema knows nothing. */
function typeText({ type, anyOf = [], pattern, items, minimum, maximum }) {
  const names = anyOf.find(way => way.enum)?.enum;
  const longest = anyOf.find(way => way.maxLength)?.maxLength;
  if (type === 'boolean') return /^bool$/;
  if (type === 'array' && items.type === 'string') return /^list of strings$/;
  if (type === 'object') return /^object of strings$/;
  if (type === 'string' && names) return new RegExp(`^${names.filter(name => name).map(name => `\`${name.replaceAll('.', '\\.')}\``).join(', ')}$`);
  if (type === 'string' && longest) return new RegExp(`^string, \\d+ to ${longest} bytes$`);
  if (type === 'string') return pattern ? /^duration(, .+)?$/ : /^string(, .+)?$/;
  if (type === 'integer' && anyOf.length) return new RegExp(`^integer, ${anyOf[0].const} or ${rangeText(anyOf[1])}$`);
  return new RegExp(minimum === undefined ? '^integer$' : `^integer, ${rangeText({ minimum, maximum })}$`);
}

/** A key's default as the documentation writes it: an empty text or list is an empty column. */
function fallbackText({ default: value }, required) {
  if (required) return 'required';
  const text = Array.isArray(value) ? value.join(' ') : value;
  return text === undefined || text === '' ? '' : `\`${text}\``;
}

/** Something that no key of this type takes. */
const wrongFor = ({ type }) => (type === 'string' ? 17 : 'wrong');

describe('the schema', { concurrency: true }, () => {
  test('is a good one, and knows every key', async () => {
    const { schema } = await readSchema();
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    const leaves = [...leavesOf(schema)];
    const paths = new Set(leaves.map(leaf => leaf.path));
    const documented = (await readDocumented()).leaves;
    assert.deepEqual([[...paths].filter(path => !documented.has(path)), [...documented.keys()].filter(path => !paths.has(path))], [[], []], 'not documented, and documented but unknown');
    assert.deepEqual(leaves.filter(({ node }) => !node.description).map(leaf => leaf.path), []);
    assert.ok(Object.keys(schema.$defs).includes('client.proxy.connect'), 'what repeats is there once');
  });

  test('says of each key what docs/configuration.md says', async () => {
    const { schema } = await readSchema();
    const { leaves } = await readDocumented();
    const differences = [];
    for (const { path, node, required } of leavesOf(schema)) {
      if (!leaves.has(path)) continue; // see above
      const { type, fallback } = leaves.get(path);
      if (!typeText(node).test(type)) differences.push(`${path}: "${type}" should match ${typeText(node)}`);
      // A list without which the rest makes no sense is asked for by a check of its own.
      if (fallback !== fallbackText(node, required) && !(fallback === 'required' && node.type === 'array')) differences.push(`${path}: default "${fallback}" should be "${fallbackText(node, required)}"`);
    }
    assert.deepEqual(differences, []);
  });

  test('accepts every example', async () => {
    const { validate } = await readSchema();
    for (const name of (await readdir(examples)).filter(name => name.endsWith('.json'))) {
      assert.ok(validate(JSON.parse(await readFile(join(examples, name), 'utf8'))), `${name}: ${JSON.stringify(validate.errors)}`);
    }
  });

  test('refuses a wrong type wherever checkconfig does: everywhere', async t => {
    const { schema, validate } = await readSchema();
    const leaves = [...leavesOf(schema)];
    await Promise.all(Array.from({ length: 4 }, async (_, start) => {
      for (let i = start; i < leaves.length; i += 4) {
        const { path, node } = leaves[i];
        const config = documentWith(path, wrongFor(node));
        const { code, text } = await check(t, config);
        assert.ok(code === 1 && text.includes(`${path.replaceAll('[]', '[0]').replace('$schema', '"$schema"')}: `), `${path}: ${text}`);
        assert.ok(!validate(config) && validate.errors.some(({ instancePath }) => instancePath === `/${path.replaceAll('[]', '.0').replaceAll('.', '/')}`), path);
      }
    }));
  });

  test('accepts ends of ranges, and refuses what is beyond them', async t => {
    const { schema, validate } = await readSchema();
    const integers = [...leavesOf(schema)].filter(({ node, path }) => node.type === 'integer' && !path.includes('[]'));
    assert.ok(integers.length > 30);
    for (const { path, node } of integers) {
      const { minimum, maximum } = node.anyOf ? node.anyOf[1] : node;
      for (const [value, isGood] of [[minimum, true], [maximum, true], [minimum - 1, false], [maximum + 1, false]]) {
        if (value === undefined || Number.isNaN(value) || value === node.default) continue;
        const config = documentWith(path, value);
        const line = (await check(t, config)).text.split('\n').find(said => said.startsWith(`config.json: ${path}: ${value} is not `));
        // What is in range may still not go with other keys; that is not the schema's to say.
        if (!isGood) assert.ok(line, `${path}: ${value}`);
        assert.equal(validate(config), isGood, `${path}: ${value}`);
      }
    }
  });

  test('accepts ${NAME} in every text, and what only checkconfig can judge', async () => {
    const { schema, validate } = await readSchema();
    const texts = [...leavesOf(schema)].filter(({ node }) => node.type === 'string');
    for (const { path } of texts) {
      const config = documentWith(path, 'before ${NAME}');
      const wrong = validate(config) ? [] : validate.errors.filter(({ keyword }) => keyword !== 'required');
      assert.deepEqual(wrong, [], path);
    }
    assert.ok(validate({ $schema: './belfry.schema.json', client: { ping_interval: '1h30m15s250ms', pong_timeout: '0' } }));
    for (const wrong of ['25', '1 s', '', 's', '1d', '-1s', '$NAME', '${1}']) assert.ok(!validate({ client: { ping_interval: wrong } }), wrong);
    for (const wrong of [[], null, { http_sever: {} }, { feeds: {} }, { feeds: [{}] }, { proxies: ['x'] }]) assert.ok(!validate(wrong), JSON.stringify(wrong));
  });
});

test('defaultconfig prints every key that has a default, and checkconfig and the schema accept it', async t => {
  const { schema, validate } = await readSchema();
  const { code, out } = await belfry(['defaultconfig']);
  assert.equal(code, 0);
  const config = JSON.parse(out);
  assert.ok(validate(config), JSON.stringify(validate.errors));
  const checked = await check(t, config);
  assert.deepEqual([checked.code, checked.text], [0, 'config.json: ok\n']);
  for (const { path, node } of leavesOf(schema)) {
    if (path.includes('[]')) continue;
    const value = path.split('.').reduce((inner, key) => inner?.[key], config);
    assert.deepEqual(value, node.default ?? (node.type === 'object' ? {} : []), path);
  }
});

test('the commands take no options, and say so', async () => {
  for (const command of ['configschema', 'defaultconfig']) {
    const { code, text } = await belfry([command, '--config', 'x']);
    assert.equal(code, 2, text);
    assert.match(text, /"--config" is not one of its options/);
    assert.equal((await belfry([command, '--help'])).code, 0);
  }
});
