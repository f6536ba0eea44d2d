/** What a run among faults went through, added up and as a table. */

/** From the end of a fault to the next update, by the metrics. */
interface Recovery {
  kind: string;
  milliseconds: number;
}

export interface ChaosReport {
  faults: Record<string, number>;
  recoveries: Recovery[];
  /** How processes ended by themselves: `coordinator 75`, `worker 1 COORDINATOR_GONE`. */
  ends: Record<string, number>;
  /** Shards. */
  recomputed: number;
  /** Stops after which it was looked where the resumed run begins. */
  stopsChecked: number;
}

export function emptyReport(): ChaosReport {
  return { faults: {}, recoveries: [], ends: {}, recomputed: 0, stopsChecked: 0 };
}

export function count(counts: Record<string, number>, what: string, times = 1): void {
  counts[what] = (counts[what] ?? 0) + times;
}

export function add(total: ChaosReport, { faults, recoveries, ends, ...numbers }: ChaosReport): void {
  for (const [kind, times] of Object.entries(faults)) count(total.faults, kind, times);
  for (const [how, times] of Object.entries(ends)) count(total.ends, how, times);
  total.recoveries.push(...recoveries);
  total.recomputed += numbers.recomputed;
  total.stopsChecked += numbers.stopsChecked;
}

/** One line per kind of fault, then how processes ended. */
export function table({ faults, recoveries, ends, recomputed, stopsChecked }: ChaosReport): string {
  const kinds = Object.keys(faults).sort();
  const rows = kinds.map((kind) => [
    kind,
    String(faults[kind]),
    ...times(recoveries.filter((recovery) => recovery.kind === kind)),
  ]);
  const all = Object.values(faults).reduce((sum, some) => sum + some, 0);
  return [['fault', 'times', 'p50', 'max'], ...rows, ['all', String(all), ...times(recoveries)]]
    .map(([kind, ...cells]) => kind!.padEnd(22) + cells.map((cell) => cell.padStart(9)).join(''))
    .concat(
      [
        '',
        ...Object.keys(ends)
          .sort()
          .map((how) => `${how}: ${ends[how]} times`),
      ],
      [`shards computed again: ${recomputed}`, `stops that were checked: ${stopsChecked}`],
    )
    .join('\n');
}

/** Median and maximum. */
function times(recoveries: readonly Recovery[]): string[] {
  const sorted = recoveries.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].map((milliseconds) =>
    milliseconds === undefined ? '–' : `${(milliseconds / 1000).toFixed(1)} s`,
  );
}
