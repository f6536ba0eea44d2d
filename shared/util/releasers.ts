/**
 * Does what acquires one thing after the other, and releases them at its end, the last first:
 *
 *     return withReleasers(async (release) => {
 *       const server = await Server.start();
 *       release(() => server.stop());
 *       …
 *     });
 *
 * All are released, even where one release fails. What went wrong first is thrown.
 */
export async function withReleasers<R>(
  work: (release: (releaser: () => unknown) => void) => Promise<R>,
): Promise<R> {
  const releasers: (() => unknown)[] = [];
  const failures: unknown[] = [];
  const result = await work((releaser) => releasers.push(releaser)).catch((error: unknown) => {
    failures.push(error);
    return null;
  });
  for (const releaser of releasers.reverse()) {
    try {
      await releaser();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return result as R;
}
