/** The live page: keeps what the event stream says, and shows it. */
import { timeouts } from '../../../shared/defaults.ts';
import { type Health, healthOf } from '../../view/health.ts';
import type {
  CheckpointView,
  CurvePoint,
  EventView,
  PageUpdate,
  RunFacts,
  RunView,
  ValidationPoint,
} from '../../view/run-view.ts';
import { Control } from './control.ts';
import { Curves } from './curves.ts';
import { byId } from './dom.ts';
import { showFigures } from './figures.ts';
import { showCheckpoints, showEvents, showFacts } from './records.ts';
import { showShares } from './shares.ts';
import { showHints, showState } from './state.ts';
import { showWorkers } from './workers.ts';

/** Of a run whose coordinator ended with an error. */
const ended: Health = { word: 'STOPPED', reasons: [] };

/** Milliseconds after which a stream that was closed for good is opened anew: the run may have been resumed. */
const again = 5_000;

const curves = new Curves();
const control = new Control();
let connection: 'live' | 'lost' | 'ended' = 'lost';
let lastWords = '';
let failed = false;
/** When the coordinator was heard of last; milliseconds of the page's clock. */
let heardAt = 0;
let facts: RunFacts | null = null;
let view: RunView | null = null;
/** What the run's files say, where no coordinator says it. */
let told: Health | null = null;
let curve: CurvePoint[] = [];
let validations: ValidationPoint[] = [];
let events: EventView[] = [];
let checkpoints: CheckpointView[] = [];

function take(update: PageUpdate): void {
  facts = update.facts ?? facts;
  view = update.view ?? view;
  told = update.health ?? null;
  if (update.curve !== undefined) curve = [...curve.slice(0, update.curve.from), ...update.curve.points];
  validations = update.validations ?? validations;
  events = update.events ?? events;
  checkpoints = update.checkpoints ?? checkpoints;
}

function show(): void {
  if (view === null || facts === null) return;
  const over = connection === 'ended';
  showConnection(view, facts);
  const smoothed = curves.show(curve, validations, facts.stepsPerEpoch, view);
  showFigures(view, facts, smoothed, over);
  showShares(view, facts);
  if (facts.control && !over) control.show();
  else control.hide();
  showWorkers(view, over, (worker) => control.buttonFor(worker));
  showEvents(events);
  showCheckpoints(checkpoints, facts);
  showFacts(view, facts);
  omitUnknown(view, over);
}

function showConnection(view: RunView, facts: RunFacts): void {
  const age = connection === 'ended' ? 0 : (performance.now() - heardAt) / 1000;
  const health = told ?? (failed ? ended : healthOf(view, age, null));
  const stale = connection === 'lost' || age > timeouts.member / 1000;
  const standing = { connection, stale, health, lastWords, failed };
  showState(view, facts, standing);
  showHints(view, facts, standing);
}

/** Of a run that is over, what was not measured will not come. */
function omitUnknown({ shares, workers }: RunView, over: boolean): void {
  byId('speed-card').hidden = over && curve.every(({ imagesPerSecond }) => imagesPerSecond === null);
  byId('shares-card').hidden = over && shares.length === 0;
  byId('workers-card').hidden = over && workers.length === 0;
  const machinery = byId('machinery');
  machinery.hidden = [...machinery.children].every((card) => (card as HTMLElement).hidden);
}

function listen(): void {
  const stream = new EventSource('events');
  stream.addEventListener('message', ({ data }) => {
    const update = JSON.parse(data) as PageUpdate;
    connection = update.ended === undefined ? 'live' : 'ended';
    lastWords = update.ended ?? '';
    failed = update.failed ?? false;
    heardAt = performance.now();
    take(update);
    show();
    if (connection === 'live') return;
    stream.close();
    setTimeout(listen, again);
  });
  stream.addEventListener('error', () => {
    if (connection !== 'ended') connection = 'lost';
    show();
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, again);
  });
}

listen();
// Silence changes what is to be said, too.
setInterval(() => {
  if (view !== null && facts !== null && connection !== 'ended') showConnection(view, facts);
}, 1_000);

// On a phone what few look for is folded.
const narrow = matchMedia('(max-width: 760px)');
const fold = () => {
  for (const part of document.querySelectorAll('details')) part.open = !narrow.matches;
};
narrow.addEventListener('change', fold);
fold();
