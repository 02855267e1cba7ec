// Every SIP message that crosses a WebSocket of this page, and the sockets
// themselves, whichever library opened them.

export const messages = [];
const sockets = new Set();
let changed = () => {};

export const onTrace = (f) => {
  changed = f;
};

function note(dir, data) {
  const text = typeof data === 'string' ? data : new TextDecoder().decode(data);
  messages.push({ at: performance.timeOrigin + performance.now(), dir, text });
  changed();
}

class TracedWebSocket extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.add(this);
    super.addEventListener('message', ({ data }) => note('<', data));
    super.addEventListener('open', () => note('*', 'WebSocket open'));
    super.addEventListener('close', ({ code }) => {
      sockets.delete(this);
      note('*', `WebSocket closed ${code}`);
    });
  }

  send(data) {
    note('>', data);
    super.send(data);
  }
}

window.WebSocket = TracedWebSocket;

// cut closes the WebSocket under the library, which learns of it like of any
// other loss.
export function cut() {
  for (const socket of sockets) socket.close();
}

const frequent = /^(CSeq|Reason|Warning|Call-ID|f|From|To|Refer-To|Replaces|Expires|Contact)\s*:/i;

// ladder is the trace as lines for a failure report.
export function ladder() {
  return messages.map(({ at, dir, text }) => {
    const [first, ...rest] = text.split('\r\n');
    const shown = rest.slice(0, rest.indexOf('')).filter((l) => frequent.test(l));
    return [`${new Date(at).toISOString().slice(11, 23)} ${dir} ${first || '(keep-alive)'}`, ...shown].join('\n      ');
  });
}
