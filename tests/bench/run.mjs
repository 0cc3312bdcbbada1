// The harness of scripts/bench: runs the measures in turn, repeats them, and tells medians and
// spread. A measure is a module in measures/ with a title, a description, columns, and run(bench),
// which gives one row per case; bench has the build folder, an empty folder for its files, and how
// many seconds a load of publish lasts.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { writeDocs } from "./docs.mjs";
import { MEASURES } from "./measures.mjs";
import { killAll } from "./program.mjs";
import { machine, markdown, summarize } from "./report.mjs";
import { versions } from "./versions.mjs";

// scripts/bench has checked them.
function readArguments() {
  const { values, positionals } = parseArgs({
    options: {
      build: { type: "string" },
      docs: { type: "boolean", default: false },
      json: { type: "string" },
      repeats: { type: "string", default: "3" },
      seconds: { type: "string", default: "8" },
    },
    allowPositionals: true,
  });
  const isWanted = (name) => positionals.length === 0 || positionals.includes(name);
  return {
    ...values,
    repeats: Number(values.repeats),
    seconds: Number(values.seconds),
    names: MEASURES.filter(isWanted),
  };
}

async function repeat(name, measure, { build, repeats, seconds }, files) {
  const runs = [];
  for (let i = 1; i <= repeats; i++) {
    console.error(`${name}: run ${i} of ${repeats}`);
    const directory = mkdtempSync(join(files, `${name}-`));
    try {
      runs.push(await measure.run({ build, directory, seconds }));
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

async function measured(name, options, files) {
  const module = await import(`./measures/${name}.mjs`);
  const { title, columns } = module;
  const runs = await repeat(name, module, options, files);
  return { name, title, columns, cases: summarize(columns, runs), runs };
}

// The others are measured all the same.
async function measuredOrNot(name, options, files) {
  try {
    const measure = await measured(name, options, files);
    console.log(markdown(measure));
    return [measure];
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
    return [];
  }
}

function origin({ version, date, repeats, machine: { cpu, cores, kernel, systems } }) {
  return (
    `${version}, ${date.slice(0, 10)}, ${cores} x ${cpu}, Linux ${kernel}. ` +
    `Median of ${repeats} runs (min-max). With ${systems}.`
  );
}

async function main() {
  const options = readArguments();
  const files = temporaryFolder();
  const version = execFileSync(join(options.build, "belfry"), ["version"], { encoding: "utf8" });
  const results = {
    version: version.trim(),
    date: new Date().toISOString(),
    machine: { ...machine(), systems: versions() },
    repeats: options.repeats,
    measures: [],
  };
  for (const name of options.names) {
    results.measures.push(...(await measuredOrNot(name, options, files)));
  }
  console.log(origin(results));
  if (options.json) {
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
  }
  if (options.docs) {
    await writeDocs(results);
  }
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => killAll().then(() => process.exit(130)));
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
