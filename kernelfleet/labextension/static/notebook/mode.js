/**
 * What the toolbar asks of a notebook's kernel: on which engines its cells are to run.
 *
 * It is asked with user expressions of an empty, silent request. So the notebook's own code sees nothing of it: no
 * variable, no number of a cell, no history. `kernelfleet/notebook/lab/toolbar.py` answers.
 */

const MODULE = "__import__('kernelfleet.notebook.lab.toolbar', fromlist=['toolbar'])";

/** @param {string|number|null} wanted a fleet's name, a number of engines, or `null` for the notebook's kernel alone */
export function choose(kernel, wanted) {
  const argument = wanted === null ? 'None' : typeof wanted === 'number' ? String(wanted) : JSON.stringify(wanted);
  return ask(kernel, `choose(${argument})`);
}

/**
 * What is chosen: `{ fleet: name or null, engines: how many, own: whether the fleet is the notebook's own }`; `null` if
 * nobody has loaded kernelfleet there. It need not be loaded to be told that.
 */
export function currentIfLoaded(kernel) {
  const loaded = "'kernelfleet.notebook.extension' in __import__('sys').modules";
  return ask(kernel, 'current()', loaded);
}

async function ask(kernel, call, condition = 'True') {
  const expression = `${MODULE}.${call} if ${condition} else None`;
  const content = {
    code: '', silent: true, store_history: false, allow_stdin: false, stop_on_error: false,
    user_expressions: { kernelfleet: expression }
  };
  const reply = await kernel.requestExecute(content, true).done;
  const answer = reply.content.user_expressions?.kernelfleet;
  if (answer?.status === 'ok') {
    return answer.data['application/json'] ?? null;
  }
  throw new Error(complaint(answer ?? reply.content));
}

function complaint({ ename, evalue, status }) {
  if (ename === 'ModuleNotFoundError') {
    return 'The kernel of this notebook has no kernelfleet of this version: install it into its environment.';
  }
  return evalue || ename || `The kernel answered: ${status ?? 'nothing'}.`;
}
