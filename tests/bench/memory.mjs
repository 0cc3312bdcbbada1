// What a process holds in memory, in bytes: exact, from smaps_rollup (the counters in
// /proc/PID/status may lag behind by some hundred kilobytes).
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 100;
const STEADY_POLLS = 10;
const STEADY_BYTES = 16 * 1024;
const PATIENCE_POLLS = 300;

export function memory(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const bytes = (key) => 1024 * Number(new RegExp(`^${key}: +(\\d+) kB`, "m").exec(text)[1]);
  return { resident: bytes("Rss"), anonymous: bytes("Anonymous") };
}

// The most that was resident since the process began.
export function peakMemory(pid) {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(text)[1]);
}

// Reads until the last second's readings agree.
export async function settledMemory(pid) {
  const readings = [];
  for (let i = 0; i < PATIENCE_POLLS; i++) {
    readings.push(memory(pid));
    const recent = readings.slice(-STEADY_POLLS).map((reading) => reading.resident);
    if (recent.length === STEADY_POLLS && Math.max(...recent) - Math.min(...recent) <= STEADY_BYTES) {
      return readings.at(-1);
    }
    await delay(POLL_MS);
  }
  throw new Error(`the memory of process ${pid} does not settle`);
}
