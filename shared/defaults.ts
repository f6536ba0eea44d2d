/** Every default and every timeout, with its unit. */
import type { ModelName } from './models/model.ts';

export const defaults = {
  batchSize: 256, // images per global batch
  momentum: 0.9,
  weightDecay: 1e-4,
  times: 5, // time steps of R and RT
  imageSize: 224, // pixels, square
  seed: 0,
  decodeThreads: 4, // images decoded at once by one worker
  prefetchShards: 2, // shards whose images are loaded ahead, per worker
  saveModelSeconds: 600,
  saveModelEpochs: 5, // checkpoints at these epochs are kept forever
  saveValEpochs: 0.5,
  waitForDisk: 600, // seconds that the end of a run waits for a disk that would not take its result
  keepCheckpoints: 3, // the newest ones, besides those kept forever, the latest and the best
  validationBatch: 256, // images per validation job
  topK: 5, // classes per image of `coordinator predict`
  sample: 200, // images that `coordinator data` decodes
  featureBatch: 32, // images per features job, fewer where their features take more than `featureBatchBytes`
} as const;

/** The published recipe of each model: initial learning rate, epochs, epochs between two divisions by ten. */
export const recipes: Record<ModelName, { learningRate: number; epochs: number; stepSize: number }> = {
  Z: { learningRate: 0.01, epochs: 25, stepSize: 10 },
  R: { learningRate: 0.1, epochs: 25, stepSize: 10 },
  RT: { learningRate: 0.1, epochs: 25, stepSize: 10 },
  S: { learningRate: 0.1, epochs: 43, stepSize: 20 },
};

/** What AdamW takes where SGD takes the model's recipe: the defaults of torch.optim.AdamW. */
export const adamwRecipe = { learningRate: 1e-3, weightDecay: 0.01 } as const;
/** The term that keeps AdamW from dividing by zero, as in torch.optim.AdamW. */
export const adamwEpsilon = 1e-8;

/** What a recipe adds to plain SGD with a learning rate that falls in steps: nothing, and so it was in earlier runs. */
export const plainRecipe = {
  optimizer: 'sgd',
  betas: [0.9, 0.999],
  clipNorm: 0,
  schedule: 'step',
  scheduleEpochs: null,
  warmupEpochs: 0,
  minLr: 0,
  nesterov: false,
  labelSmoothing: 0,
  lrScale: '',
} as const;

/** Mean and deviation per channel, in units of the full range: the input of a model is (x / 255 − mean) / std. */
export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export const normalizationNames = ['imagenet', 'half', 'none'] as const;

export const normalizations: Readonly<Record<(typeof normalizationNames)[number], Normalization>> = {
  /** Of ImageNet's training images (torchvision). */
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  half: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
};

/** Augmentation of training images before there was an option: torchvision's defaults of RandomResizedCrop, and a flip. */
export const plainAugmentation = {
  augment: 'crop',
  cropScale: [0.08, 1],
  cropRatio: [3 / 4, 4 / 3],
  flip: true,
  grayscale: 0,
  colorJitter: [0, 0, 0, 0],
  rotate: 0,
  blur: '',
} as const;

/** Bytes of features that one job yields by default, and at most; feature files that are synced at once. */
export const featureBatchBytes = { default: 32 * 1024 ** 2, most: 1024 ** 3 } as const;
export const featureFilesAtOnce = 8;

/** What one image may cost at most, so that a bad file exhausts neither memory nor time. */
export const imageLimits = {
  pixels: 178_956_970, // as in Pillow, which calls more a decompression bomb
  fileBytes: 256 * 1024 * 1024,
  decoderBytes: 512 * 1024 * 1024, // that libjpeg allocates: two bytes for each sample of a progressive file
  scans: 100, // of a progressive file; encoders write about ten
} as const;

/** `coordinator data`: how many are named of many. */
export const lookingAtData = { classes: 5, problems: 3, pairs: 5 } as const;
/** Images across and down, pixels between them, and the largest side of one. */
export const contactSheet = { across: 8, down: 8, gap: 4, largest: 1024 } as const;

/** Threads of one worker that read image files ahead of the decoding: they wait for the disk, most of the time. */
export const readThreads = 16;

/** Milliseconds. Start-up checks the ladder beat < member < step < worker. */
export const timeouts = {
  beat: 1_000, // between two heartbeats
  member: 5_000, // silence, in heard time, after which a member is dropped
  join: 30_000, // how long a step boundary waits for newcomers
  step: 1_800_000, // how long a member may work at one duty
  worker: 3_600_000, // how long a run waits without any worker
  redisConnect: 5_000,
  sentinel: 2_000, // for one Sentinel to be connected to and to answer; then the next one is asked
  redisSilence: 3_000, // without an answer, after which it is said that Redis stands still
  workerStart: 120_000, // from the process's start to its hello (a probe of CORnet-S takes a while on a CPU)
  stop: 10_000, // how long a worker may take to leave after it was asked to
  lastCheckpoint: 60_000, // how long a run that fails waits until what its workers hold is written
  program: 30_000, // a program that is asked for its version (nvidia-smi wakes the GPUs)
  customModel: 30_000, // until the file of a custom model has said what it does
  blobRead: 20_000, // silence of a blob server on this host
} as const;

/** Milliseconds after which the status of a coordinator that says nothing more disappears from Redis. */
export const statusTimeToLive = 3 * timeouts.member;

/**
 * An order from outside (`coordinator stop RUN`), in milliseconds: how long it waits for a coordinator to hear and to
 * take it, and between two looks at its answer; how long an answer stays in Redis. Orders that a coordinator remembers.
 */
export const orders = { patience: 15_000, look: 250, timeToLive: 3_600_000, remembered: 100 } as const;

/**
 * A disk that would not take something, in milliseconds: pauses between two tries at the end of a run, time until it is
 * said again, and (`save`) until a checkpoint that failed is tried again, doubled each time up to the usual interval.
 */
export const diskPatience = {
  firstPause: 1_000,
  longestPause: 30_000,
  repeat: 600_000,
  save: 30_000,
} as const;

/** States of a training that the coordinator holds in memory until the disk has taken them; the run waits for a place. */
export const heldSnapshots = 2;

/** Lines of metrics that wait in memory for a disk that would not take them; older ones are lost. */
export const metricsInWaiting = 100_000;

/** Bytes of log.jsonl, from which on it becomes log.1.jsonl and a new one begins. */
export const logBytes = 64 * 1024 ** 2;

/** Milliseconds that a run waits for something before it says so in its log, and again whenever that time has doubled. */
export const longWait = 10_000;

/** Workers that the sentence on what a run waits for names; the others it counts. */
export const namesInSentence = 8;

/** Workers that have left, of whom it is remembered why. */
export const departedKept = 50;

/** Seconds after which a forgotten blob disappears from Redis by itself. */
export const blobTimeToLive = 3_600;

/**
 * Bytes per Redis value when a blob is cut into chunks, and how many chunks travel at once. Measured over a unix
 * socket with 8 and 214 MB blobs: 1 MiB is within a few per cent of the fastest, and what a range reads too much is small.
 */
export const blobChunk = 1024 * 1024;
export const blobChunksInFlight = 4;

/** Keys that one command deletes: nobody waits long behind it, whatever the number of lanes. */
export const blobKeysAtOnce = 1_000;

/**
 * Connections to Redis, counted with CLIENT LIST: a worker's own (messages, blobs, reading; BullMQ's queue, its worker, and
 * where that waits), the coordinator's own, and the coordinator's to the queue of each worker.
 */
export const redisConnections = { worker: 6, coordinator: 3, queue: 1 } as const;

/** Milliseconds between two attempts to reach Redis again: grows by the first up to the second. */
export const redisRetry = { growth: 50, longest: 1_000 } as const;

/** Different errors of Redis (not outages) that one process names; more would be the same one with another number. */
export const distinctErrors = 20;

/**
 * The private redis-server: milliseconds between two looks whether it answers yet; deaths in a row that end the run,
 * milliseconds before the first new start (doubled each time), milliseconds of life after which a death is the first again.
 */
export const redisServer = { poll: 20, failures: 5, backOff: 100, settled: 10_000 } as const;

/** Bytes written, read or hashed at once, so that a large file never blocks the event loop for long. */
export const fileChunk = 8 * 1024 * 1024;

/** Bytes that the pickle or the directory of a file of torch.save may have: CORnet's have less than 0.1 MB. */
export const torchMetadataLimit = 16 * 1024 * 1024;

/**
 * Download of the published weights. An attempt without a byte for `stall` ms is over; after `attempts` in a row that
 * brought nothing new the download is, with `backOff` ms, doubled each time, between them. No file is longer than `limit` bytes.
 * `redirects` are followed.
 */
export const download = { stall: 30_000, attempts: 5, backOff: 500, limit: 2 ** 30, redirects: 5 } as const;

/**
 * `coordinator list`: run folders that are looked at at once, and bytes of a log and of metrics that are read, from the
 * end: there may be hundreds of runs.
 */
export const filesAtOnce = 16;
export const listedTail = 32 * 1024;

/** Of a data set: a label takes 16 bits. */
export const maxClasses = 65_536;

/** How much is asked of the file system at once while a data set is indexed. */
export const indexing = { classesAtOnce: 4, statsAtOnce: 16 } as const;

/**
 * How an archive is looked through. Bytes that are read at once, where nothing near has been read (`glance`) and where the
 * last read ended less than `near` bytes before; milliseconds that reads may block the event loop for in a row (`turn`),
 * and from which on one is slow (`quickRead`): where most are, so many `others` do not block before one does again.
 * Archives within one that are looked through at once (`innerAtOnce`). At most so many bytes of a name or of extended
 * headers, of a file that says an image's class, and of ImageNet's development kit, decompressed.
 */
export const archives = {
  glance: 4 * 1024,
  near: 16 * 1024,
  readAhead: 64 * 1024,
  turn: 10,
  quickRead: 0.05,
  others: 64,
  innerAtOnce: 8,
  longestHeader: 1024 ** 2,
  longestClass: 1_024,
  longestJson: 64 * 1024,
  largestKit: 64 * 1024 ** 2,
} as const;

/** Milliseconds of indexing before it is said how far it is, and between two looks. */
export const indexProgress = { patience: 1_000, look: 100 } as const;

/**
 * The kept index of a data set: images from which on it is worth a file; milliseconds that its folders must have lain
 * still, longer than the grain of any file system's clock (FAT's is 2 s).
 */
export const indexCache = { fewestImages: 10_000, settleTime: 3_000 } as const;

/**
 * Entries that each stream keeps (about): who is further behind has missed something and says so. `down` has two for a
 * step, which are long where there are many lanes; `up` has three short ones for each lane.
 */
export const streamLength = { down: 1_000, up: 10_000 } as const;

/** Milliseconds that one read of a stream waits for the next entry. */
export const streamBlock = 1_000;

/** Jobs that one worker takes at once: while one computes, the images of the others load. */
export const jobsAtOnce = 4;

/** Milliseconds that a job stays locked: longer than any step may last, so that BullMQ never takes it back by itself. */
export const jobLock = 2 * timeouts.worker;

/** Local workers: starts in a row that may fail, milliseconds before the first new start, lines of last words kept. */
export const fleet = { failures: 5, backOff: 100, lastWords: 4 } as const;

/**
 * Milliseconds between two drawings on a terminal, and between two lines of progress elsewhere: at first, and from
 * `later` on, so that days of work do not fill a log.
 */
export const progressEvery = { terminal: 200, plain: 5_000, plainLater: 60_000, later: 600_000 } as const;

/**
 * What workers say for the run's log: characters of one line; lines that a worker may say at once and milliseconds until
 * it may say one more; those that wait while Redis is away; the same for what the coordinator writes of all workers.
 */
export const remarks = {
  longest: 2_000,
  ofWorker: { most: 20, every: 10_000 },
  waiting: 50,
  ofAll: { most: 500, every: 100 },
} as const;

/**
 * Seconds over which a run's speed is measured, and the seconds per step that the time left follows from; steps below
 * which neither is cut; when that time is known well enough to be shown: steps, or fewer long ones and their seconds.
 */
export const pace = {
  speedMemory: 60,
  outlookMemory: 300,
  fewestSteps: 20,
  known: { steps: 10, longSteps: 3, seconds: 60 },
} as const;

/**
 * The speed of one worker: milliseconds over which it is measured, and shards, where these take longer; milliseconds
 * within which shards count as one, and before which nothing is known.
 */
export const workerPace = { memory: 20_000, shards: 4, grain: 500, known: 1_000 } as const;

/** Milliseconds in which a moment's weight falls to 1/e, where the share of each phase is measured. */
export const phaseMemory = 60_000;

/** Bytes free on a GPU; where it has less, a run says so. */
export const gpus = { plenty: 10e9 } as const;

/** Where less is free on a GPU, in bytes or in parts of the whole, a library that finds no way to compute has no memory. */
export const deviceMemory = { little: 2 ** 30, littlePart: 0.05 } as const;

/**
 * From when on a run is called SLOW or STUCK (`coordinator/view/health.ts`), in seconds unless it says otherwise. A run
 * without an update is SLOW after `slowSteps` times what a step usually takes, and STUCK after `stuckSteps` times that,
 * but not before `slow` and `stuck`.
 */
export const health = {
  slow: 15, // without an update, or in a phase of which a short while is usual
  stuck: 300,
  slowSteps: 4,
  stuckSteps: 20,
  slowPart: 0.5, // of the usual speed
  usual: 1_800, // in which a step's weight in the usual speed falls to 1/e
  redisStuck: 60, // without Redis
  noWorkerStuck: 120, // without a worker; one of CORnet-S takes a while to start
  checkpoints: 2, // of them a disk should have room for
  checkpointLate: { intervals: 3, seconds: 600 }, // as in dashboards/alerts.yml
  starting: 300, // from the start of a coordinator to its first sign of life: it may index a data set
  quiet: 60, // since the run folder was written, while a coordinator that cannot be asked counts as at work
} as const;

/** Milliseconds between two looks at the run folder's disk. */
export const vitalsEvery = 10_000;

/** Points that the curves of a run have (up to twice as many), and those of the smallest one. */
export const curvePoints = 400;
export const sparklinePoints = 24;

/**
 * The live page: event streams at once; bytes that one may leave unread before it is cut off; milliseconds after which
 * a browser comes again.
 */
export const livePage = { clients: 64, unread: 4 * 1024 * 1024, retry: 2_000 } as const;

/** Characters that a control token must have. */
export const controlToken = { shortest: 16 } as const;

/** What is kept to be shown: the last events, and validations, every other one of which goes when there are more. */
export const watchMemory = { events: 200, validations: 1_000 } as const;

/**
 * What a run shows over HTTP: the coordinator's address unless it is told another (a second run on the same machine
 * takes any port that is free); milliseconds that a request may take to arrive; connections at once.
 */
export const http = { host: '127.0.0.1', port: 9464, request: 10_000, connections: 256 } as const;

/**
 * Trackers (`--tensorboard`, `--mlflow`), in milliseconds: between two looks at metrics.jsonl; pauses after a failure,
 * from the first, doubled each time, to the longest; until a server that does not answer has failed; how long the end of a
 * run waits for them.
 */
export const tracking = {
  every: 1_000,
  firstPause: 1_000,
  longestPause: 60_000,
  silence: 30_000,
  lastWords: 10_000,
} as const;

/** Bounds of the histograms of times: the first in seconds, each the next one's multiple. */
export const durationBuckets = { first: 0.001, factor: 2, count: 19 } as const;

/**
 * Milliseconds: how long the answer to a reading of the metrics waits for Redis; how long a run that has failed waits at
 * most for its metrics to be read once more; how often the GPUs are looked at.
 */
export const scraping = { answer: 250, lastWords: 30_000, gpus: 5_000 } as const;

/** Bytes that one read from a blob server takes at most, and those that one request is answered with. */
export const socketRead = 1024 * 1024;
export const blobPiece = 8 * 1024 * 1024;

/**
 * Shared memory: blobs that a process offers, beyond twice the segments that it has, before one that none of them took
 * is given back; steps after which others give back what they have mapped of it. A step takes turns with some of them.
 */
export const spareReservations = 8;
export const idleSweeps = 8;

/**
 * A blob server: connections that one process serves, those of them that have not proven yet that they belong to the run,
 * and those that one process makes to another at once. Milliseconds until that proof, and those without a request after
 * which a server hangs up, and a reader before it.
 */
export const blobSocket = {
  connections: 4_096,
  unproven: 256,
  toOneServer: 4,
  proof: 1_000,
  idle: 120_000,
  readerIdle: 60_000,
} as const;

/**
 * Blobs over TCP. Milliseconds of silence after which a connection is given up (a reader tries once more, so that it waits
 * for less than the member timeout); until a server that could not be reached is tried again, doubled up to the longest; in
 * which outcomes of tries are gathered. Servers that are tried at once.
 */
export const blobTcp = {
  silence: 2_000,
  retry: 1_000,
  longestRetry: 60_000,
  gather: 50,
  triesAtOnce: 32,
} as const;

/**
 * Milliseconds: how often the folder of a socket is looked after, since what cleans temporary folders may take it; age
 * below which a folder without a socket is left alone.
 */
export const socketFolder = { care: 10_000, young: 60_000 } as const;

/** `coordinator doctor`: open files and bytes of memory that every run can do with; lines of a failed program shown. */
export const doctor = { openFiles: 1_024, memory: 2 * 1024 ** 3, lastWords: 4 } as const;
