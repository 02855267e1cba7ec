// The gateway is told to stop while calls are up, and is started again.

import assert from 'node:assert/strict';
import { foreign, scene } from '../lib/scene.js';

scene('SIGTERM: calls that are up outlive the restart and are hung up from both sides', async (s) => {
  const gateway = await s.alone({ settings: { dead_peer_bye: '60s' } });
  const [alice, bob, carol, dave] = await Promise.all([
    s.open('alice', 'jssip'), s.open('bob', 'sipjs'), s.open('carol', 'sipjs'), s.open('dave', 'jssip')]);
  const talking = [[alice, bob], [carol, dave]];
  await Promise.all(talking.map(([a, b]) => s.connect(a, b)));
  const everybody = talking.flat();
  for (const client of everybody) client.seen = (await client.snapshot()).registrations;
  await Promise.all(everybody.map(watchMedia));

  assert.equal(await gateway.end(), 0, 'exit code');
  for (const client of everybody) {
    assert.equal(await client.saw('*', 'WebSocket closed'), 'WebSocket closed 1012', client.user);
  }
  const before = await Promise.all(everybody.map((client) => client.stats()));
  await hearing(talking); // with no gateway at all

  await gateway.again();
  await Promise.all(everybody.map((client) => client.registered()));
  await hearing(talking);
  for (const [i, client] of everybody.entries()) {
    assert.ok((await client.stats()).packetsReceived > before[i].packetsReceived, `${client.user} receives no more`);
    assert.deepEqual(await client.page.evaluate(() => window.lost), [], `${client.user}: media stopped`);
  }
  await Promise.all([alice.hangup(), dave.hangup()]); // who called, and who was called
  const ends = await Promise.all([bob.state('ended'), carol.state('ended')]);
  assert.deepEqual(ends.map((call) => call.end.by), ['remote', 'remote']);
  for (const client of [alice, dave]) assert.match(await client.toldBye(), /^SIP\/2\.0 200/);
  await s.connect(alice, dave);
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
