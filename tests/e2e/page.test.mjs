// The pages that the hub serves, in a real browser: the demo's, with its configuration, and the one about the API.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { chromium } from 'playwright-core';

import { startHub } from './lib/hub.mjs';
import { checkExchange, readApi } from './lib/openapi.mjs';
import { LIMIT_MS } from './lib/process.mjs';
import { startUpstream } from './lib/upstream.mjs';

const demo = JSON.parse(await readFile(new URL('../../examples/demo.json', import.meta.url), 'utf8'));

/** The demo's configuration with its upstreams where they are now. */
function configWith(upstream) {
  const feeds = JSON.parse(JSON.stringify(demo.feeds).replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, upstream.url));
  const { http_server: _server, storage: _storage, ...rest } = demo;
  return { ...rest, feeds };
}

/** A page that complains when it asks anybody but the hub, or has an error. */
async function openTab(t, hub) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const problems = [];
  page.on('pageerror', error => problems.push(error.message));
  page.on('request', request => new URL(request.url()).host === new URL(hub.url).host || problems.push(`request to ${request.url()}`));
  return { page, problems };
}

async function openPage(t, hub) {
  const { page, problems } = await openTab(t, hub);
  const response = await page.goto(hub.url);
  await page.waitForSelector('#connection[data-state=connected]');
  return { page, response, problems };
}

test('the page refreshes, shows and notifies, and asks nobody but the hub', async t => {
  const upstream = await startUpstream(t);
  const hub = await startHub(t, { config: configWith(upstream) });
  const { page, response, problems } = await openPage(t, hub);
  assert.match(response.headers()['content-security-policy'], /default-src 'self'/);

  // The first visitor of a feed without a history has it refreshed.
  await page.waitForSelector('.card:nth-child(3)');
  assert.deepEqual(await page.locator('.card h3').allTextContents(), ['weather', 'air', 'events']);
  await page.click('#refresh');
  await page.waitForSelector('#run tr[data-outcome=fresh]:nth-child(3)');

  await page.fill('#city', 'san-sebastian');
  await page.keyboard.press('Tab');
  await page.waitForSelector('#pushes-channel:has-text("city:san-sebastian")');
  await page.waitForSelector('.card:nth-child(3)');

  await page.fill('#news-text', 'Hello <b>browser</b>');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#news li:has-text("Hello <b>browser</b>")');
  assert.deepEqual(problems, []);
});

test('a killed hub comes back and the page has what was posted meanwhile', async t => {
  const upstream = await startUpstream(t);
  const hub = await startHub(t, { config: configWith(upstream) });
  const { page } = await openPage(t, hub);
  await page.fill('#news-text', 'before');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#news li:has-text("before")');

  await hub.kill9();
  await page.waitForSelector('#connection:not([data-state=connected])');
  await hub.restart();
  await hub.call('publish', { channel: 'news:all', data: { text: 'after' } });
  await page.waitForSelector('#news-recovery:has-text("back again: recovered")');
  await page.waitForSelector('#news li:has-text("after")');
  assert.deepEqual(await page.locator('#news .what').allTextContents(), ['after', 'before']);
});

test('the page about the API shows its methods, and calls one', async t => {
  const hub = await startHub(t, { config: { openapi: { enabled: true }, channel: { namespaces: [{ name: 'news' }] } } });
  const { page, problems } = await openTab(t, hub);
  page.on('console', message => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  await page.goto(`${hub.url}/docs/api`);
  await page.waitForSelector('rapi-doc >> text=Publish into a channel');
  const { paths } = readApi();
  for (const { summary } of Object.values(paths).flatMap(item => Object.values(item)).filter(operation => operation.summary)) {
    assert.ok(await page.locator('rapi-doc .nav-bar-path', { hasText: summary }).count() > 0, summary);
  }

  await page.click('rapi-doc .nav-bar-info:has-text("Authentication")');
  await page.fill('rapi-doc .api-key-input.keyInHeader', hub.key);
  await page.click('rapi-doc .api-key-input.keyInHeader + button');
  await page.click('rapi-doc .nav-bar-path:has-text("Publish into a channel")');
  await page.waitForSelector('rapi-doc .request-body-param-user-input'); // with the example in it
  const answered = page.waitForResponse(response => response.url() === `${hub.url}/api/publish`);
  await page.click('rapi-doc button:has-text("TRY")');
  const answer = await answered;
  assert.deepEqual(await answer.json(), { result: {} });
  checkExchange({ method: 'POST', path: '/api/publish', body: answer.request().postData() }, { status: answer.status(), headers: answer.headers(), text: await answer.text(), json: await answer.json() });
  assert.deepEqual(problems, []);
});
