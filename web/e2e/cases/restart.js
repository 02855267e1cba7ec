// The gateway is told to stop while calls are up and one rings, and is started again.

import assert from 'node:assert/strict';
import { foreign, scene } from '../lib/scene.js';

const slow = 25_000; // ms: longer than the gateway lets what rings go on

scene('SIGTERM: what rings is ended, what is up outlives the restart and is hung up from both sides', async (s) => {
  const gateway = await s.alone();
  const [alice, bob, carol, dave, erin, frank] = await Promise.all([
    s.open('alice', 'jssip'), s.open('bob', 'sipjs'), s.open('carol', 'sipjs'), s.open('dave', 'jssip'),
    s.open('erin', 'jssip'), s.open('frank', 'sipjs')]);
  const talking = [[alice, bob], [carol, dave]];
  await Promise.all(talking.map(([a, b]) => s.connect(a, b)));
  await erin.call(frank);
  await frank.incoming();
  await erin.state('ringing');
  const everybody = [alice, bob, carol, dave, erin, frank];
  for (const client of everybody) client.seen = (await client.snapshot()).registrations;
  await Promise.all(talking.flat().map(watchMedia));

  const code = gateway.end();
  const [refused] = await Promise.all([erin.state('ended', null, slow), frank.state('ended', null, slow)]);
  assert.equal(refused.end.status, 503, `the caller is told ${JSON.stringify(refused.end)}`);
  await frank.saw('<', 'CANCEL');
  assert.equal(await code, 0, 'exit code');
  for (const client of everybody) {
    assert.equal(await client.saw('*', 'WebSocket closed'), 'WebSocket closed 1012', client.user);
  }
  const before = await Promise.all(talking.flat().map((client) => client.stats()));
  await hearing(talking); // with no gateway at all

  await gateway.again();
  await Promise.all(everybody.map((client) => client.registered()));
  await hearing(talking);
  for (const [i, client] of talking.flat().entries()) {
    assert.ok((await client.stats()).packetsReceived > before[i].packetsReceived, `${client.user} receives no more`);
    assert.deepEqual(await client.page.evaluate(() => window.lost), [], `${client.user}: media stopped`);
  }
  await Promise.all([alice.hangup(), dave.hangup()]); // who called, and who was called
  const ends = await Promise.all([bob.state('ended'), carol.state('ended')]);
  assert.deepEqual(ends.map((call) => call.end.by), ['remote', 'remote']);
  for (const client of [alice, dave]) assert.match(await client.toldBye(), /^SIP\/2\.0 200/);
  await s.connect(erin, frank);
}, { limit: 75_000, skip: foreign });

// watchMedia notes every state of the call's media but connected.
const watchMedia = (client) => client.page.evaluate(() => {
  const { pc } = window.host.last();
  window.lost = [];
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState !== 'connected') window.lost.push(pc.connectionState);
  });
});

const hearing = (pairs) => Promise.all(pairs.flatMap(([a, b]) => [a.hears(b), b.hears(a)]));
