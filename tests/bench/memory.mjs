// What processes hold in memory, in bytes: exact, from smaps_rollup (the counters in
// /proc/PID/status may lag behind by some hundred kilobytes).
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 100;
const STEADY_POLLS = 10;
const STEADY_BYTES = 16 * 1024;
const STEADY_SHARE = 0.001; // collectors of garbage never rest
const PATIENCE_POLLS = 300;

function residentOf(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return 1024 * Number(/^Rss: +(\d+) kB/m.exec(text)[1]);
}

// The most that was resident since the process began.
export function peakMemory(pid) {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(text)[1]);
}

function isSteady(readings) {
  const most = Math.max(...readings);
  const slack = Math.max(STEADY_BYTES, STEADY_SHARE * most);
  return readings.length === STEADY_POLLS && most - Math.min(...readings) <= slack;
}

// What is resident of all of them, read until the last second's readings agree.
export async function settledMemory(pids) {
  const readings = [];
  for (let i = 0; i < PATIENCE_POLLS; i++) {
    readings.push(pids.reduce((sum, pid) => sum + residentOf(pid), 0));
    if (isSteady(readings.slice(-STEADY_POLLS))) {
      return readings.at(-1);
    }
    await delay(POLL_MS);
  }
  throw new Error(`the memory of the processes ${pids.join(", ")} does not settle`);
}
