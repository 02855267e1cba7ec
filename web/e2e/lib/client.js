// A browser tab with one SIP phone in it, as the tests drive it.

const patience = 10_000; // ms that anything on one machine may take

// Client hides that the phone lives in a page.
export class Client {
  constructor(page, config) {
    this.page = page;
    this.config = config;
    this.user = config.user;
    this.library = config.library;
    this.hz = config.hz;
    this.log = [];
    page.on('pageerror', (error) => this.log.push(`page error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') this.log.push(`console: ${message.text()}`);
    });
  }

  // start loads the page and begins to register.
  async start(url) {
    this.url = url ?? this.url;
    this.seen = 0;
    await this.page.goto(this.url);
    await this.open();
  }

  open() {
    return this.page.evaluate(({ library, ...config }) => window.host.open(library, config), this.config);
  }

  // when waits until test(host, arg) gives something true in the page.
  async when(test, arg = null, ms = patience) {
    const what = `${this.user}: ${test}`;
    return this.page.evaluate(
      ({ source, arg, ms, what }) => {
        const test = (0, eval)(`(${source})`);
        return window.host.when((host) => test(host, arg), ms, what);
      },
      { source: String(test), arg, ms, what },
    );
  }

  // registered waits for a registration, after a cut for a new one.
  registered() {
    return this.when((host, seen) => host.status.registered && host.status.registrations > seen, this.seen);
  }

  snapshot() {
    return this.page.evaluate(() => window.host.snapshot());
  }

  // call returns the call's id at once.
  call(target, options = {}) {
    const user = target.user ?? target;
    return this.page.evaluate(({ user, options }) => {
      const call = window.host.phone.call(user, options);
      return call.id;
    }, { user, options });
  }

  // incoming waits for a call that rings and gives its id.
  incoming() {
    return this.when((host) => {
      const call = host.calls.at(-1);
      return call?.direction === 'in' && call.state === 'ringing' && call.id;
    });
  }

  state(state, id = null, ms = patience) {
    return this.when((host, { state, id }) => {
      const call = id ? host.calls.find((c) => c.id === id) : host.calls.at(-1);
      return call?.state === state && call.snapshot();
    }, { state, id }, ms);
  }

  // act runs answer, hold, unhold, reinvite, dtmf, reject, hangup, refer on
  // the newest call or the one with that id.
  act(method, { id = null, args = [] } = {}) {
    return this.page.evaluate(
      async ({ method, id, args }) => {
        await window.host.act(method, id, ...args);
      },
      { method, id, args },
    );
  }

  answer(options = {}) {
    return this.act('answer', { args: [options] });
  }

  hangup(id) {
    return this.act('hangup', { id });
  }

  message(to, text) {
    return this.page.evaluate(({ to, text }) => window.host.phone.message(to, text), { to: to.user ?? to, text });
  }

  // hears waits until the other client's tone arrives here.
  hears(other, id = null, ms = patience) {
    return this.when((host, { hz, id }) => host.last(id).hears(hz), { hz: other.hz, id }, ms);
  }

  // deaf waits until that tone has been away for ten looks in a row.
  deaf(other, id = null) {
    return this.when((host, { hz, id }) => host.last(id).deaf(hz, 10), { hz: other.hz, id });
  }

  // sees waits until the picture of the other side has changed n times.
  sees(n = 5) {
    return this.when((host, n) => {
      const now = host.last().picture();
      if (!now?.lit) return false;
      host.sums ??= new Set();
      host.sums.add(now.sum);
      return host.sums.size > n && now.frames > n && now.frames;
    }, n);
  }

  stats() {
    return this.page.evaluate(() => window.host.last().stats());
  }

  // sent and received find messages by the start of their first line.
  messages(dir, start) {
    return this.page.evaluate(
      ({ dir, start }) => window.host.messages().filter((m) => m.dir === dir && m.text.startsWith(start)).map((m) => m.text),
      { dir, start },
    );
  }

  // saw waits for a message; dir is '<' or '>'.
  saw(dir, start, n = 1) {
    return this.when(
      (host, { dir, start, n }) => host.messages().filter((m) => m.dir === dir && m.text.startsWith(start))[n - 1]?.text,
      { dir, start, n },
    );
  }

  // cut closes the WebSocket under the library, or breaks it otherwise, and
  // waits until it is gone. The library may be back before the test looks again.
  async cut(how = () => this.page.evaluate(() => window.host.cut())) {
    const closed = (await this.messages('*', 'WebSocket closed')).length;
    this.seen = (await this.snapshot()).registrations;
    await how();
    await this.saw('*', 'WebSocket closed', closed + 1);
  }

  // toldBye waits for the answer to a BYE that was sent here.
  toldBye() {
    return this.when((host) => host.messages().find((m) =>
      m.dir === '<' && /^SIP\/2\.0 [2-6]/.test(m.text) && /\r\nCSeq: *\d+ BYE/i.test(m.text))?.text);
  }

  async ladder() {
    const lines = await this.page.evaluate(() => window.host?.ladder() ?? []).catch(() => ['(page is gone)']);
    return [`--- ${this.user} (${this.library})`, ...lines, ...this.log].join('\n');
  }

  async close() {
    await this.page.context().close();
  }

  // closeTab closes the tab like a user does.
  closeTab() {
    return this.page.close({ runBeforeUnload: false });
  }
}
