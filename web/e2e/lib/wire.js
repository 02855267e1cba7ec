// A piece of network between one browser and the gateway, which a test can
// pull out or swap.

import { connect, createServer } from 'node:net';

// wire forwards from a free port to the WebSocket URL of the gateway.
export async function wire(wsUrl) {
  const { hostname, port, pathname } = new URL(wsUrl);
  const pairs = new Set();
  const kept = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    const pair = { near, far };
    pairs.add(pair);
    for (const [one, other] of [[near, far], [far, near]]) {
      one.setNoDelay(true);
      one.on('error', () => {});
      one.on('close', () => {
        if (kept.has(other)) return;
        pairs.delete(pair);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    wsUrl: `ws://127.0.0.1:${server.address().port}${pathname}`,

    // reset breaks the connection for both ends, with no closing handshake.
    reset() {
      for (const { near, far } of pairs) {
        near.resetAndDestroy();
        far.resetAndDestroy();
      }
    },

    // swap is a change of network: the browser's connection breaks, while the
    // gateway hears nothing more of it, not even that it is gone.
    swap() {
      for (const { near, far } of pairs) {
        near.unpipe(far);
        far.unpipe(near);
        far.resume();
        kept.add(far);
        near.resetAndDestroy();
      }
      pairs.clear();
    },

    // sleep is a machine that sleeps: neither end hears anything of the other; wake
    // is that the browser learns what became of its connection.
    sleep() {
      for (const { near, far } of pairs) {
        near.unpipe(far).pause();
        far.unpipe(near).pause();
        kept.add(near).add(far);
      }
    },

    wake() {
      for (const { near, far } of pairs) {
        near.resetAndDestroy();
        far.destroy();
      }
      pairs.clear();
    },

    stop() {
      for (const { near, far } of pairs) {
        near.destroy();
        far.destroy();
      }
      for (const far of kept) far.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
