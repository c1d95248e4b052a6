/** The modules that JupyterLab shares with its extensions, such as `@lumino/widgets`. */

const scope = globalThis._JUPYTERLAB.kernelfleet.scope;

/** Compare versions by their numbers: 10.0.0 comes after 9.1.0. */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map(version => version.split(/[.+-]/).map(part => parseInt(part, 10) || 0));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference) {
      return difference;
    }
  }
  return 0;
}

/**
 * The entry of a module in the table: the one that has been loaded already, because tokens and widgets must be those that
 * JupyterLab uses, else the newest one.
 */
export function chooseVersion(versions) {
  const names = Object.keys(versions).sort(compareVersions).reverse();
  return versions[names.find(name => versions[name].loaded) ?? names[0]];
}

/** A shared module; `null` if this JupyterLab does not have it (Notebook 7 lacks some). */
export async function shared(name) {
  const versions = scope?.[name];
  if (!versions || !Object.keys(versions).length) {
    return null;
  }
  const factory = await chooseVersion(versions).get();
  return factory();
}
