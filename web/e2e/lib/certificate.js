// A certificate that nobody signed, and how to have Chromium take this one and no other.

import { execFile } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

// makeCertificate gives { cert, key, flag, stop } for loopback; cert and key are
// files, flag is for launch. Go's own tool makes it.
export async function makeCertificate() {
  const dir = await mkdtemp(join(tmpdir(), 'ringway-e2e-'));
  const root = (await run('go', ['env', 'GOROOT'])).stdout.trim();
  const tool = join(root, 'src/crypto/tls/generate_cert.go');
  await run('go', ['run', tool, '--host', '127.0.0.1,::1', '--ecdsa-curve', 'P256', '--duration', '24h'], { cwd: dir });
  const cert = join(dir, 'cert.pem');
  const spki = new X509Certificate(await readFile(cert)).publicKey.export({ type: 'spki', format: 'der' });
  return {
    cert,
    key: join(dir, 'key.pem'),
    flag: `--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`,
    stop: () => rm(dir, { recursive: true, force: true }),
  };
}
