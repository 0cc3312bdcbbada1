// Holds every answer of the hub, and every request that it took, to docs/openapi.json.
//
//   checkExchange({ method, path, body, isOdd }, { status, headers, text, json })     throws where they are not as the document
//                                        says; isOdd: the request need not be
//   readApi()                            the document
//   await fits(pointer, value)           '': value fits the schema at this pointer of the document; else what does not
//
// Paths that the document does not have are not looked at, but for those below /api/.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import Ajv from 'ajv/dist/2020.js';

const VOCABULARY = ['openapi', 'info', 'servers', 'security', 'tags', 'paths', 'components'];

let api;
let ajv;
let templates;

export function readApi() {
  api ??= JSON.parse(readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8'));
  return api;
}

/** The schema at a JSON Pointer, compiled when it is first needed. */
function validatorAt(pointer) {
  if (!ajv) {
    // A required member may stand in another branch of the same schema; what formats mean is not what is tested.
    ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true, validateFormats: false });
    ajv.addVocabulary(VOCABULARY);
    ajv.addSchema(readApi(), 'api');
  }
  return ajv.getSchema(`api#${pointer}`);
}

export function fits(pointer, value) {
  const validate = validatorAt(pointer);
  return validate(value) ? '' : ajv.errorsText(validate.errors, { dataVar: 'body' });
}

const escaped = name => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** { item, pointer }, where a reference leads. */
function follow(item, pointer) {
  if (!item?.$ref) return { item, pointer };
  const names = item.$ref.slice(2).split('/');
  return { item: names.reduce((node, name) => node[name], readApi()), pointer: item.$ref.slice(1) };
}

/** The path's own, or one with a {name} in it. */
function findPath(path) {
  const { paths } = readApi();
  if (paths[path]) return path;
  templates ??= Object.keys(paths).filter(name => name.includes('{')).map(name => [name, new RegExp(`^${name.replace(/\{\w+\}/g, '[^/]+')}$`)]);
  return templates.find(([, pattern]) => pattern.test(path))?.[0];
}

function findResponse(name, method, { status, headers }) {
  const { paths, components } = readApi();
  const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
  const operation = paths[name][verb];
  if (!operation) {
    assert.ok(status >= 400 && status < 500, 'a method that the document does not have');
    const known = status === 405 ? 'MethodNotAllowed' : 'NotTakenText';
    return { item: components.responses[known], pointer: `/components/responses/${known}` };
  }
  const { responses } = operation;
  const isPassedOn = headers['content-security-policy'] === 'sandbox' && responses.default;
  const key = isPassedOn ? 'default' : [status, `${Math.floor(status / 100)}XX`, 'default'].find(key => responses[key]);
  assert.ok(key && (isPassedOn || key !== 'default'), `a status that the document does not have here: ${status}`);
  return { operation, ...follow(responses[key], `/paths/${escaped(name)}/${verb}/responses/${key}`) };
}

function checkHeaders({ item, pointer }, headers) {
  for (const [name, given] of Object.entries(item.headers ?? {})) {
    const header = follow(given, `${pointer}/headers/${escaped(name)}`);
    const text = headers[name.toLowerCase()];
    assert.ok(text !== undefined || !header.item.required, `the header ${name} is missing`);
    if (text === undefined) continue;
    const wrong = fits(`${header.pointer}/schema`, header.item.schema.type === 'integer' ? Number(text) : text);
    assert.equal(wrong, '', `${name}: ${text}`);
  }
}

/** A list of JSON texts, which are one behind the other, a line each. */
const linesOf = text => text.split('\n').filter(line => line.trim() !== '');

function checkMedia(pointer, media, { text, json }, type) {
  if (!media.schema) return;
  if (type !== 'application/json') {
    assert.equal(fits(`${pointer}/schema`, text), '');
    return;
  }
  const bodies = media['x-sequence'] ? linesOf(text).map(line => JSON.parse(line)) : [json];
  for (const body of bodies) {
    assert.notEqual(body, undefined, 'it is no JSON');
    assert.equal(fits(`${pointer}/schema`, body), '');
  }
}

const typeOf = headers => headers['content-type']?.split(';')[0].trim().toLowerCase();

function checkBody({ item, pointer }, method, answer) {
  const type = typeOf(answer.headers);
  const isBodiless = method === 'HEAD' || answer.status === 304;
  if (type === undefined && answer.text === '') {
    assert.ok(!item.content || item.content['*/*'] || isBodiless || answer.status >= 400, 'a body is missing');
    return;
  }
  assert.ok(item.content, `a body that the document does not have: ${answer.text.slice(0, 200)}`);
  const key = item.content[type] ? type : '*/*';
  assert.ok(item.content[key], `a type that the document does not have here: ${type}`);
  if (!isBodiless) checkMedia(`${pointer}/content/${escaped(key)}`, item.content[key], answer, type);
}

/* --- requests --- */

/** A member that is null is as absent, but for `data` alone; what callers put in `data`, `info` and `params` is theirs. */
function withoutNulls(value) {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== 'object') return value;
  const members = Object.entries(value).filter(([name, member]) => member !== null || (name === 'data' && typeof value.b64data !== 'string'));
  return Object.fromEntries(members.map(([name, member]) => [name, ['data', 'info', 'params'].includes(name) ? member : withoutNulls(member)]));
}

/** Those calls of a request that came to a result. */
function takenOf(body, media, answer) {
  const replies = media['x-sequence'] ? linesOf(answer.text).map(line => JSON.parse(line)) : answer.json?.replies;
  if (!replies) return [body];
  const isTaken = (_, i) => replies[i] && !replies[i].error;
  return media['x-sequence'] ? body.filter(isTaken) : [{ ...body, commands: body.commands.filter(isTaken) }];
}

function checkRequest(name, verb, operation, body, answer) {
  const media = operation.requestBody?.content['application/json'];
  if (!media?.schema || answer.status >= 300 || answer.json?.error) return;
  const text = Buffer.isBuffer(body) || typeof body === 'string' ? String(body) : JSON.stringify(body ?? null);
  if (media['x-sequence'] && linesOf(text).length !== linesOf(answer.text).length) return; // calls that are not on lines
  const bodies = media['x-sequence'] ? linesOf(text).map(line => JSON.parse(line)) : text === '' ? undefined : JSON.parse(text);
  if (bodies === undefined) {
    assert.ok(!operation.requestBody.required, 'a request without a body was taken');
    return;
  }
  const pointer = `/paths/${escaped(name)}/${verb}/requestBody/content/application~1json/schema`;
  for (const taken of takenOf(bodies, media, answer)) {
    assert.equal(fits(pointer, withoutNulls(taken)), '', 'the request was taken');
  }
}

export function checkExchange({ method, path, body, isOdd }, answer) {
  const pathname = path.split('?')[0];
  const name = findPath(pathname);
  try {
    if (!name) {
      assert.ok(!pathname.startsWith('/api/') || answer.status >= 400, 'a method that the document does not have');
      return;
    }
    const found = findResponse(name, method, answer);
    checkHeaders(found, answer.headers);
    checkBody(found, method, answer);
    if (found.operation && !isOdd) checkRequest(name, method.toLowerCase(), found.operation, body, answer);
  } catch (error) {
    error.message = `docs/openapi.json: ${method} ${pathname}: ${answer.status}: ${error.message}\n${answer.text.slice(0, 500)}`;
    throw error;
  }
}
