/** Loads the style sheets. */

for (const name of ['panel', 'timeline', 'outputs']) {
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = new URL(`${name}.css`, import.meta.url);
  document.head.append(link);
}
