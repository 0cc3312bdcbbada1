// docs/benchmarks.md and what belongs to it, from results. Run by itself it writes the page and the
// plots again from docs/benchmarks/results.json, without measuring: for changed prose or plots.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { aims } from "./aims.mjs";
import { MEASURES } from "./measures.mjs";
import { writePlot } from "./plots.mjs";
import { cell, row, tables } from "./report.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const DOCS = here("../../docs");
const TEMPLATE = here("docs_template.md");
const DIGITS = 6;

// docs: the folder of the page.
function filesIn(docs) {
  const folder = join(docs, "benchmarks");
  return {
    folder,
    page: join(docs, "benchmarks.md"),
    results: join(folder, "results.json"),
    profile: join(folder, "profile.md"), // written by hand
  };
}

// --- results.json ---

function readResults(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { measures: [] };
}

// What a measure leaves in the file: everything but the single runs.
function entry({ version, date, machine, repeats }, { name, title, columns, cases }) {
  const titles = columns.map(({ key, title: text }) => ({ key, title: text }));
  return { name, title, date, version, repeats, machine, columns: titles, cases };
}

// Measures that did not run this time keep their place, with their own date and version.
function merged(before, results) {
  const fresh = results.measures.map((measure) => entry(results, measure));
  const kept = before.measures.filter((old) => !fresh.some(({ name }) => name === old.name));
  const place = ({ name }) => MEASURES.indexOf(name);
  return { measures: [...kept, ...fresh].sort((a, b) => place(a) - place(b)) };
}

function json(value) {
  const rounded = (_, item) => (typeof item === "number" ? Number(item.toPrecision(DIGITS)) : item);
  return JSON.stringify(value, rounded);
}

// One case per line.
function writeResults(file, { measures }) {
  const texts = measures.map(({ cases, ...facts }) => {
    const head = json(facts).slice(0, -1);
    return `${head},"cases":[\n${cases.map(json).join(",\n")}\n]}`;
  });
  writeFileSync(file, `{"measures":[\n${texts.join(",\n")}\n]}\n`);
}

// --- the page ---

function hardware({ cpu, cores, memory_gb, kernel }) {
  return `${cores} cores of ${cpu}, ${memory_gb} GB of memory, Linux ${kernel}`;
}

// The machine is told once, at the top, and again where it was another one.
function origin({ version, date, repeats, machine }, usual) {
  const many = repeats === 1 ? "One run" : `Median of ${repeats} runs (min-max)`;
  const where = hardware(machine) === usual ? "" : ` On ${hardware(machine)}.`;
  return `*${many}, \`${version}\`, ${date.slice(0, 10)}.${where}*`;
}

function image({ name, title }) {
  return `![${title}](benchmarks/${name}.svg)`;
}

function section(result, { title, description = "", columns, plots = [] }, usual) {
  const { cases } = result;
  const parts = [
    `### ${title}`,
    description.trim(),
    origin(result, usual),
    tables({ columns, cases }),
    ...plots.map(image),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

function aimsTable(results) {
  const rows = aims(new Map(results.map((result) => [result.name, result])));
  return [
    row(["measure", "aim", "reached", "met"]),
    row(["---", "---", "---:", "---"]),
    ...rows.map(({ what, aim, reached, digits, met }) =>
      row([what, aim, cell(reached, digits), met]),
    ),
  ].join("\n");
}

function fill(template, parts) {
  return Object.entries(parts).reduce(
    (text, [mark, part]) => text.replace(`{{${mark}}}`, () => part),
    template,
  );
}

function profile(file) {
  return existsSync(file)
    ? `## Where the rest of the time goes\n\n${readFileSync(file, "utf8").trim()}\n\n`
    : "";
}

function page(results, modules, files) {
  const usual = hardware(results[0].machine);
  const sections = results.map((result) => section(result, modules.get(result.name), usual));
  return fill(readFileSync(TEMPLATE, "utf8"), {
    machine: usual,
    systems: results[0].machine.systems,
    aims: aimsTable(results),
    measures: sections.join("\n\n"),
    profile: profile(files.profile),
  });
}

// --- the plots ---

function removePlots(folder) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".svg"))) {
    rmSync(join(folder, file));
  }
}

function writePlots(results, modules, folder) {
  removePlots(folder);
  for (const { name, cases } of results) {
    for (const plot of modules.get(name).plots ?? []) {
      writePlot(plot, cases, folder);
    }
  }
}

async function loadModules(results) {
  const load = async ({ name }) => [name, await import(`./measures/${name}.mjs`)];
  return new Map(await Promise.all(results.map(load)));
}

async function render(files) {
  const { measures } = readResults(files.results);
  if (measures.length === 0) {
    throw new Error(`no results in ${files.results}: scripts/bench --docs measures`);
  }
  const modules = await loadModules(measures);
  writePlots(measures, modules, files.folder);
  writeFileSync(files.page, page(measures, modules, files));
}

// results: as of the harness, of some or all measures.
export async function writeDocs(results, docs = DOCS) {
  const files = filesIn(docs);
  mkdirSync(files.folder, { recursive: true });
  writeResults(files.results, merged(readResults(files.results), results));
  await render(files);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  render(filesIn(DOCS)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
