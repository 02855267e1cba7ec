// A phone card: shows a Line and hands its clicks to it.

import { audioContext, level, tap } from './media.js';

const patience = 3; // s that a call rings before it is answered by itself
const floor = -60; // dBFS at the left end of the meter

const shown = {
  call: ({ state }) => state === 'idle',
  answer: ({ state }) => state === 'ringing',
  reject: ({ state }) => state === 'ringing',
  hangup: ({ state }) => state === 'calling' || state === 'up',
  hold: ({ state }) => state === 'up',
  mute: ({ state }) => state === 'up',
  keys: ({ state }) => state === 'up',
};

export class PhoneView {
  constructor(line, peer) {
    this.line = line;
    this.peer = peer;
    const template = document.getElementById('phone');
    this.root = template.content.firstElementChild.cloneNode(true);
    this.parts = {};
    for (const part of this.root.querySelectorAll('[data-part]')) {
      this.parts[part.dataset.part] = part;
      part.dataset.testid = `${line.name}-${part.dataset.part}`;
    }
    this.root.dataset.testid = line.name;
    this.root.setAttribute('aria-label', `Phone of ${line.name}`);
    this.root.querySelector('h2').textContent = line.name;
    this.label();
    this.wire();
    line.addEventListener('change', () => this.draw());
    setInterval(() => this.clock(), 1000);
    this.draw();
  }

  label() {
    const { line, parts, peer } = this;
    parts.call.textContent = `Call ${peer}`;
    parts['hears-label'].textContent = `What ${line.name} hears`;
    parts.level.setAttribute('aria-label', `What ${line.name} hears`);
    parts.remote.setAttribute('aria-label', `What ${line.name} sees`);
    parts.self.setAttribute('aria-label', `What ${line.name} sends`);
    for (const key of '123456789*0#') {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: key });
      button.dataset.testid = `${line.name}-key-${key}`;
      button.addEventListener('click', () => line.dial(key));
      parts.keypad.append(button);
    }
  }

  wire() {
    const { line, parts } = this;
    parts.call.addEventListener('click', () => {
      audioContext(); // a click is what lets it run
      line.call(this.peer);
    });
    parts.answer.addEventListener('click', () => line.answer());
    parts.reject.addEventListener('click', () => line.reject());
    parts.hangup.addEventListener('click', () => line.hangup());
    parts.hold.addEventListener('click', () => line.toggleHold());
    parts.mute.addEventListener('click', () => line.toggleMute());
    parts.keys.addEventListener('click', () => {
      parts.keypad.hidden = !parts.keypad.hidden;
      this.draw();
    });
    parts.auto.addEventListener('change', () => this.draw());
  }

  draw() {
    const { line, parts, root } = this;
    const up = line.state === 'up';
    root.dataset.state = line.state;
    root.toggleAttribute('data-hold', line.hold.local || line.hold.remote);
    parts.registration.textContent = parts.registration.dataset.value = line.registration;
    this.showButtons();
    parts.call.disabled = line.registration !== 'registered';
    parts.keypad.hidden ||= !up;
    parts.keys.setAttribute('aria-expanded', String(!parts.keypad.hidden));
    pressed(parts.hold, line.hold.local, 'Hold', 'Resume');
    pressed(parts.mute, line.muted, 'Mute', 'Unmute');
    parts.digits.hidden = !line.digits;
    parts.digits.textContent = `Keys received: ${line.digits}`;
    this.answerByItself();
    this.attach();
    this.tell();
  }

  // showButtons keeps the keyboard's focus in the phone when its button goes.
  showButtons() {
    const { line, parts } = this;
    const focused = document.activeElement;
    for (const [part, when] of Object.entries(shown)) parts[part].hidden = !when(line);
    if (focused?.hidden && this.root.contains(focused)) {
      this.root.querySelector('.buttons button:not([hidden])')?.focus();
    }
  }

  // tell says in words what goes on.
  tell() {
    const { line, parts } = this;
    const words = {
      idle: [line.ended || 'Ready', line.ended ? 'Ready for the next call' : ''],
      calling: [`Calling ${line.peer}…`, line.rings ? `${line.peer} is ringing` : 'Waiting for an answer'],
      ringing: [`${line.peer} is calling`, this.left ? `Answers by itself in ${this.left} s` : ''],
      up: [`In a call with ${line.peer}`, this.held()],
    };
    put(parts.status, words[line.state][0]);
    put(parts.detail, words[line.state][1]);
    put(parts.timer, line.state === 'up' ? this.duration() : '');
  }

  held() {
    const { local, remote } = this.line.hold;
    if (local) return remote ? 'Both sides hold' : 'You hold the call';
    return remote ? `${this.line.peer} holds the call` : '';
  }

  duration() {
    const s = Math.round((Date.now() - this.line.since) / 1000);
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
  }

  answerByItself() {
    const waiting = this.line.state === 'ringing' && this.parts.auto.checked;
    if (!waiting) this.left = 0;
    else if (!this.left) this.left = patience;
  }

  clock() {
    if (this.left && --this.left === 0) this.line.answer();
    if (this.line.state !== 'idle') this.tell();
  }

  // attach shows and hears what is received.
  attach() {
    const { line, parts } = this;
    show(parts.remote, line.received);
    show(parts.self, line.local);
    const audio = line.received?.getAudioTracks()[0];
    if (audio === this.heard) return;
    this.heard = audio;
    this.ears?.close();
    this.ears = audio ? tap(new MediaStream([audio]), { fftSize: 1024 }) : null;
    if (this.ears) this.meter();
    else this.showLevel(0);
  }

  meter() {
    if (!this.ears) return;
    const db = 20 * Math.log10(level(this.ears.analyser) || 1e-9);
    this.showLevel(Math.max(0, Math.min(100, Math.round(100 * (1 - db / floor)))));
    requestAnimationFrame(() => this.meter());
  }

  showLevel(percent) {
    const { level: meter } = this.parts;
    meter.style.setProperty('--level', `${percent}%`);
    meter.setAttribute('aria-valuenow', String(percent));
  }

  // aloud lets the loudspeaker play what is received.
  aloud(on) {
    this.parts.remote.muted = !on;
  }
}

function pressed(button, on, off, back) {
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? back : off;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(video, stream) {
  if (video.srcObject === stream) return;
  video.srcObject = stream;
  if (stream) video.play().catch(() => {});
}
