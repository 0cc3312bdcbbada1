// What must be true after all kills, of plain records; the words of everything that is not.
//
//   const findings = findingsOf({ history, entries, watchers });
//       history   Map of channel -> { epoch, top, publications: [{ offset, id }] } as the hub tells it at the end
//       entries   [{ id, channel, hasKey, offset, epoch }]: what was sent, and where it was acknowledged
//       watchers  [{ seen: Map of channel -> [{ offset, id }], epochs: Map of channel -> epoch }]

function* historyFindings(channel, { top, publications }, sent) {
  if (publications.length !== top) yield `${channel} has ${publications.length} publications and its top is ${top}`;
  const known = new Set();
  for (const [i, { offset, id }] of publications.entries()) {
    if (offset !== i + 1) yield `${channel} has ${offset} where ${i + 1} comes next`;
    if (known.has(id)) yield `${channel} has ${id} twice, again at ${offset}`;
    if (!sent.has(id)) yield `${channel} has ${id} at ${offset}, which nobody sent there`;
    known.add(id);
  }
}

function* entryFindings({ id, channel, hasKey, offset, epoch }, history) {
  if (offset === undefined) {
    if (hasKey) yield `${id} in ${channel} was never acknowledged, though it was repeated`;
    return;
  }
  const kept = history.publications[offset - 1];
  if (kept?.id !== id) yield `${id} in ${channel} was acknowledged at ${offset}, where there is ${kept?.id ?? 'nothing'}`;
  if (epoch !== history.epoch) yield `${id} in ${channel} was acknowledged in the epoch ${epoch}, now it is ${history.epoch}`;
}

function* watcherFindings(name, channel, seen, epoch, history) {
  if (epoch !== history.epoch) yield `${name} is in the epoch ${epoch} of ${channel}, now it is ${history.epoch}`;
  if (seen.length !== history.publications.length) yield `${name} saw ${seen.length} of ${history.publications.length} in ${channel}`;
  for (const [i, { offset, id }] of seen.entries()) {
    const kept = history.publications[i];
    if (offset !== kept?.offset || id !== kept?.id) {
      yield `${name} saw ${id} at ${offset} as number ${i + 1} of ${channel}, where history has ${kept?.id ?? 'nothing'}`;
      return; // all that follow are shifted too
    }
  }
}

function sentByChannel(entries, channels) {
  const sent = new Map([...channels].map(channel => [channel, new Set()]));
  for (const { channel, id } of entries) sent.get(channel).add(id);
  return sent;
}

export function findingsOf({ history, entries, watchers }) {
  const sent = sentByChannel(entries, history.keys());
  const findings = [];
  for (const [channel, kept] of history) findings.push(...historyFindings(channel, kept, sent.get(channel)));
  for (const entry of entries) findings.push(...entryFindings(entry, history.get(entry.channel)));
  for (const [i, { seen, epochs }] of watchers.entries()) {
    for (const [channel, list] of seen) findings.push(...watcherFindings(`watcher ${i}`, channel, list, epochs.get(channel), history.get(channel)));
  }
  return findings;
}
