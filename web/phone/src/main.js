// Two phones side by side on one gateway, from /config.json:
// { ws, domain, users: [{ name, password }, { name, password }] }.

import { Ladder } from './ladder.js';
import { Line } from './line.js';
import { audioContext, pictureTrack, toneTrack } from './media.js';
import { PhoneView } from './view.js';

const find = (id) => document.querySelector(`[data-testid=${id}]`);

function notice(text) {
  find('notice').textContent = text;
  find('notice').hidden = !text;
}

// standIn is what a phone sends without a microphone or a camera.
const standIn = {
  audio: (i) => toneTrack([440, 620][i], { beeping: true }),
  video: (i, name) => pictureTrack(name, [170, 265][i]),
};

// capture gives a stream with sound and picture, real where there are devices.
async function capture(i, name) {
  const real = find('source').value === 'devices' ? await devices() : new MediaStream();
  const missing = ['audio', 'video'].filter((kind) => !real.getTracks().some((t) => t.kind === kind));
  for (const kind of missing) real.addTrack(standIn[kind](i, name));
  return real;
}

// devices asks for both, then for the microphone alone.
async function devices() {
  const found = await media({ audio: true, video: { width: 320, height: 240 } }) ?? await media({ audio: true });
  const heard = found ? 'No camera: a picture stands in.' : 'No microphone and no camera: a tone and a picture stand in.';
  notice(found?.getVideoTracks().length ? '' : heard);
  return found ?? new MediaStream();
}

async function media(constraints) {
  return navigator.mediaDevices?.getUserMedia(constraints).catch(() => null);
}

// ringer makes a soft double ring as long as on() says so.
function ringer(on) {
  setInterval(() => {
    if (!on()) return;
    const ctx = audioContext();
    for (const start of [0, 0.4]) beep(ctx, ctx.currentTime + start);
  }, 2000);
}

function beep(ctx, at) {
  const volume = new GainNode(ctx, { gain: 0 });
  volume.gain.setTargetAtTime(0.08, at, 0.02);
  volume.gain.setTargetAtTime(0, at + 0.25, 0.03);
  for (const frequency of [425, 480]) {
    const oscillator = new OscillatorNode(ctx, { frequency });
    oscillator.connect(volume).connect(ctx.destination);
    oscillator.start(at);
    oscillator.stop(at + 0.5);
  }
}

function open(config) {
  const users = config.users.slice(0, 2);
  const names = users.map((u) => u.name);
  const ladder = new Ladder(find('ladder'), find('message'), names);
  const ws = new URL(config.ws, location.href.replace(/^http/, 'ws')).href;
  const lines = users.map(({ name, password }, i) => new Line({
    name,
    password,
    ws,
    domain: config.domain,
    note: (sent, text) => ladder.add(name, sent, text),
    media: () => capture(i, name),
  }));
  const views = lines.map((line, i) => new PhoneView(line, names[1 - i]));
  find('phones').prepend(...views.map((v) => v.root));
  const sound = find('sound');
  sound.addEventListener('change', () => views.forEach((v) => v.aloud(sound.checked)));
  ringer(() => sound.checked && lines.some((l) => l.state === 'ringing'));
}

try {
  const answer = await fetch('config.json', { cache: 'no-store' });
  if (!answer.ok) throw new Error(`config.json: ${answer.status} ${answer.statusText}`);
  open(await answer.json());
} catch (error) {
  notice(`The phones cannot start: ${error.message}`);
}
