// Times as people read them. Every element given to showAge() is kept up to date.

const ages = new Map();

export function clockTime(date) {
  return date.toLocaleTimeString('en-GB');
}

function ageText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 2) return 'just now';
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

/** element shows "<prefix> n s ago<suffix>" from now on; at null: its text stays as it is. */
export function showAge(element, at, prefix = '', suffix = '') {
  if (at === null) {
    ages.delete(element);
    return;
  }
  ages.set(element, { at, prefix, suffix });
  tick();
}

function tick() {
  for (const [element, { at, prefix, suffix }] of ages) {
    const text = `${prefix}${ageText(Date.now() - at)}${suffix}`;
    if (element.textContent !== text) element.textContent = text;
  }
}

setInterval(tick, 1000);
