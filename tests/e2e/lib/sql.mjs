// Another program's connection to a database file: tests/sql.
//
//   const sql = await openSql(t, file);
//   await sql.run('SELECT count(*) FROM streams')     // the first value of the first row, as text; fails on an error
//   await sql.run('BEGIN IMMEDIATE')                  // what it locks stays locked
//   await sql.close()
//   await runSql(t, file, 'UPDATE ...', 'DELETE ...') // all of it: the value of the last one
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { within } from './process.mjs';

const FOLDER = process.env.BELFRY_BIN ? dirname(process.env.BELFRY_BIN) : fileURLToPath(new URL('../../../build/release/', import.meta.url));
const BIN = process.env.BELFRY_SQL_BIN ?? join(FOLDER, 'belfry-sql');

export async function openSql(t, file) {
  const child = spawn(BIN, [file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise(resolve => child.once('close', resolve));
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', line => waiting.shift().resolve(line));
  child.once('error', error => waiting.forEach(({ reject }) => reject(error)));
  exited.then(() => waiting.forEach(({ reject }) => reject(new Error(`belfry-sql ${file} has ended`))));
  const sql = {
    async run(statement) {
      assert.ok(!statement.includes('\n'), 'one line');
      const answered = new Promise((resolve, reject) => waiting.push({ resolve, reject }));
      child.stdin.write(`${statement}\n`);
      const line = await within(answered, statement);
      assert.ok(line.startsWith('ok '), `${statement}: ${line}`);
      return line.slice(3);
    },
    close() {
      child.stdin.end();
      return within(exited, 'the end of belfry-sql');
    },
  };
  t.after(sql.close);
  return sql;
}

export async function runSql(t, file, ...statements) {
  const sql = await openSql(t, file);
  let value;
  for (const statement of statements) value = await sql.run(statement);
  await sql.close();
  return value;
}
