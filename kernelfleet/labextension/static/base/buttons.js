/** Buttons with an icon and a name that is read aloud and shown as a tooltip. */

import { make } from './dom.js';

/**
 * @param {LabIcon} icon what it shows
 * @param {string} label what it does
 * @param {Function} act does it; if that fails, `onError` of the page hears of it
 * @param {object} more further attributes, such as `data-kf-action`
 */
export function iconButton(icon, label, act, more = {}) {
  const button = make('button.kf-button', { type: 'button', title: label, 'aria-label': label, ...more });
  icon.element({ container: button, tag: 'span' });
  button.addEventListener('click', event => {
    event.stopPropagation();
    guarded(button, act);
  });
  return button;
}

/** Run what a button does, during which the button is off, so that a double click does it once. */
export async function guarded(button, act) {
  if (button.getAttribute('aria-disabled') === 'true') {
    return;
  }
  // (not `disabled`, which would take the focus away from whoever uses the keyboard)
  button.setAttribute('aria-disabled', 'true');
  try {
    await act();
  } finally {
    button.removeAttribute('aria-disabled');
  }
}
