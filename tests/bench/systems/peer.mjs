// What servers of ours and others have in common that say where they listen and are ended by a
// kill: they have nothing to put in order.
import { Program } from "../program.mjs";

const OURS = /^listening (\d+)$/;

export async function startPeer(title, command, args, pattern = OURS) {
  const program = new Program(title, command, args);
  const [, port] = await program.line(pattern);
  return {
    program,
    port: Number(port),
    pids: () => [program.pid],
    stop: () => program.kill(),
  };
}

// Such a server that clients of a bare WebSocket subscribe to by its path.
export async function startWebSocketPeer(title, command, args) {
  const peer = await startPeer(title, command, args);
  return { ...peer, protocol: "websocket", path: "/sub/", publishPath: "/publish/" };
}
