/** What ends a process although nobody was there to catch it: a mistake of ours, but never one without a name. */
import { describeError } from '../errors.ts';
import { fromRedis } from '../redis/redis-replies.ts';

type Listener = (error: ReturnType<typeof describeError>) => void;
const listeners = new Set<Listener>();

/** Logs hear of it. @returns what ends that */
export function onUnexpectedEnd(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * From now on what nobody catches ends the process.
 * @param tell says it to the user, and returns the exit code
 */
export function endUnexpectedly(tell: (error: unknown) => number): void {
  // An unhandled rejection arrives here as well.
  process.on('uncaughtException', (thrown) => {
    const error = fromRedis(thrown);
    const code = tell(error);
    for (const listener of listeners) {
      try {
        listener(describeError(error));
      } catch {
        // It has been told; a log that cannot be written changes nothing.
      }
    }
    process.exit(code);
  });
}
