/** Where the time of the last minute or so went. */
import { percent, smallestShare } from '../../view/format.ts';
import type { RunFacts, RunView } from '../../view/run-view.ts';
import { byId, element, fill } from './dom.ts';
import { inStep, phases } from './phases.ts';
import { stepTime } from './times.ts';

export function showShares({ shares, imagesPerSecond }: RunView, { batchSize }: RunFacts): void {
  const shown = shares.filter(({ share }) => share >= smallestShare);
  const steps = shares
    .filter(({ phase }) => inStep.includes(phase))
    .reduce((sum, { share }) => sum + share, 0);
  const perStep = imagesPerSecond === null ? null : batchSize / imagesPerSecond / steps;
  const bar = element('div', 'shares');
  const list = element('ul', 'keys');
  for (const { phase, share } of shown) {
    const [name, color] = phases[phase] ?? [phase, 'rest'];
    const part = element('div', `share ${color}`);
    part.style.flexGrow = String(share);
    bar.append(part);
    const took = perStep === null || !inStep.includes(phase) ? '' : `${stepTime(share * perStep)} a step`;
    list.append(
      element(
        'li',
        `key ${color}`,
        element('span', '', name),
        element('span', 'note', took),
        element('b', '', percent(share)),
      ),
    );
  }
  const key = shown.map(({ phase, share }) => phase + share.toFixed(3)).join();
  fill(byId('shares'), key, () =>
    shown.length === 0 ? [element('p', 'note', 'No measurements yet.')] : [bar, list],
  );
}
