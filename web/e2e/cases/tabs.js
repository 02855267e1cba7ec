// Several tabs, closed tabs, reloaded tabs.

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

for (const [answering, other] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`a call rings in two tabs: ${answering} answers, ${other} stops with a Reason (RFC 3326)`, async (s) => {
    const [alice, first, second] = await Promise.all([
      s.open('alice', 'jssip'), s.open('bob', answering), s.open('bob', other)]);
    await alice.call(first);
    await Promise.all([first.incoming(), second.incoming()]);
    await first.answer();
    await Promise.all([alice.state('up'), first.state('up')]);
    const silent = await second.state('ended');
    assert.match(silent.end.reason ?? '(none)', /^SIP\s*;\s*cause=200/i);
    await Promise.all([alice.hears(first), first.hears(alice)]);
    await alice.hangup();
    await first.state('ended');
  });
}

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`the tab of ${b} closes while it rings: ${a} is told 480`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.state('ringing');
    await bob.closeTab();
    assert.equal((await alice.state('ended')).end.status, 480);
  });

  scene(`the tab of ${a} closes while ${b} rings: the ringing stops`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.closeTab();
    await bob.state('ended');
    await bob.saw('<', 'CANCEL');
  });

  scene(`the tab of ${b} closes in a call: ${a} gets a BYE`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.closeTab();
    const call = await alice.state('ended');
    assert.equal(call.end.by, 'remote');
    await alice.saw('<', 'BYE');
  });

  scene(`the page of ${b} is reloaded in a call: ${a} gets a BYE and can call again`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.start();
    await bob.registered();
    assert.equal((await alice.state('ended')).end.by, 'remote');
    await s.connect(alice, bob);
    await bob.hangup();
    await alice.state('ended');
  });

  scene(`the page of ${b} is reloaded: one call of ${a} rings once`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await bob.start();
    await bob.registered();
    await s.connect(alice, bob);
    assert.equal((await bob.messages('<', 'INVITE')).length, 1);
    await alice.hangup();
    await bob.state('ended');
  });
}
