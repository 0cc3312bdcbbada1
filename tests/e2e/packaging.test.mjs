// What comes with the program: manual pages, completion, and where "cmake --install" puts them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { belfry, temporaryFolder } from './lib/command.mjs';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGING = join(ROOT, 'packaging');
const BIN = process.env.BELFRY_BIN ?? join(ROOT, 'build/release/belfry');

async function helpOf(...command) {
  const { out } = await belfry([...command, '--help']);
  return out.split('\n');
}

const found = (lines, pattern) => lines.map(line => pattern.exec(line)?.[1]).filter(Boolean);

/** { serve: ['--config'], ... }, as the program says. */
async function commands() {
  const names = found(await helpOf(), /^ {2}([a-z]+) {2}/);
  assert.ok(names.length > 10, `these are all commands that --help names: ${names}`);
  return Object.fromEntries(await Promise.all(names.map(async name => [name, found(await helpOf(name), /^ {2}(--[a-z-]+)/)])));
}

/** The commands of the page with what is said about each, marks of the manual's language left out. */
async function manual() {
  const text = await readFile(join(PACKAGING, 'belfry.1.in'), 'utf8');
  const [, section] = /^\.Sh COMMANDS\n([^]*?)^\.Sh /m.exec(text);
  return Object.fromEntries([...section.matchAll(/^\.It Cm ([a-z]+)([^]*?)(?=^\.It Cm |$(?![^]))/gm)].map(([, name, said]) => [name, said]));
}

test('belfry.1 has every command with all of its options, and no others', async () => {
  const page = await manual();
  const all = await commands();
  assert.deepEqual(Object.keys(page).sort(), Object.keys(all).sort());
  const known = new Set(Object.values(all).flat());
  for (const [name, options] of Object.entries(all)) {
    for (const option of options) assert.ok(new RegExp(`-${option.slice(2)}\\b`).test(page[name]), `${name} ${option} is not in belfry.1`);
    for (const [option] of page[name].matchAll(/(?<=Fl |, )-[a-z]+/g)) assert.ok(known.has(`-${option}`), `belfry.1 says ${name} has ${option}`);
  }
});

test('belfry.json.5 has every section', async () => {
  const { out } = await belfry(['defaultconfig']);
  const text = await readFile(join(PACKAGING, 'belfry.json.5.in'), 'utf8');
  const named = [...text.matchAll(/^\.It Va (.*)$/gm)].flatMap(([, names]) => names.split(' , '));
  assert.deepEqual(named.sort(), Object.keys(JSON.parse(out)).sort());
});

for (const page of ['belfry.1.in', 'belfry.json.5.in']) {
  test(`${page} is without mistakes`, async () => {
    const lint = await run('mandoc', ['-Tlint', '-Wwarning', join(PACKAGING, page)]).catch(error => error);
    assert.equal(lint.stdout, '', String(lint));
  });
}

/** What the shell offers for the words, of which the last one is being written. */
async function completions(...words) {
  const script = `source ${join(PACKAGING, 'belfry.bash')}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _belfry "$1"; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['-c', script, 'bash', BIN, ...words], { cwd: join(ROOT, 'examples') });
  return stdout.split('\n').filter(Boolean);
}

test('the shell completes every command and option', async () => {
  const all = await commands();
  assert.deepEqual((await completions('')).sort(), [...Object.keys(all), '--help', '--version'].sort());
  for (const [name, options] of Object.entries(all)) assert.deepEqual((await completions(name, '-')).sort(), [...options, '--help'].sort());
  assert.deepEqual((await completions('check')).sort(), Object.keys(all).filter(name => name.startsWith('check')).sort());
  assert.deepEqual(await completions('serve', '--config', 'mini'), ['minimal.json']);
  assert.deepEqual(await completions('nonsense', '-'), ['--help']);
});

test('what the Debian package makes of genconfig has the database in /var/lib', async t => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'belfry.json');
  await belfry(['genconfig', '--config', file]);
  const script = await readFile(join(PACKAGING, 'debian/postinst'), 'utf8');
  const [, change] = /^ *(sed -i .*)$/m.exec(script);
  await run('sh', ['-c', change], { env: { ...process.env, config: file } });
  assert.match(await readFile(file, 'utf8'), /^ *"storage": \{ "path": "\/var\/lib\/belfry\/belfry\.sqlite",/m);
  assert.equal((await belfry(['checkconfig', '--config', file])).code, 0);
});

test('docs/operations.md: a new operator gets a good configuration', async t => {
  const folder = await temporaryFolder(t);
  const page = await readFile(join(ROOT, 'docs/operations.md'), 'utf8');
  const blocks = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block]) => block);
  const steps = blocks.filter(block => /\/etc\/belfry\/(key\.pem|belfry\.json <<)/.test(block) && block.startsWith('sudo ')).slice(0, 2);
  const script = steps.join('').replaceAll('sudo ', '').replaceAll('-g belfry-config ', '').replaceAll('/etc/belfry', folder)
    .replaceAll('belfry checkconfig', '"$BELFRY" checkconfig').replace(/^systemctl .*$/gm, '');
  const file = join(folder, 'belfry.json');
  await belfry(['genconfig', '--config', file]);
  const { stdout } = await run('bash', ['-ec', script], { env: { ...process.env, BELFRY: BIN } });
  assert.equal(stdout, `${file}: ok\n`);
  const text = await readFile(file, 'utf8');
  for (const wanted of [/^ *"port": 8443$/m, /"internal_port": 8001,/, /^ *"tls": \{ "enabled": true,/m, /^ *"name": "front",/m]) assert.match(text, wanted);
});

async function install(t, prefix) {
  const folder = await temporaryFolder(t);
  await run('cmake', ['--install', dirname(BIN), '--prefix', prefix], { env: { ...process.env, DESTDIR: folder } });
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter(entry => entry.isFile()).map(entry => `/${relative(folder, join(entry.parentPath ?? entry.path, entry.name))}`);
  return { files, read: path => readFile(join(folder, path)) };
}

// One after the other: what is made of the templates is in one folder of the build.
test('cmake --install', async t => {
  await t.test('the usual folders, and nothing of the tests', async sub => {
    const { files, read } = await install(sub, '/usr');
    const wanted = [
      '/etc/default/belfry', '/usr/bin/belfry', '/usr/lib/systemd/system/belfry.service', '/usr/lib/sysusers.d/belfry.conf',
      '/usr/share/bash-completion/completions/belfry', '/usr/share/belfry/examples/minimal.json', '/usr/share/doc/belfry/README.md',
      '/usr/share/doc/belfry/copyright', '/usr/share/doc/belfry/docs/configuration.md', '/usr/share/fish/vendor_completions.d/belfry.fish',
      '/usr/share/man/man1/belfry.1.gz', '/usr/share/man/man5/belfry.json.5.gz', '/usr/share/zsh/vendor-completions/_belfry',
    ];
    for (const path of wanted) assert.ok(files.includes(path), `${path} is not there: ${files}`);
    const others = files.filter(path => !/^\/usr\/share\/(doc\/belfry|belfry\/examples)\//.test(path) && !wanted.includes(path));
    assert.deepEqual(others, []);
    assert.match(gunzipSync(await read('/usr/share/man/man1/belfry.1.gz')).toString(), /^\.It Pa \/etc\/belfry\/belfry\.json$/m);
    assert.match(String(await read('/usr/share/doc/belfry/copyright')), /^License: MIT\n Permission is hereby granted[^]*\n \.\n THE SOFTWARE/m);
    assert.doesNotMatch(String(await read('/usr/lib/systemd/system/belfry.service')), /@[a-z]+@/);
  });
  await t.test('with another prefix, all names are of that', async sub => {
    const { files, read } = await install(sub, '/opt/hub');
    assert.deepEqual(files.filter(path => !path.startsWith('/opt/hub/')), []);
    const unit = String(await read('/opt/hub/lib/systemd/system/belfry.service'));
    assert.match(unit, /^ExecStart=\/opt\/hub\/bin\/belfry serve --config \/opt\/hub\/etc\/belfry\/belfry\.json$/m);
    assert.match(unit, /^EnvironmentFile=-\/opt\/hub\/etc\/default\/belfry$/m);
    assert.ok(files.includes('/opt/hub/etc/default/belfry'));
  });
  await t.test('the Debian package of it', async sub => {
    const folder = await temporaryFolder(sub);
    await run('cpack', ['-G', 'DEB', '-B', folder], { cwd: dirname(BIN) });
    const [name] = (await readdir(folder)).filter(file => file.endsWith('.deb'));
    assert.match(name, /^belfry_\d+\.\d+\.\d+_[a-z0-9]+\.deb$/);
    const file = join(folder, name);
    const { stdout: depends } = await run('dpkg-deb', ['--field', file, 'Depends']);
    for (const wanted of ['libwebsockets17 ', 'libwebsockets-evlib-uv', 'libssl3 ', 'adduser']) assert.ok(depends.includes(wanted), `${wanted}: ${depends}`);
    // The image gets by hand what the package gets by itself; these every Debian has. With sanitizers there are more.
    const libraries = depends.match(/\blib[a-z0-9.+-]+/g).filter(library => !['libc6', 'libtinfo6'].includes(library));
    const image = (await readFile(join(ROOT, 'Dockerfile'), 'utf8')).split(/^FROM /m).at(-1);
    if (!depends.includes('libasan')) assert.deepEqual(libraries.filter(library => !image.includes(` ${library} `)), []);
    const { stdout: list } = await run('dpkg-deb', ['--contents', file]);
    assert.match(list, /^-rw-r--r-- root\/root .* \.\/etc\/default\/belfry$/m);
    assert.match(list, /^-rwxr-xr-x root\/root .* \.\/usr\/bin\/belfry$/m);
    assert.deepEqual(list.split('\n').filter(line => line && !/ \.\/((etc|usr)\/.*)$/.test(line)), []);
    await run('dpkg-deb', ['--control', file, join(folder, 'control')]);
    assert.equal(await readFile(join(folder, 'control/conffiles'), 'utf8'), '/etc/default/belfry\n');
    for (const script of ['postinst', 'prerm', 'postrm']) await run('sh', ['-n', join(folder, 'control', script)]);
    await run('dpkg-deb', ['--extract', file, join(folder, 'root')]);
    const unit = await readFile(join(folder, 'root/usr/lib/systemd/system/belfry.service'), 'utf8');
    assert.match(unit, /^ExecStart=\/usr\/bin\/belfry serve --config \/etc\/belfry\/belfry\.json$/m);
  });
});
