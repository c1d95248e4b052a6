/**
 * What the toolbar asks of a notebook's kernel: on which engines its cells are to run. docs/cells.md has the lines.
 *
 * They are sent silently: no number of a cell, no history, and what they print is read here.
 */

/**
 * Have the cells run somewhere else.
 *
 * @param {string|number|null} wanted a fleet's name, a number of engines, or `null` for the notebook's kernel alone
 * @returns what is so then: `{ cells: 'engines' | 'here', fleet, engines: [ids], own }`
 */
export function choose(kernel, wanted) {
  const where = wanted === null ? '--off' : typeof wanted === 'number' ? `-n ${wanted}` : wanted;
  return ask(kernel, `%load_ext kernelfleet\n%fleet cells ${where} --json`);
}

/** What is so now; `null` if nobody has loaded kernelfleet there. It is not loaded to be told that. */
export function current(kernel) {
  return ask(
    kernel,
    "if 'kernelfleet.notebook.extension' in __import__('sys').modules:\n" +
      "    get_ipython().run_line_magic('fleet', 'cells --json')"
  );
}

async function ask(kernel, code) {
  const content = { code, silent: true, store_history: false, allow_stdin: false, stop_on_error: false };
  const future = kernel.requestExecute(content, true);
  let printed = '';
  future.onIOPub = ({ header, content: { name, text } }) => {
    if (header.msg_type === 'stream' && name === 'stdout') {
      printed += text;
    }
  };
  const { status, ename, evalue } = (await future.done).content;
  if (status !== 'ok') {
    throw new Error(complaint(ename, evalue));
  }
  const line = printed.split('\n').findLast(each => each.startsWith('{')); // (other lines say what is loaded)
  return line ? JSON.parse(line) : null;
}

function complaint(ename, evalue) {
  if (ename === 'ModuleNotFoundError') {
    return 'The kernel of this notebook has no kernelfleet: install it into its environment.';
  }
  return evalue || ename || 'The kernel did not answer.';
}
