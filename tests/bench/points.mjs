// Summaries of cases as the points that plots are drawn from.

export function point(x, { median, min, max }) {
  return [x, median, min, max];
}

// A curve for each system, of one value; x tells where a case is.
export function perSystem(cases, key, x) {
  const titles = [...new Set(cases.map((one) => one.case))];
  return titles.map((title) => {
    const own = cases.filter((one) => one.case === title);
    return { title, points: own.map((one) => point(x(one), one.values[key])) };
  });
}
