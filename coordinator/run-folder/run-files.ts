/** What lies in the folder of a run. */
export const runFiles = {
  config: 'config.json',
  lock: 'lock',
  token: 'token',
  redis: 'redis.json',
  classes: 'classes.json',
  log: 'log.jsonl',
  formerLog: 'log.1.jsonl',
  metrics: 'metrics.jsonl',
  checkpoints: 'checkpoints',
  tensorboard: 'tensorboard',
  mlflow: 'mlflow.json',
} as const;
