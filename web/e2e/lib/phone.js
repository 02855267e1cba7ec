// The demo page as a user sees it, by its test ids.

import { servePages } from './pages.js';

// noDevices makes a browser behave as on a machine without microphone and camera.
function noDevices() {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError'));
}

// servePhones serves the built page for two users of a gateway.
export function servePhones(gateway, users) {
  return servePages('phone/dist', {
    '/config.json': { ws: gateway.wsUrl, domain: gateway.domain, users },
  });
}

// openPhones opens the page with the phones of these names.
export async function openPhones(browser, url, names, { devices = false, ...context } = {}) {
  const page = await (await browser.newContext(context)).newPage();
  page.setDefaultTimeout(10_000);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  if (!devices) await page.addInitScript(noDevices);
  await page.goto(url);
  return { page, phones: names.map((name) => new Phone(page, name)), errors, close: () => page.context().close() };
}

export class Phone {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  part(name) {
    return this.page.getByTestId(`${this.name}-${name}`);
  }

  click(name) {
    return this.part(name).click();
  }

  // state waits for idle, calling, ringing or up.
  state(state) {
    return this.page.locator(`[data-testid="${this.name}"][data-state="${state}"]`).waitFor();
  }

  registered() {
    return this.page.locator(`[data-testid="${this.name}-registration"][data-value="registered"]`).waitFor();
  }

  // says waits for a text in a part.
  says(part, text) {
    return this.part(part).filter({ hasText: text }).waitFor();
  }

  // level waits until the meter of what is heard is above or below a mark.
  level(test, mark) {
    return this.page.waitForFunction(
      ({ id, test, mark }) => {
        const now = Number(document.querySelector(`[data-testid="${id}"]`).getAttribute('aria-valuenow'));
        return test === 'above' ? now > mark : now < mark;
      },
      { id: `${this.name}-level`, test, mark },
      { polling: 20 },
    );
  }

  // rows are the labels of this phone's messages in the ladder.
  rows(direction) {
    const mine = `[data-testid="ladder-row"][data-phone="${this.name}"][data-direction="${direction}"]`;
    return this.page.locator(mine).evaluateAll((rows) => rows.map((r) => r.dataset.label));
  }
}
