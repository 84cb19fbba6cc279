// `make page-check`: HTML reports in headless Chromium at 390 and 1,440 pixels, light and dark: axe-core finds no
// violation, nothing is loaded, nothing is written to the console, and the page itself never scrolls sideways.
// Arguments: files. PICTURES=FOLDER keeps the pictures.
const path = require('path');
const puppeteer = require('puppeteer-core');

async function check(browser, file, scheme, width) {
  const page = await browser.newPage();
  const found = [];
  page.on('console', (message) => message.type() === 'error' && found.push(message.text()));
  page.on('pageerror', (error) => found.push(String(error)));
  page.on('request', (request) => /^(file|data):/.test(request.url()) || found.push(`loads ${request.url()}`));
  await page.setBypassCSP(true); // axe is a script, which the page itself forbids
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(`file://${path.resolve(file)}`);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (wider > 0) found.push(`the page is ${wider} pixels wider than the screen`);
  const name = `${path.basename(file, '.html')}-${width}-${scheme}`;
  if (process.env.PICTURES) {
    await page.screenshot({ path: path.join(process.env.PICTURES, `${name}.png`), fullPage: true });
  }
  await page.addScriptTag({ path: require.resolve('axe-core') });
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  for (const each of result.violations) {
    found.push(`${each.id}: ${each.help} (${each.nodes.length} times, first ${each.nodes[0].html.slice(0, 200)})`);
  }
  console.log(`${name}: ${found.length ? found.join('\n  ') : `${result.passes.length} rules passed`}`);
  await page.close();
  return found.length;
}

(async () => {
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
  const browser = await puppeteer.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  let faults = 0;
  for (const file of process.argv.slice(2)) {
    for (const scheme of ['light', 'dark']) {
      for (const width of [390, 1440]) faults += await check(browser, file, scheme, width);
    }
  }
  await browser.close();
  process.exit(faults ? 1 : 0);
})();
