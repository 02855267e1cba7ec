// Browsers whose users a real Kamailio keeps: it finds them by the Path that the gateway gives it.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { missing, startKamailio } from '../lib/kamailio.js';
import { foreign, scene } from '../lib/scene.js';

const numbers = 120; // as many scenes have users
const roles = ['alice', 'bob', 'carol'];
const users = Object.fromEntries(roles.flatMap((role) => Array.from({ length: numbers }, (_, n) => [`${role}${n + 1}`, 'secret'])));

let running; // for all scenes but those that have one of their own

after(() => running?.then((one) => one.stop(), () => {}));

function kept(name, body, { own, ...options } = {}) {
  scene(`Kamailio keeps the users: ${name}`, async (s) => {
    if (own) s.kamailio = s.keep(await startKamailio({ users, ...own }));
    else s.kamailio = await (running ??= startKamailio({ users }));
    s.gateway = s.kamailio.gateway;
    await body(s);
  }, { skip: foreign || missing, ...options });
}

const talk = (x, y) => Promise.all([x.state('up'), y.state('up'), x.hears(y), y.hears(x)]);

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  kept(`${a} calls ${b}, they hear each other; it holds, and hangs up`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.act('hold');
    await bob.deaf(alice);
    await alice.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
    await bob.act('hold');
    await alice.deaf(bob);
    await bob.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
    await alice.hangup();
    assert.equal((await bob.state('ended')).end.by, 'remote');
    assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
  }, { limit: 75_000 });

  kept(`${b}, called by ${a}, hangs up; digits and texts arrive`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    for (const digit of ['4', '2']) await alice.act('dtmf', { args: [digit] });
    await bob.when((host) => host.last().dtmf.join('') === '42');
    assert.equal(await bob.message(alice, 'f\u00fcr \u00d6l \u2603'), 200);
    await alice.when((host) => host.inbox.at(-1)?.text === 'f\u00fcr \u00d6l \u2603');
    await bob.hangup();
    assert.equal((await alice.state('ended')).end.by, 'remote');
    assert.match(await bob.toldBye(), /^SIP\/2\.0 200/);
  });

  kept(`${a} gives up while ${b} rings`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.state('ringing');
    await alice.hangup();
    await Promise.all([alice.state('ended'), bob.state('ended')]);
    await bob.saw('<', 'CANCEL');
  });

  kept(`${a} is told why there is no call: 480, 404, and 486, 603 by ${b}`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    for (const [whom, status] of [[s.name('carol'), 480], ['nobody-of-that-name', 404]]) {
      const { end } = await alice.state('ended', await alice.call(whom));
      assert.deepEqual([end.status, end.by], [status, 'remote']);
    }
    for (const status of [486, 603]) {
      const id = await alice.call(bob);
      await bob.incoming();
      await alice.state('ringing', id);
      await bob.act('reject', { args: [status] });
      const { end } = await alice.state('ended', id);
      assert.deepEqual([end.status, end.by], [status, 'remote']);
    }
  });

  kept(`${a} sends ${b} on to another: blind REFER`, async (s) => {
    const [alice, bob, carol] = await Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', a)]);
    const { out } = await s.connect(alice, bob);
    await alice.act('refer', { id: out, args: [carol.user] });
    await carol.incoming();
    await carol.answer();
    await talk(bob, carol);
    await alice.when((host, id) => host.last(id).transfer === 200, out);
    await alice.hangup(out);
    await bob.when((host) => host.calls[0].state === 'ended');
    await talk(bob, carol);
  });

  kept(`${a} connects its two calls, with ${b} and ${a}: attended REFER`, async (s) => {
    const [alice, bob, carol] = await Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', a)]);
    const first = await s.connect(alice, bob);
    await alice.act('hold', { id: first.out });
    const second = await s.connect(alice, carol);
    await alice.page.evaluate(
      ([call, other]) => { window.host.act('referAttended', call, window.host.last(other)); },
      [first.out, second.out],
    );
    await carol.when((host) => host.calls.length === 2 && host.calls[1].state === 'up');
    await talk(bob, carol);
    await alice.state('ended', second.out);
    assert.match((await bob.messages('>', 'INVITE'))[0], /\r\nReplaces:/i);
  });

  kept(`a call rings in two tabs: ${a} answers, ${b} stops`, async (s) => {
    const [alice, first, second] = await Promise.all([s.open('alice', b), s.open('bob', a), s.open('bob', b)]);
    await alice.call(first);
    await Promise.all([first.incoming(), second.incoming()]);
    await first.answer();
    await Promise.all([alice.state('up'), first.state('up')]);
    await second.state('ended');
    await Promise.all([alice.hears(first), first.hears(alice)]);
    await alice.hangup();
    await first.state('ended');
  });

  kept(`${a} loses its WebSocket in a call with ${b}: the call goes on, and it is called again`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.cut();
    await alice.registered();
    await alice.act('hold');
    await bob.deaf(alice);
    await alice.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
    await bob.cut();
    await bob.registered();
    await bob.hangup();
    assert.equal((await alice.state('ended')).end.by, 'remote');
    await s.connect(bob, alice);
    await alice.hangup();
    assert.equal((await bob.state('ended')).end.by, 'remote');
  });

  kept(`the page of ${b} is reloaded: one call of ${a} rings once`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await bob.start();
    await bob.registered();
    await s.connect(alice, bob);
    assert.equal((await bob.messages('<', 'INVITE')).length, 1);
    await alice.hangup();
    await bob.state('ended');
  });

  kept(`${a} with a wrong password is refused`, async (s) => {
    const alice = await s.tab('alice', a, { password: 'wrong' });
    assert.equal((await alice.when((host) => host.status.refused)).status, 401);
  });
}

// registered waits until a phone has been registered n times, refreshes too, and tells how often it was.
const registered = (client, n = 1) => client.when((host, n) => {
  const times = host.messages().filter((m) => m.dir === '<' && /^SIP\/2\.0 200.*\r\nCSeq: *\d+ REGISTER/is.test(m.text)).length;
  return times >= n && times;
}, n, 40_000);

kept('Kamailio is restarted: its call goes on, and after a refresh both are called again', async (s) => {
  const [alice, bob] = await s.two('jssip', 'sipjs');
  await s.connect(alice, bob);
  await s.kamailio.restart();
  const seen = await Promise.all([alice, bob].map((c) => registered(c)));
  await bob.hangup(); // it keeps no state of calls
  assert.equal((await alice.state('ended')).end.by, 'remote');
  await Promise.all([alice, bob].map((c, n) => registered(c, seen[n] + 1)));
  await s.connect(alice, bob);
  await alice.hangup();
  await bob.state('ended');
  await s.connect(bob, alice);
}, { own: { settings: { relay_expires: '30s' } }, limit: 75_000 });
