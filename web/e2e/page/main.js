// The test page: one phone of either library, driven from the tests through
// window.phone.

import './trace.js';
import * as trace from './trace.js';
import { pictureTrack, toneTrack } from '../../phone/src/media.js';
import { JsSIPPhone } from './jssip.js';
import { SIPjsPhone } from './sipjs.js';

const libraries = { jssip: JsSIPPhone, sipjs: SIPjsPhone };
const look = 40; // ms between two looks at things that raise no event

class Host {
  constructor() {
    this.status = { registered: false, registrations: 0, refused: null };
    this.inbox = [];
    this.lamps = {}; // by what is watched: every state that was told, the newest last
    this.calls = [];
    this.waiting = new Set();
    trace.onTrace(() => this.changed());
  }

  open(library, config) {
    this.config = config;
    this.phone = new libraries[library](this, config);
    return this.phone.start();
  }

  // stream is a new one each time: a call stops the tracks that it was given.
  stream(video) {
    const { hz, hue = 200, user } = this.config;
    const tracks = [toneTrack(hz)];
    if (video) tracks.push(pictureTrack(user, hue));
    return new MediaStream(tracks);
  }

  set(values) {
    Object.assign(this.status, values);
    this.changed();
  }

  registered() {
    this.set({ registered: true, registrations: this.status.registrations + 1, refused: null });
  }

  got(from, text) {
    this.inbox.push({ from, text });
    this.changed();
  }

  // told is a NOTIFY about a mailbox (RFC 3842) or a phone (RFC 4235, RFC 3863).
  told(whose, body) {
    const state = /^Messages-Waiting: *(\w+)/im.exec(body)?.[1] ?? /<state>(.*?)<\/state>/.exec(body)?.[1]
      ?? /<note>(.*?)<\/note>/.exec(body)?.[1] ?? body;
    (this.lamps[whose] ??= []).push(state);
    this.changed();
  }

  add(call) {
    if (!this.calls.includes(call)) this.calls.push(call);
    this.changed();
  }

  changed() {
    for (const check of [...this.waiting]) check();
  }

  snapshot() {
    return { ...this.status, inbox: this.inbox, calls: this.calls.map((c) => c.snapshot()) };
  }

  // last is the newest call, or the one with that id.
  last(id) {
    const call = id ? this.calls.find((c) => c.id === id) : this.calls.at(-1);
    if (!call) throw new Error('no call');
    return call;
  }

  // when resolves with what test(this) gives once that is true. It looks at
  // every event, and regularly for what has none (sound and pictures).
  when(test, ms, what) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        this.waiting.delete(check);
        clearInterval(regular);
        clearTimeout(deadline);
        settle(value);
      };
      const check = () => {
        const value = test(this);
        if (value) finish(resolve, value);
      };
      const regular = setInterval(check, look);
      const deadline = setTimeout(() => {
        finish(reject, new Error(`not within ${ms} ms: ${what}\n${JSON.stringify(this.snapshot())}`));
      }, ms);
      this.waiting.add(check);
      check();
    });
  }

  // act calls a method of the phone on one of its calls.
  act(method, id, ...args) {
    return this.phone[method](this.last(id), ...args);
  }

  cut() {
    trace.cut();
  }

  ladder() {
    return trace.ladder();
  }

  messages() {
    return trace.messages;
  }
}

window.host = new Host();
