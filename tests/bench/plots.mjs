// SVG plots of results, by gnuplot (Debian's gnuplot-nox). The same data give the same file, byte
// for byte. A measure exports plots: a list of
//
//   { name, title, x, y, logX, logY, fromX, from, series }
//
// name: the file's; x, y: the axes' labels; fromX, from: where the axes begin, if not at 0;
// series(cases): [{ title, points: [[x, y, min, max]] }], min and max are optional. Where the x of
// points are texts, the series are bars beside each other. A series whose title begins with a
// system's name has that system's colour in every plot.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const WIDTH = 720;
const HEIGHT = 400;
const LEGEND_LINE = 22;
const BAR_SHARE = 0.8; // of the place of a group of bars

// Told apart also by those who do not see red and green as two colours.
const COLOURS = [
  [/^belfry/i, "#d55e00"],
  [/^(the )?floor/i, "#7f7f7f"],
  [/^nchan/i, "#0072b2"],
  [/^nats/i, "#009e73"],
  [/^redis/i, "#cc79a7"],
  [/^ws\b/i, "#b8860b"],
  [/^socket\.?io/i, "#56b4e9"],
  [/^tornado/i, "#7b3294"],
  [/^nginx/i, "#0072b2"],
  [/^node/i, "#4d7c0f"],
  [/^one after the other/i, "#555555"],
];
const OTHER_COLOURS = ["#8c564b", "#a6761d", "#1b9e77", "#e7298a"];

// The colour of each series, and which variant of its system it is: "NAME" comes before "NAME, HOW".
function coloured(series) {
  const found = series.map((one, i) => {
    const known = COLOURS.find(([pattern]) => pattern.test(one.title));
    return { ...one, colour: known ? known[1] : OTHER_COLOURS[i % OTHER_COLOURS.length] };
  });
  return found.map((one) => {
    const alike = found.filter(({ colour }) => colour === one.colour);
    alike.sort((a, b) => a.title.includes(",") - b.title.includes(","));
    return { ...one, variant: alike.indexOf(one) };
  });
}

function lighter(colour, times) {
  const share = 0.55 ** times;
  const parts = colour.match(/[0-9a-f]{2}/g).map((hex) => 255 - (255 - parseInt(hex, 16)) * share);
  return `#${parts.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

// In gnuplot's double quotes.
function quoted(text) {
  return `"${String(text).replace(/[\\"]/g, "\\$&")}"`;
}

function number(value) {
  return Number(value).toPrecision(8);
}

// A block of data: x y min max.
function block(i, points) {
  const lines = points.map(([x, y, min = y, max = y]) => [x, y, min, max].map(number).join(" "));
  return [`$d${i} << EOD`, ...lines, "EOD"].join("\n");
}

function range(from, isLog) {
  return `[${from ?? (isLog ? "" : 0)}:]`;
}

function axes({ x, y, logX, logY, fromX, from }) {
  return [
    `set xlabel ${quoted(x)} offset 0, 0.6`,
    `set ylabel ${quoted(y)}`,
    ...(logX ? ["set logscale x"] : []),
    ...(logY ? ["set logscale y"] : []),
    `set xrange ${range(fromX, logX)}`,
    `set yrange ${range(from, logY)}`,
  ];
}

function frame(title, nSeries) {
  const height = HEIGHT + LEGEND_LINE * Math.ceil(nSeries / 3);
  const font = 'font "sans-serif,13" noenhanced background "#ffffff"';
  return [
    "set encoding utf8",
    `set terminal svg size ${WIDTH},${height} ${font} linewidth 1.2`,
    `set title ${quoted(title)}`,
    "set key outside below center horizontal samplen 2 height 1",
    "set border 3",
    "set tics nomirror",
    'set grid ytics linecolor rgb "#dddddd" linetype 1',
    "set style fill solid 1.0 noborder",
    'set errorbars small linecolor rgb "#000000"',
    "set autoscale xfixmax",
    "set offsets 0, graph 0.02, graph 0.04, 0",
  ];
}

// A curve, its spread as vertical lines, and its points. Two points are a line to compare with.
function curve({ title, points, colour, variant }, i) {
  const isGuide = points.length === 2 && points.every((point) => point.length === 2);
  const look = `linecolor rgb "${colour}"`;
  const dashes = isGuide ? 3 : variant + 1;
  const line = `with lines linewidth 2 dashtype ${dashes} ${look} title ${quoted(title)}`;
  const spread = `with vectors nohead linewidth 1.5 ${look} notitle`;
  const marks = `with points pointtype 7 pointsize 0.4 ${look} notitle`;
  return [
    `$d${i} using 1:2 ${line}`,
    ...(isGuide ? [] : [`$d${i} using 1:3:(0):($4-$3) ${spread}`, `$d${i} using 1:2 ${marks}`]),
  ];
}

function bar({ title, colour, variant }, i, width) {
  const look = `linecolor rgb "${lighter(colour, variant)}" title ${quoted(title)}`;
  return `$d${i} using 1:2:3:4:(${number(width)}) with boxerrorbars ${look}`;
}

// Texts become places on the x axis, with the bars of a place side by side.
function placed(series) {
  const names = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))];
  const width = BAR_SHARE / series.length;
  const at = (name, i) => names.indexOf(name) + (i + 0.5) * width - BAR_SHARE / 2;
  const moved = series.map((one, i) => ({
    ...one,
    points: one.points.map(([name, ...rest]) => [at(name, i), ...rest]),
  }));
  const tics = names.map((name, i) => `${quoted(name)} ${i}`).join(", ");
  const script = [`set xtics (${tics})`, `set xrange [-0.6:${names.length - 0.4}]`];
  return { moved, width, script };
}

export function plotScript(plot, cases) {
  const series = coloured(plot.series(cases));
  const isBars = series.some(({ points }) => points.some(([x]) => typeof x === "string"));
  const { moved, width, script } = isBars ? placed(series) : { moved: series, script: [] };
  const parts = moved.flatMap((one, i) => (isBars ? bar(one, i, width) : curve(one, i)));
  return [
    ...frame(plot.title, series.length),
    ...axes(plot),
    ...script,
    ...moved.map(({ points }, i) => block(i, points)),
    `plot ${parts.join(", \\\n  ")}`,
    "",
  ].join("\n");
}

// gnuplot says which version it is.
function withoutVersion(svg) {
  return svg.replace(/Produced by GNUPLOT [^<]*/, "Produced by gnuplot");
}

function render(script) {
  const { error, status, stdout, stderr } = spawnSync("gnuplot", [], { input: script });
  if (error || status !== 0 || stdout.length === 0) {
    const why = error?.message ?? stderr.toString();
    throw new Error(`gnuplot (Debian's gnuplot-nox, scripts/setup bench): ${why}`);
  }
  return withoutVersion(stdout.toString());
}

// Writes name.svg into the folder.
export function writePlot(plot, cases, folder) {
  writeFileSync(join(folder, `${plot.name}.svg`), render(plotScript(plot, cases)));
}
