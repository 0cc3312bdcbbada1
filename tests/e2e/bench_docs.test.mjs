// The page of the benchmarks: what of several runs is told, and what is kept of earlier ones.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { aims } from "../bench/aims.mjs";
import { writeDocs } from "../bench/docs.mjs";
import * as recover from "../bench/measures/recover.mjs";
import * as refresh from "../bench/measures/refresh.mjs";
import { MEASURES } from "../bench/measures.mjs";
import { plotScript } from "../bench/plots.mjs";
import { summarize, tables } from "../bench/report.mjs";

const MACHINE = { cpu: "C", cores: 2, memory_gb: 4, kernel: "6.1", systems: "Nchan 1" };
const REFRESH = { case: "20 upstreams, changed" };

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "belfry-docs-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

// The results of a harness that has run one measure, with one case.
function resultsOf(name, { title, columns }, facts, date, runs) {
  const cases = summarize(
    columns,
    runs.map((number) => [
      { ...facts, values: Object.fromEntries(columns.map(({ key }) => [key, number])) },
    ]),
  );
  const measures = [{ name, title, columns, cases }];
  return { version: "belfry 1.2.3", date, machine: MACHINE, repeats: runs.length, measures };
}

const refreshed = (...runs) => resultsOf("refresh", refresh, REFRESH, "2026-01-02T03:04:05Z", runs);

function aimOf(results) {
  const measures = new Map(results.measures.map((measure) => [measure.name, measure]));
  return aims(measures).find(({ what }) => what.startsWith("refresh"));
}

test("a case has median, smallest and largest of its runs, and keeps its facts", () => {
  const columns = [
    { key: "a", title: "A", digits: 1 },
    { key: "b", title: "B" },
  ];
  const row = (a) => [{ case: "one", group: "G", size: 64, values: { a, b: NaN } }];
  const cases = summarize(columns, [row(3), row(1), row(2.5)]);
  const values = { a: { median: 2.5, min: 1, max: 3 }, b: null };
  assert.deepEqual(cases, [{ case: "one", group: "G", size: 64, values }]);
  assert.equal(
    tables({ columns, cases }),
    "**G**\n\n|  | A |\n| --- | ---: |\n| one | 2.5 (1.0-3.0) |",
  );
});

test("an aim is met by the median, and the spread is told", () => {
  assert.equal(aimOf(refreshed(11.1, 11.2, 11.3)).met, "yes");
  assert.equal(aimOf(refreshed(11.1, 11.2, 11.6)).met, "yes, but not in every run");
  assert.equal(aimOf(refreshed(11.1, 11.5, 11.6)).met, "no, only in some runs");
  assert.equal(aimOf(refreshed(11.6, 11.7, 11.8)).met, "no");
  assert.equal(aimOf({ measures: [] }).met, "not measured");
});

test("a measure that did not run keeps its figures, date and version", async (t) => {
  const docs = folder(t);
  const killed = { case: "the hub was killed and started again" };
  const recovered = resultsOf("recover", recover, killed, "2026-02-03T04:05:06Z", [1, 1]);
  await writeDocs(recovered, docs);
  await writeDocs({ ...refreshed(11.25), version: "belfry 1.2.4" }, docs);
  const { measures } = JSON.parse(readFileSync(join(docs, "benchmarks", "results.json")));
  assert.deepEqual(
    measures.map(({ name, date, version }) => [name, date, version]),
    [
      ["refresh", "2026-01-02T03:04:05Z", "belfry 1.2.4"],
      ["recover", "2026-02-03T04:05:06Z", "belfry 1.2.3"],
    ],
  );
  const page = readFileSync(join(docs, "benchmarks.md"), "utf8");
  assert.match(page, /\*One run, `belfry 1\.2\.4`, 2026-01-02\.\*/);
  assert.match(page, /\*Median of 2 runs \(min-max\), `belfry 1\.2\.3`, 2026-02-03\.\*/);
  assert.match(page, /\| refresh of 20 upstreams .* \| below 11\.5 ms \| 11\.25 \| yes \|/);
  assert.doesNotMatch(page, /\{\{/);
});

test("a system has one colour in all plots, and its variants are told apart", () => {
  const series = (...titles) => titles.map((title) => ({ title, points: [[1, 2, 1, 3]] }));
  const script = (of) =>
    plotScript({ name: "p", title: "T", x: "x", y: "y", series: () => of }, []);
  const colour = (text, title) =>
    new RegExp(`dashtype (\\d) linecolor rgb "(#\\w+)" title "${title}"`).exec(text).slice(1);
  const one = script(series("Nchan", "belfry"));
  const other = script(series("belfry, TLS", "belfry", "floor"));
  const [, same] = colour(one, "belfry");
  assert.deepEqual(colour(other, "belfry"), ["1", same]);
  assert.deepEqual(colour(other, "belfry, TLS"), ["2", same]);
  assert.notEqual(colour(one, "Nchan")[1], same);
});

test("every measure can be loaded, and says what it is", async () => {
  for (const name of MEASURES) {
    const { title, description, columns, run } = await import(`../bench/measures/${name}.mjs`);
    assert.ok(title && description.length > 100 && columns.length > 0, name);
    assert.equal(typeof run, "function", name);
  }
});
