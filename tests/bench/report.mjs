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

// runs: what a measure gave in each repeat, the same cases in the same order.
export function summarize(columns, runs) {
  return runs[0].map((first, i) => ({
    case: first.case,
    values: Object.fromEntries(
      columns.map(({ key }) => [key, summary(runs.map((rows) => rows[i].values[key]))]),
    ),
  }));
}

function cell(summed, digits = 0) {
  if (!summed) {
    return "-";
  }
  const { median, min, max } = summed;
  const text = [median, min, max].map((number) => number.toFixed(digits));
  return text[1] === text[2] ? text[0] : `${text[0]} (${text[1]}-${text[2]})`;
}

function row(cells) {
  return `| ${cells.join(" | ")} |`;
}

export function markdown({ title, columns, cases }) {
  return [
    `### ${title}`,
    "",
    row(["", ...columns.map((column) => column.title)]),
    row(["---", ...columns.map(() => "---:")]),
    ...cases.map((one) =>
      row([one.case, ...columns.map(({ key, digits }) => cell(one.values[key], digits))]),
    ),
    "",
  ].join("\n");
}

export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory_gb: Math.round(totalmem() / 1e9),
    kernel: release(),
  };
}
