/** The plugins of this extension. */

export default [];
