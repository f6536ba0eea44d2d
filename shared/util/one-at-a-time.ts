/**
 * `work` as a function that does nothing while its former call is still going on: for what is due at every heartbeat,
 * while Redis is away and the last one still waits for it.
 */
export function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let busy = false;
  return async () => {
    if (busy) return;
    busy = true;
    try {
      await work();
    } finally {
      busy = false;
    }
  };
}
