/** The live page: keeps what the event stream says, and shows it. */
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
import {
  showCheckpoints,
  showEvents,
  showFacts,
  showFigures,
  showJoin,
  showShares,
  showState,
  showWorkers,
} from './parts.ts';

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
  showConnection(view, facts);
  showJoin(view, facts, connection);
  showFigures(view, facts);
  curves.show(curve, validations, facts.stepsPerEpoch);
  showShares(view, facts);
  if (facts.control) control.show();
  showWorkers(view, (worker) => control.buttonFor(worker));
  showEvents(events);
  showCheckpoints(checkpoints, facts);
  showFacts(view, facts);
}

function showConnection(view: RunView, facts: RunFacts): void {
  const age = connection === 'ended' ? 0 : (performance.now() - heardAt) / 1000;
  const health: Health =
    told !== null ? told : failed ? { word: 'STOPPED', reasons: [] } : healthOf(view, age, null);
  showState(view, facts, { connection, health, lastWords });
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
