// Asterisk is away for a while, or the browser is.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe } from 'node:test';
import { behind, it, mixed, pbx, rung, through, up, wanted } from '../lib/behind.js';

const refresh = 20_000; // ms until a browser has registered again by itself, at most

// SIP.js waits for 99 % of the time that it was given, which is little here.
const half = { refreshFrequency: 50 };

// kind is an Asterisk that asks every second for its contacts, wants to be asked often
// itself, and has a gateway that soon misses a browser.
const kind = (mode, suite = 'sid') => pbx(mode, suite, {
  settings: { ping: '2s', pong: '1s', reconnect_grace: '1s' },
  upstream: { redirects: 'recurse' },
  values: { QUALIFY: 1 },
  user: () => ({ aor: `minimum_expiration = 12\nmaximum_expiration = 12\n${suite === 'sid' ? 'qualify_2xx_only = yes\n' : ''}` }),
});

describe('Asterisk or a browser is away', { concurrency: 2 }, () => {
  for (const one of wanted(kind('relay'), kind('alias'), kind('relay', 'bullseye'), kind('trunk'))) {
    describe(one.name, { concurrency: 1 }, () => {
      if (one.mode !== 'trunk') {
        for (const [a, b] of mixed) sleeps(one, a, b);
        if (one.mode === 'relay' && one.suite === 'sid') for (const [a, b] of mixed) freezes(one, a, b);
      }
      restarts(one);
    });
  }
});

const both = (s, a, b) => Promise.all([s.open('alice', a, half), s.open('bob', b, half)]);

// status waits for what Asterisk thinks of a browser, unless it is so old that it takes any
// answer for a yes.
const status = (s, one, client, ContactStatus, after) =>
  one.suite !== 'sid' || s.pbx.asterisk.event({ Event: 'ContactStatus', AOR: client.user, ContactStatus }, after);

function sleeps(one, a, b) {
  behind(one, `${a} sleeps without a word: no call goes there, until it wakes and rings once`, async (s) => {
    const [alice, bob] = await Promise.all([s.wired('alice', a, half), s.open('bob', b, half)]);
    await status(s, one, alice, 'Reachable');
    const before = s.pbx.asterisk.count();
    alice.seen = (await alice.snapshot()).registrations;
    alice.wire.sleep();
    await status(s, one, alice, 'Unreachable', before);
    const none = await bob.call(alice.user);
    const { end } = await bob.state('ended', none);
    // 404: Asterisk has nobody to ask; 480: it has asked
    assert.deepEqual([end.status, end.by], [one.suite === 'sid' ? 404 : 480, 'remote']);
    const slept = s.pbx.asterisk.count();
    alice.wire.wake();
    await alice.registered();
    await status(s, one, alice, 'Reachable', slept);
    await through(s, bob, alice);
    assert.equal((await alice.messages('<', 'INVITE')).length, 1);
  });
}

// A page that the browser has frozen answers nothing, but its WebSocket lives: we answer for it.
function freezes(one, a, b) {
  behind(one, `the page of ${a} is frozen: it stays reachable, and rings when it thaws`, async (s) => {
    const [alice, bob] = await both(s, a, b);
    await status(s, one, alice, 'Reachable');
    const page = await alice.page.context().newCDPSession(alice.page);
    await page.send('Page.setWebLifecycleState', { state: 'frozen' });
    const before = s.pbx.asterisk.count();
    await asked(s, alice, 2);
    await bob.call(alice.user);
    await asked(s, alice, 2);
    assert.equal(s.pbx.asterisk.find({ Event: 'ContactStatus', AOR: alice.user }, before), undefined);
    await page.send('Page.setWebLifecycleState', { state: 'active' });
    const into = await alice.incoming();
    await alice.answer();
    await alice.hears(bob, into);
    await bob.hears(alice);
    assert.equal((await alice.messages('<', 'INVITE')).length, 1);
  });
}

// asked waits until Asterisk has asked for a browser so often more.
async function asked(s, client, times) {
  const [register] = await client.messages('>', 'REGISTER');
  const [, user] = /\r\nContact: *<sip:([^@]+)@/i.exec(register);
  const count = async () => (await s.pbx.asterisk.log()).split(`OPTIONS sip:${user}@`).length;
  for (const enough = await count() + times; await count() < enough;) await new Promise((resolve) => setTimeout(resolve, 100));
}

function restarts(one) {
  const keeps = one.mode !== 'trunk'; // the users

  behind(one, 'it is killed and starts anew without its memory: both libraries are reachable after a refresh', async (s) => {
    const { asterisk } = s.pbx;
    const [alice, bob] = await both(s, 'jssip', 'sipjs');
    const cut = await up(alice, '100');
    await alice.hears(alice);
    await asterisk.crash();
    const none = await bob.call('100');
    assert.equal((await bob.state('ended', none)).end.by, 'remote');
    await rm(join(asterisk.dir, 'astdb.sqlite3'), { force: true });
    await asterisk.again();
    await alice.hangup(cut);
    assert.match(await alice.toldBye(), /^SIP\/2\.0 481/);
    for (const client of [alice, bob]) {
      if (keeps) await asterisk.event({ Event: 'ContactStatus', AOR: client.user, ContactStatus: 'Reachable' }, 0, refresh);
      const { into } = await rung(s, client, '101');
      await client.answer();
      await client.hears(it, into);
      await client.hangup(into);
    }
    await through(s, alice, bob);
    const sent = await up(bob, '109'); // 302, which the gateway follows here
    await bob.hears(it, sent);
  }, { limit: 90_000 });
}
