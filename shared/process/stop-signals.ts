/** The signals that ask a command to stop. */

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Calls `handle` for every such signal, until the returned function is called. A hang-up counts only where there is a
 * terminal: Node forgets that nohup ignores it, and under nohup none of the three streams is a terminal. It counts only
 * as the first signal: the shell and the kernel send one each.
 */
export function onStopSignals(handle: (signal: NodeJS.Signals) => void): () => void {
  let asked = false;
  const listener = (signal: NodeJS.Signals) => {
    const watched = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
    if (signal === 'SIGHUP' && (asked || !watched)) return;
    asked = true;
    handle(signal);
  };
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}
