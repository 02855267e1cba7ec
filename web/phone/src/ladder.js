// The SIP messages of both phones as a ladder: who, Ringway, whom.

const keep = 500; // rows; the oldest go

const kinds = { 1: 'provisional', 2: 'success' };

// read takes from a message what the ladder shows and is filtered by.
export function read(text) {
  const [first] = text.split('\r\n', 1);
  const response = /^SIP\/2\.0 (\d{3}) ?(.*)$/.exec(first);
  const method = response ? /^CSeq\s*:\s*\d+\s+(\S+)/im.exec(text)?.[1] : first.split(' ', 1)[0];
  return {
    first,
    method: method ?? '',
    label: response ? `${response[1]} ${response[2]}` : method,
    kind: response ? kinds[response[1][0]] ?? 'refusal' : 'request',
  };
}

export class Ladder {
  constructor(root, dialog, names) {
    this.root = root;
    this.dialog = dialog;
    this.names = names;
    this.list = root.querySelector('ol');
    this.pane = root.querySelector('.rows');
    this.all = root.querySelector('[data-testid=ladder-all]');
    this.entries = [];
    const lanes = root.querySelectorAll('.lanes span');
    [lanes[0].textContent, lanes[2].textContent] = names;
    this.all.addEventListener('change', () => this.redraw());
    root.querySelector('[data-testid=ladder-clear]').addEventListener('click', () => this.clear());
  }

  clear() {
    this.entries = [];
    this.redraw();
  }

  // add notes a message that the phone of that name sent or received.
  add(name, sent, text) {
    if (!text.trim()) return; // keep-alive
    const entry = { ...read(text), name, sent, text, at: new Date() };
    this.entries.push(entry);
    if (this.entries.length > keep) this.entries.shift();
    if (this.shows(entry)) this.draw(entry);
  }

  shows({ method }) {
    return this.all.checked || method !== 'REGISTER';
  }

  redraw() {
    this.list.replaceChildren();
    for (const entry of this.entries) if (this.shows(entry)) this.draw(entry);
  }

  draw(entry) {
    const { pane, list } = this;
    const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
    const item = document.createElement('li');
    item.append(this.row(entry));
    list.append(item);
    while (list.children.length > keep) list.firstChild.remove();
    if (atEnd) pane.scrollTop = pane.scrollHeight;
  }

  row(entry) {
    const { name, sent, label, kind, first } = entry;
    const second = name === this.names[1];
    const row = Object.assign(document.createElement('button'), { type: 'button', className: 'row' });
    row.dataset.testid = 'ladder-row';
    row.dataset.phone = name;
    row.dataset.direction = sent ? 'out' : 'in';
    row.dataset.label = label;
    const time = Object.assign(document.createElement('time'), { textContent: clock(entry.at) });
    const way = Object.assign(document.createElement('span'), { className: 'way' });
    way.dataset.kind = kind;
    const arrow = Object.assign(document.createElement('span'), { textContent: label, title: first });
    arrow.className = `${second ? 'second' : 'first'} ${sent === second ? 'left' : 'right'}`;
    way.append(arrow);
    row.append(time, way);
    row.setAttribute('aria-label', `${clock(entry.at)}, ${route(entry)}: ${first}`);
    row.addEventListener('click', () => this.open(entry));
    return row;
  }

  open(entry) {
    const { dialog } = this;
    dialog.querySelector('h2').textContent = entry.first;
    dialog.querySelector('p').textContent = `${clock(entry.at)}, ${route(entry)}, ${new Blob([entry.text]).size} bytes`;
    dialog.querySelector('pre').textContent = entry.text;
    dialog.showModal();
  }
}

const route = ({ name, sent }) => (sent ? `${name} to Ringway` : `Ringway to ${name}`);

function clock(date) {
  const pad = (n, width = 2) => String(n).padStart(width, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}
