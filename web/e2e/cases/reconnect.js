// The WebSocket goes and comes back; the call stays (RFC 5626, and flow tokens
// that name the instance).

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`${a} loses its WebSocket in a call with ${b} and hangs up on the new one`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.cut();
    await alice.registered();
    await alice.hangup();
    const [mine, theirs] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(mine.end.by, 'local');
    assert.equal(theirs.end.by, 'remote');
    await bob.saw('<', 'BYE');
  });

  scene(`${a} loses its WebSocket in a call, ${b} hangs up afterwards`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.cut();
    await alice.registered();
    await bob.hangup();
    const [mine] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(mine.end.by, 'remote');
    assert.match(await bob.toldBye(), /^SIP\/2\.0 200/);
  });

  scene(`${a} loses its WebSocket in a call, ${b} hangs up before it is back`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.cut();
    await bob.hangup();
    assert.equal((await alice.state('ended')).end.by, 'remote');
    assert.match(await bob.toldBye(), /^SIP\/2\.0 200/);
  });

  scene(`${b}, called by ${a}, loses its WebSocket and hangs up on the new one`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.cut();
    await bob.registered();
    await bob.hangup();
    const [mine] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(mine.end.by, 'remote');
    assert.match(await bob.toldBye(), /^SIP\/2\.0 200/);
  });

  scene(`${b}, called by ${a}, loses its WebSocket; ${a} hangs up afterwards`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.cut();
    await bob.registered();
    await alice.hangup();
    const [, theirs] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(theirs.end.by, 'remote');
    assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
  });

  scene(`${a} loses its WebSocket in a call with ${b}, then holds and resumes`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.cut();
    await alice.registered();
    await alice.act('hold');
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await alice.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
    await bob.act('hold');
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await bob.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
    await alice.hangup();
    await bob.state('ended');
  });

  scene(`both ends of a call of ${a} and ${b} lose their WebSockets at once`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await Promise.all([alice.cut(), bob.cut()]);
    await Promise.all([alice.registered(), bob.registered()]);
    await bob.act('hold');
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await alice.hangup();
    await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
  });
}

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`${a}'s connection is reset in a call with ${b}: both still reach each other`, async (s) => {
    const [alice, bob] = await Promise.all([s.wired('alice', a), s.open('bob', b)]);
    await s.connect(alice, bob);
    await alice.cut(() => alice.wire.reset());
    await alice.registered();
    await alice.act('reinvite');
    await bob.act('dtmf', { args: ['7'] });
    await alice.when((host) => host.last().dtmf.join('') === '7');
    await bob.hangup();
    await alice.state('ended');
  });

  scene(`${a} changes its network in a call with ${b} and the gateway is not told: both still reach each other`, async (s) => {
    const [alice, bob] = await Promise.all([s.wired('alice', a), s.open('bob', b)]);
    await s.connect(alice, bob);
    await alice.cut(() => alice.wire.swap());
    await alice.registered();
    await bob.act('dtmf', { args: ['7'] });
    await alice.when((host) => host.last().dtmf.join('') === '7');
    await alice.act('hold');
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await alice.hangup();
    await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
  });
}

scene('sipjs with an instance and a reg-id (RFC 5626) survives a cut like without', async (s) => {
  const [alice, bob] = await Promise.all([s.open('alice', 'jssip'), s.open('bob', 'sipjs', { outbound: true })]);
  await s.connect(alice, bob);
  await bob.cut();
  await bob.registered();
  await bob.act('hold');
  await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
  await alice.hangup();
  await Promise.all([alice.state('ended'), bob.state('ended')]);
  assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
});

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`${b} loses its WebSocket while ${a} calls, and answers on the new one`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.state('ringing');
    await bob.cut();
    await bob.registered();
    await bob.when((host, n) => host.calls.length === n, b === 'jssip' ? 2 : 1); // JsSIP has forgotten it, and it rings anew
    const into = await bob.incoming();
    await bob.answer();
    await Promise.all([alice.state('up'), bob.state('up', into)]);
    await Promise.all([alice.hears(bob), bob.hears(alice, into)]);
    await alice.hangup();
    await bob.state('ended', into);
  });
}
