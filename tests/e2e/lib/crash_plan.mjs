// When the hub is killed: a list of moments made from a seed, so that a run's plan can be had again.
//
//   const plan = planOf(20, seed);      // [{ kind: 'load', x: 0.37 }, ...]; what a kind is: MOMENTS in crash_run.mjs
//   const seed = newSeed();             // or BELFRY_CRASH_SEED
import { randomInt } from 'node:crypto';

const MODULUS = 2147483647; // a prime; with the factor below every seed in between gives a period of all numbers

export function newSeed() {
  return Number(process.env.BELFRY_CRASH_SEED ?? randomInt(1, MODULUS));
}

/** Numbers from 0 to below 1. */
function randomFrom(seed) {
  if (!Number.isInteger(seed) || seed < 1 || seed >= MODULUS) throw new Error(`the seed ${seed} is not an integer from 1 to ${MODULUS - 1}`);
  let state = seed;
  const next = () => {
    state = (state * 48271) % MODULUS;
    return (state - 1) / (MODULUS - 1);
  };
  for (let i = 0; i < 8; i += 1) next(); // small seeds begin with small numbers
  return next;
}

// Those of a hub that serves are as frequent as those of one that is only about to.
const KINDS = ['load', 'starting', 'answer', 'early', 'push', 'returning'];

/** Every kind as often as the others, in random order; the first one finds everybody there. */
export function planOf(nKills, seed) {
  const random = randomFrom(seed);
  const kinds = Array.from({ length: nKills }, (_, i) => KINDS[i % KINDS.length]);
  for (let i = kinds.length - 1; i > 1; i -= 1) {
    const k = 1 + Math.floor(random() * i);
    [kinds[i], kinds[k]] = [kinds[k], kinds[i]];
  }
  return kinds.map(kind => ({ kind, x: random() }));
}
