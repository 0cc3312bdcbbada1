// A subscription that also tells what was kept for it: the history at first, and after a lost
// connection how many publications were missed and recovered.

const HISTORY_LIMIT = 20;

/** handlers: history(publications, oldest first) once, then publication(publication) for each;
 *  recovered(count) after a reconnect, or lost() when the history does not reach that far;
 *  refused(reason). Returns a function that ends it. */
export function follow(client, channel, handlers) {
  const sub = client.newSubscription(channel, { positioned: true, recoverable: true });
  let early = []; // what came while the history was being read; null from then on
  let isFirst = true;
  let isOver = false;
  let nReceived = 0;

  async function begin(context) {
    const publications = await history(sub, context);
    if (isOver) return;
    handlers.history(publications);
    early.forEach(handlers.publication);
    early = null;
  }

  // The client emits the recovered publications in the same turn, right after `subscribed`.
  function countRecovered() {
    const before = nReceived;
    queueMicrotask(() => handlers.recovered?.(nReceived - before));
  }

  sub.on('publication', publication => {
    // A feed's last snapshot, which every new subscriber gets, has no offset: here the history has it.
    if (publication.offset === undefined) return;
    nReceived += 1;
    if (early) early.push(publication);
    else handlers.publication(publication);
  });
  sub.on('subscribed', context => {
    if (isFirst) begin(context);
    else if (context.recovered) countRecovered();
    else if (context.wasRecovering) handlers.lost?.();
    isFirst = false;
  });
  sub.on('unsubscribed', ({ code, reason }) => code !== 0 && handlers.refused(`${reason} (${code})`));
  sub.subscribe();

  return () => {
    isOver = true;
    sub.unsubscribe();
    client.removeSubscription(sub);
  };
}

/** Up to the position of the subscription: what is later arrives as a publication. */
async function history(sub, { streamPosition }) {
  if (!streamPosition) return [];
  try {
    const { publications } = await sub.history({ limit: HISTORY_LIMIT, reverse: true });
    return publications.filter(({ offset }) => offset <= streamPosition.offset).reverse();
  } catch {
    return []; // the namespace keeps none, or does not show it
  }
}
