import { mallocTunables } from './dist/shared/process/worker-environment.js';

export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false, // the native addon belongs to one process
  concurrency: 2,
  timeout: '10m',
  environmentVariables: {
    // Two test files share the cores: threads that spin would take them from the others.
    OMP_WAIT_POLICY: 'passive',
    // An engine in a test's own process has the memory of a worker: without it, tests of S take five times as long.
    GLIBC_TUNABLES: mallocTunables,
  },
  require: ['./dist/test/helpers/own-malloc.js'],
};
