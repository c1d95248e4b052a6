/** Text with the colour codes of terminals, as nodes. */

import { make } from '../base/dom.js';

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

/** The classes for one sequence such as `1;31`; JupyterLab's themes colour them. */
export function classesOf(codes) {
  const numbers = codes.split(';').map(Number);
  if (numbers[0] === 38 && numbers[1] === 5 && numbers[2] < 16) {
    return [`ansi-${NAMES[numbers[2] % 8]}-fg`];
  }
  return numbers.flatMap(number => {
    if (number === 1) {
      return ['ansi-bold'];
    }
    const bright = number >= 90 && number <= 97;
    return bright || (number >= 30 && number <= 37) ? [`ansi-${NAMES[number % 10]}-fg`] : [];
  });
}

/** Nodes and texts for a text with colours. Other control sequences are left out. */
export function coloured(text) {
  const parts = [];
  let classes = [];
  // Splitting by a pattern with a group gives text, codes, text, codes, ...
  text.split(/\x1b\[([0-9;]*)m/).forEach((piece, index) => {
    if (index % 2) {
      classes = classesOf(piece);
    } else if (piece) {
      const plain = piece.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, '');
      parts.push(classes.length ? make(['span', ...classes].join('.'), {}, plain) : plain);
    }
  });
  return parts;
}
