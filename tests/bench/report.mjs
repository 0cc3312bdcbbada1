// Medians and spread over the repeats, and the Markdown that shows them.
import { cpus, release, totalmem } from "node:os";

// Null where a case has no such figure.
function summary(numbers) {
  if (numbers.some((number) => !Number.isFinite(number))) {
    return null;
  }
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

// runs: what a measure gave in each repeat, the same cases in the same order. A row is its case's
// name, the values, and whatever else tells what the case is (group: the table that it belongs to).
export function summarize(columns, runs) {
  return runs[0].map((first, i) => ({
    ...first,
    values: Object.fromEntries(
      columns.map(({ key }) => [key, summary(runs.map((rows) => rows[i].values[key]))]),
    ),
  }));
}

// A summary as text: the median, and in brackets the smallest and the largest.
export function cell(summed, digits = 0) {
  if (!summed) {
    return "-";
  }
  const { median, min, max } = summed;
  const text = [median, min, max].map((number) => number.toFixed(digits));
  return text[1] === text[2] ? text[0] : `${text[0]} (${text[1]}-${text[2]})`;
}

export function row(cells) {
  return `| ${cells.join(" | ")} |`;
}

// Columns of which no case has a figure are left out.
function table(columns, cases) {
  const filled = columns.filter(({ key }) => cases.some((one) => one.values[key]));
  return [
    row(["", ...filled.map((column) => column.title)]),
    row(["---", ...filled.map(() => "---:")]),
    ...cases.map((one) =>
      row([one.case, ...filled.map(({ key, digits }) => cell(one.values[key], digits))]),
    ),
  ].join("\n");
}

// One table, or one for each group with its name above.
export function tables({ columns, cases }) {
  const groups = [...new Set(cases.map((one) => one.group))];
  return groups
    .map((group) => {
      const of = table(
        columns,
        cases.filter((one) => one.group === group),
      );
      return group ? `**${group}**\n\n${of}` : of;
    })
    .join("\n\n");
}

export function markdown(measure) {
  return `### ${measure.title}\n\n${tables(measure)}\n`;
}

export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory_gb: Math.round(totalmem() / 1e9),
    kernel: release(),
  };
}
