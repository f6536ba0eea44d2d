/** What is done, synchronously, as this process exits: behind one listener, however many runs there are in it. */
const last = new Set<() => void>();

function exit(): void {
  for (const act of last) act();
}

/** @returns takes it back */
export function atExit(act: () => void): () => void {
  if (last.size === 0) process.on('exit', exit);
  last.add(act);
  return () => {
    last.delete(act);
    if (last.size === 0) process.off('exit', exit);
  };
}
