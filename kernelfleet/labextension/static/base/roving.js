/**
 * A list whose rows are reached by arrow keys, while Tab visits one row only and the buttons in it. With hundreds of
 * rows of buttons, Tab alone would not get past the list.
 */

/**
 * @param {HTMLElement} list the list
 * @param {string} selector which elements in it are rows
 */
export function roving(list, selector) {
  const rows = () => [...list.querySelectorAll(selector)];

  const enter = row => {
    for (const each of rows()) {
      each.tabIndex = each === row ? 0 : -1;
      for (const button of each.querySelectorAll('button')) {
        button.tabIndex = each === row ? 0 : -1;
      }
    }
  };

  list.addEventListener('focusin', event => {
    const row = event.target.closest(selector);
    if (row && row.tabIndex !== 0) {
      enter(row);
    }
  });
  list.addEventListener('keydown', event => {
    const row = event.target.closest(selector);
    const all = row ? rows() : [];
    const now = all.indexOf(row);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next !== undefined && all[next]) {
      enter(all[next]);
      all[next].focus();
      event.preventDefault();
    }
  });

  /** Rows have come or gone: one of them is a stop of Tab. */
  return () => {
    const all = rows();
    if (all.length && !all.some(row => row.tabIndex === 0)) {
      enter(all[0]);
    }
  };
}
