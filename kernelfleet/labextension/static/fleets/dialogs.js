/** The dialogs that ask for a new fleet, and for how many engines. */

import { Dialog, Widget, showDialog } from '../base/lab.js';
import { make } from '../base/dom.js';

/** The server and the command line allow the same names. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A name that is not taken: `fleet`, `fleet-2`, ... */
export function freeName(taken, stem = 'fleet') {
  let name = stem;
  for (let i = 2; taken.has(name); i++) {
    name = `${stem}-${i}`;
  }
  return name;
}

/** A label above a field, and below what it means, or while it is not valid what is wrong. */
function field(label, input, hint = '') {
  const below = make('small', { role: 'status' }, hint);
  input.setAttribute('aria-label', label);
  input.addEventListener('input', () => {
    below.textContent = input.validationMessage || hint;
    below.classList.toggle('kf-wrong', !input.validity.valid);
  });
  return make('label.kf-field', {}, make('span', {}, label), input, below);
}

/** The fields of a dialog; the accepting button does nothing while one of them is not valid. */
class Form extends Widget {
  constructor(inputs, fields) {
    super({ node: make('form.kf-form', {}, ...fields) });
    this._inputs = inputs;
    this.node.addEventListener('submit', event => event.preventDefault());
  }

  getValue() {
    return Object.fromEntries(Object.entries(this._inputs).map(([name, input]) => [name, input.value.trim()]));
  }

  isValid() {
    return this.node.reportValidity();
  }
}

/** Show a form until it is valid or given up; its values, or `null`. */
async function show(title, form, accept) {
  const dialog = new Dialog({
    title,
    body: form,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: accept })],
    focusNodeSelector: 'input'
  });
  const resolve = dialog.resolve.bind(dialog);
  // Index 1 is the accepting button; without an index it is the default one, which the Enter key stands for.
  dialog.resolve = index => {
    if (index === 0 || form.isValid()) {
      resolve(index);
    }
  };
  const { button, value } = await dialog.launch();
  return button.accept ? value : null;
}

/**
 * Ask for a new fleet.
 *
 * @param {Fleets} fleets those that are there
 * @param {{kernels: Array<{name: string, title: string}>, kernel: string, folder: string}} surroundings what to offer
 */
export async function askForFleet(fleets, { kernels, kernel, folder }) {
  const taken = new Set(fleets.list.map(fleet => fleet.name));
  const inputs = {
    name: make('input', { required: true, value: freeName(taken), spellcheck: 'false', name: 'name' }),
    n: make('input', { type: 'number', required: true, min: 1, max: 1000, value: fleets.cores ?? 4, name: 'n' }),
    kernel: make(
      'select', { name: 'kernel' },
      ...kernels.map(each => make('option', { value: each.name, selected: each.name === kernel }, each.title))
    ),
    cwd: make('input', { value: folder, spellcheck: 'false', name: 'cwd' })
  };
  inputs.name.addEventListener('input', () => inputs.name.setCustomValidity(complaintAbout(inputs.name.value.trim(), taken)));
  const fields = [
    field('Name', inputs.name, 'Notebooks connect to it by this name.'),
    field('Engines', inputs.n),
    field('Kernel', inputs.kernel),
    field('Working directory', inputs.cwd, 'Of the engines; empty is that of the server.')
  ];
  if (fleets.clusters?.length) {
    inputs.cluster = make('input', { spellcheck: 'false', name: 'cluster', list: 'kf-clusters' });
    const kinds = fleets.clusters.map(each => make('option', { value: each }));
    const hint = `Where the engines run; empty is this machine. Known: ${fleets.clusters.join(', ')}`;
    fields.push(field('Cluster', inputs.cluster, hint), make('datalist', { id: 'kf-clusters' }, ...kinds));
  }
  const values = await show('New fleet', new Form(inputs, fields), 'Start');
  if (!values) {
    return null;
  }
  const given = Object.entries(values).filter(([, value]) => value !== '');
  return { ...Object.fromEntries(given), n: Number(values.n) };
}

/** What is wrong with the name of a new fleet; nothing if it can be had. */
function complaintAbout(name, taken) {
  if (taken.has(name)) {
    return `There is a fleet “${name}” already.`;
  }
  return NAME.test(name) ? '' : 'A name is letters, digits, dots, dashes and underscores, at most 64.';
}

/** Ask how many engines a fleet is to have; `null` if it stays as it is. */
export async function askForCount(name, now) {
  const n = make('input', { type: 'number', required: true, min: 1, max: 1000, value: now, name: 'n' });
  const hint = `Now ${now}. Of fewer, those of the highest ids end, when they have done what they were given.`;
  const values = await show(`Scale fleet “${name}”`, new Form({ n }, [field('Engines', n, hint)]), 'Scale');
  return values && Number(values.n) !== now ? Number(values.n) : null;
}
