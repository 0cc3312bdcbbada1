// The systems under test. One has a name, a title, what it can do (pings: at an interval that is
// asked for; tls), and start(bench, options), which gives
//   protocol, port, path, publishPath, key, tls   how clients subscribe and publishers publish
//   pids()                                        the processes that do the work
//   stop()
import * as belfry from "./belfry.mjs";
import * as floor from "./floor.mjs";
import * as nats from "./nats.mjs";
import * as nchan from "./nchan.mjs";
import * as redis from "./redis.mjs";
import * as socketio from "./socketio.mjs";
import * as tornado from "./tornado.mjs";
import * as ws from "./ws.mjs";

export { belfry, floor, nats, nchan, redis, socketio, tornado, ws };

export const PEERS = [nchan, nats, redis, ws, socketio, tornado];
export const ALL = [belfry, floor, ...PEERS];

// The system with options of its own.
export function variant(system, name, title, options) {
  const start = (bench, others) => system.start(bench, { ...options, ...others });
  return { ...system, name, title, start };
}
