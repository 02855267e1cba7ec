// Bundles the phone into phone/dist, which the Go binary embeds, and the page
// of the browser tests into e2e/dist.

import { build } from 'esbuild';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

// bundle empties out, puts the script of entry and the files of statics there
// and gives the names of the packages that went in.
async function bundle(entry, outfile, statics, options) {
  const out = at(`${outfile}/..`);
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const { metafile } = await build({
    entryPoints: [at(entry)],
    outfile: at(outfile),
    bundle: true,
    format: 'esm',
    target: 'chrome110',
    metafile: true,
    absWorkingDir: at('.'),
    logLevel: 'warning',
    ...options,
  });
  for (const file of statics) await cp(at(file), `${out}/${file.split('/').at(-1)}`);
  const found = Object.keys(metafile.inputs).map((f) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(f)?.[1]);
  return [...new Set(found.filter(Boolean))].sort();
}

// licences collects those of the bundled packages: they ask to travel along.
async function licences(packages) {
  const parts = await Promise.all(packages.map(async (name) => {
    const dir = at(`node_modules/${name}`);
    const { version, license } = JSON.parse(await readFile(`${dir}/package.json`, 'utf8'));
    const file = (await readdir(dir)).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? await readFile(`${dir}/${file}`, 'utf8') : `Licence: ${license}\n`;
    return `${name} ${version}\n\n${text.trim()}\n`;
  }));
  return parts.join(`\n${'-'.repeat(72)}\n\n`);
}

const used = await bundle(
  'phone/src/main.js', 'phone/dist/phone.js',
  ['phone/src/index.html', 'phone/src/style.css', 'phone/src/icon.svg'],
  { minify: true },
);
await writeFile(at('phone/dist/licences.txt'), await licences(used));
await bundle('e2e/page/main.js', 'e2e/dist/page.js', ['e2e/page/index.html'], { sourcemap: 'linked' });
