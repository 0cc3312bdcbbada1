// The harness of scripts/bench: runs the measures in turn, repeats them, and tells medians and
// spread. A measure is a module in measures/ with a title, columns, and run(bench), which gives one
// row per case; bench has the build folder and an empty folder for its files.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import * as idle from "./measures/idle.mjs";
import * as refresh from "./measures/refresh.mjs";
import { killAll } from "./program.mjs";
import { machine, markdown, summarize } from "./report.mjs";

const MEASURES = { refresh, idle };
const USAGE = `usage: scripts/bench [--repeats 3] [--json FILE] [${Object.keys(MEASURES).join("] [")}]`;

function readArguments() {
  const { values, positionals } = parseArgs({
    options: {
      build: { type: "string" },
      json: { type: "string" },
      repeats: { type: "string", default: "3" },
    },
    allowPositionals: true,
  });
  const repeats = Number(values.repeats);
  const unknown = positionals.find((name) => !Object.hasOwn(MEASURES, name));
  if (unknown || !values.build || !Number.isInteger(repeats) || repeats < 1) {
    throw new Error(unknown ? `no measure is called ${unknown}\n${USAGE}` : USAGE);
  }
  return { ...values, repeats, names: positionals.length ? positionals : Object.keys(MEASURES) };
}

async function repeat(name, { build, repeats }, files) {
  const runs = [];
  for (let i = 1; i <= repeats; i++) {
    console.error(`${name}: run ${i} of ${repeats}`);
    const directory = mkdtempSync(join(files, `${name}-`));
    try {
      runs.push(await MEASURES[name].run({ build, directory }));
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
