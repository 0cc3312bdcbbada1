// The harness of scripts/bench: runs the measures in turn, repeats them, and tells medians and
// spread. A measure is a module in measures/ with a title, columns, and run(bench), which gives one
// row per case; bench has the build folder, an empty folder for its files, and how many seconds a
// load lasts.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import * as idle from "./measures/idle.mjs";
import * as publish from "./measures/publish.mjs";
import * as recover from "./measures/recover.mjs";
import * as refresh from "./measures/refresh.mjs";
import { killAll } from "./program.mjs";
import { machine, markdown, summarize } from "./report.mjs";

const MEASURES = { refresh, idle, publish, recover };
const NAMES = Object.keys(MEASURES);
const OPTIONS = "[--repeats 3] [--seconds 8] [--json FILE]";
const USAGE = `usage: scripts/bench ${OPTIONS} [${NAMES.join("] [")}]`;

function readArguments() {
  const { values, positionals } = parseArgs({
    options: {
      build: { type: "string" },
      json: { type: "string" },
      repeats: { type: "string", default: "3" },
      seconds: { type: "string", default: "8" },
    },
    allowPositionals: true,
  });
  const repeats = Number(values.repeats);
  const seconds = Number(values.seconds);
  const isGood = [repeats, seconds].every((n) => Number.isInteger(n) && n > 0) && values.build;
  const unknown = positionals.find((name) => !Object.hasOwn(MEASURES, name));
  if (unknown || !isGood) {
    throw new Error(unknown ? `no measure is called ${unknown}\n${USAGE}` : USAGE);
  }
  return { ...values, repeats, seconds, names: positionals.length ? positionals : NAMES };
}

async function repeat(name, { build, repeats, seconds }, files) {
  const runs = [];
  for (let i = 1; i <= repeats; i++) {
    console.error(`${name}: run ${i} of ${repeats}`);
    const directory = mkdtempSync(join(files, `${name}-`));
    try {
      runs.push(await MEASURES[name].run({ build, directory, seconds }));
    } finally {
      await killAll();
    }
  }
  return runs;
}

function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "belfry-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true }));
  return folder;
}

async function main() {
  const options = readArguments();
  const files = temporaryFolder();
  const version = execFileSync(join(options.build, "belfry"), ["version"], { encoding: "utf8" });
  const results = { version: version.trim(), date: new Date().toISOString(), machine: machine() };
  results.repeats = options.repeats;
  results.measures = [];
  for (const name of options.names) {
    const { title, columns } = MEASURES[name];
    const runs = await repeat(name, options, files);
    const measure = { name, title, columns, cases: summarize(columns, runs), runs };
    console.log(markdown(measure));
    results.measures.push(measure);
  }
  const { cpu, cores, kernel } = results.machine;
  console.log(
    `${results.version}, ${results.date.slice(0, 10)}, ${cores} x ${cpu}, Linux ${kernel}. ` +
      `Median of ${options.repeats} runs (min-max).`,
  );
  if (options.json) {
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
  }
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => killAll().then(() => process.exit(130)));
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
