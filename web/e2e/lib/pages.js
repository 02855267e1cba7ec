// Serves a built page on a free port of loopback.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const types = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

// servePages gives { url, stop }. The values of extra, by path, are served as
// JSON beside the files of the directory (relative to web/).
export async function servePages(directory, extra = {}) {
  const root = fileURLToPath(new URL(`../../${directory}/`, import.meta.url));
  const server = createServer(async (req, res) => {
    const { pathname } = new URL(req.url, 'http://localhost');
    if (pathname in extra) {
      res.setHeader('Content-Type', 'application/json');
      res.end(JSON.stringify(extra[pathname]));
      return;
    }
    const file = join(root, normalize(pathname === '/' ? '/index.html' : pathname));
    try {
      const body = await readFile(file);
      res.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
      res.end(body);
    } catch {
      res.statusCode = 404;
      res.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}
